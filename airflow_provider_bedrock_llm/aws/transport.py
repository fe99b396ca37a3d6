"""The transports that call through an SDK: boto3 for threads, aiobotocore for event loops."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.aws.event_source import AioEventSource, BotoEventSource
from airflow_provider_bedrock_llm.aws.failures import EXPECTED, failure_from
from airflow_provider_bedrock_llm.core.transport import Failure, FailureKind, Reply, WireRequest

if TYPE_CHECKING:
    from airflow_provider_bedrock_llm.aws.aio_clients import AioClients
    from airflow_provider_bedrock_llm.aws.clients import Clients

__all__ = ["AioTransport", "BotoTransport", "reply_from"]

_SERVICE = "bedrock-runtime"
_BLOB = "body"
"""InvokeModel's answer: the one member of all operations used here that is read on from the connection."""


class BotoTransport:
    """Calls from threads.

    Args:
        clients: shared with whoever else calls AWS with the same credentials.
    """

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def send(self, request: WireRequest) -> Reply | Failure:
        """Send one request and wait for its outcome."""
        started = time.monotonic()
        try:
            client = self._clients.engine_client(_SERVICE, request.region)
            data = getattr(client, request.operation)(**request.params)
            if _BLOB in data:
                with contextlib.closing(data[_BLOB]) as blob:
                    data[_BLOB] = blob.read()
        except EXPECTED as error:
            return failure_from(error, time.monotonic() - started)
        return reply_from(data, time.monotonic() - started)

    def open_stream(self, request: WireRequest) -> BotoEventSource | Failure:
        """Send one request and wait for its answer to begin."""
        started = time.monotonic()
        try:
            client = self._clients.engine_client(_SERVICE, request.region)
            return BotoEventSource(getattr(client, request.operation)(**request.params))
        except EXPECTED as error:
            return failure_from(error, time.monotonic() - started)

    def refresh_credentials(self) -> None:
        """Open a new session for the next call."""
        self._clients.renew()


class AioTransport:
    """Calls from one event loop.

    Args:
        clients: of that loop.
    """

    def __init__(self, clients: AioClients) -> None:
        self._clients = clients

    async def send(self, request: WireRequest) -> Reply | Failure:
        """Send one request and await its outcome. A cancellation passes through."""
        started = time.monotonic()
        try:
            client = await self._clients.engine_client(_SERVICE, request.region)
            data = await getattr(client, request.operation)(**request.params)
            if _BLOB in data:
                blob = data[_BLOB]
                async with blob:
                    data[_BLOB] = await blob.read()
        except EXPECTED as error:
            return failure_from(error, time.monotonic() - started)
        return reply_from(data, time.monotonic() - started)

    async def open_stream(self, request: WireRequest) -> AioEventSource | Failure:
        """Send one request and await the beginning of its answer. A cancellation passes through."""
        started = time.monotonic()
        try:
            client = await self._clients.engine_client(_SERVICE, request.region)
            return AioEventSource(await getattr(client, request.operation)(**request.params))
        except EXPECTED as error:
            return failure_from(error, time.monotonic() - started)

    async def refresh_credentials(self) -> None:
        """Open a new session for the next call."""
        await self._clients.renew()

    async def close(self) -> None:
        """Close every connection."""
        await self._clients.close()


def reply_from(data: dict[str, Any], duration_seconds: float) -> Reply | Failure:
    """The outcome of a call that raised nothing.

    Args:
        data: as botocore parses it, `ResponseMetadata` included.
        duration_seconds: from sending to the parsed answer.
    """
    metadata = data.pop("ResponseMetadata", {})
    if not data:  # boto3 takes a body that was cut off for an empty one, and raises nothing
        return Failure(
            FailureKind.CONNECTION_LOST,
            "IncompleteReply",
            "The connection broke while the answer came in.",
            request_id=metadata.get("RequestId"),
            duration_seconds=duration_seconds,
        )
    return Reply(data, metadata.get("RequestId"), duration_seconds, metadata.get("HTTPHeaders") or {})
