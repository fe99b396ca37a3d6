"""The light transport for event loops: botocore's serializer, signer and parser over aiohttp, without aiobotocore.

It costs less than half of aiobotocore's CPU time a call, because everything that is the same for every call is asked
of botocore once (`lean_service`), and it runs with whatever botocore is installed.

Of botocore and boto3 it touches public names alone, with one exception that `tests/aws/test_lean.py` watches:
`boto3.session.Session._session`, for the CA bundle of a profile.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.aws.event_source import LeanEventSource
from airflow_provider_bedrock_llm.aws.failures import EXPECTED, failure_from
from airflow_provider_bedrock_llm.aws.lean_connections import LeanConnections, trusted_certificates
from airflow_provider_bedrock_llm.aws.lean_service import LeanOperation, LeanService
from airflow_provider_bedrock_llm.aws.transport import reply_from

if TYPE_CHECKING:
    import boto3.session

    from airflow_provider_bedrock_llm.aws.clients import ClientSettings
    from airflow_provider_bedrock_llm.core.transport import Failure, Reply, WireRequest

__all__ = ["LeanTransport"]

_SERVICE = "bedrock-runtime"
_ERROR_STATUS = 300


class LeanTransport:
    """Calls from one event loop.

    Args:
        settings: credentials, timeouts, endpoint, certificates.
    """

    def __init__(self, settings: ClientSettings) -> None:
        self._settings = settings
        self._session: boto3.session.Session | None = None
        self._verify: str | bool = True
        self._services: dict[str, LeanService] = {}
        self._operations: dict[tuple[str, str], LeanOperation] = {}
        self._pools: dict[str, LeanConnections] = {}
        self._opening = asyncio.Lock()

    async def send(self, request: WireRequest) -> Reply | Failure:
        """Send one request and await its outcome. A cancellation passes through."""
        started = time.monotonic()
        try:
            operation = self._operations.get((request.region, request.operation)) or await self._open(request)
            pool, *call = await self._signed(operation, request)
            data = operation.wire.parse(*await pool.post(*call))
        except EXPECTED as error:
            return failure_from(error, time.monotonic() - started)
        return reply_from(data, time.monotonic() - started)

    async def open_stream(self, request: WireRequest) -> LeanEventSource | Failure:
        """Send one request and await the beginning of its answer. A cancellation passes through."""
        started = time.monotonic()
        try:
            operation = self._operations.get((request.region, request.operation)) or await self._open(request)
            pool, *call = await self._signed(operation, request)
            response = await pool.open(*call)
            if response.status < _ERROR_STATUS:
                return LeanEventSource(response, operation.wire.events())
            async with response:
                body = await response.read()
            operation.wire.parse(response.status, response.headers, body)
        except EXPECTED as error:
            return failure_from(error, time.monotonic() - started)
        raise AssertionError("An error status is an error.")

    async def refresh_credentials(self) -> None:
        """Open a new session for the next call. Connections stay: they do not depend on who calls."""
        async with self._opening:
            self._session = None
            self._services.clear()
            self._operations.clear()

    async def close(self) -> None:
        """Close every connection."""
        for pool in self._pools.values():
            await pool.close()
        self._pools.clear()

    async def _signed(self, operation: LeanOperation, request: WireRequest) -> tuple[Any, ...]:
        """Where the call goes, and its URL, headers and body."""
        said = operation.wire.serialize(request.params)
        url = operation.base_url + said.path
        headers = await operation.signer.sign(url, said.headers, said.body)
        headers["User-Agent"] = operation.user_agent
        headers["Accept-Encoding"] = "identity"
        return self._pools[operation.base_url], url, headers, said.body

    async def _open(self, request: WireRequest) -> LeanOperation:
        """Ask botocore, in a thread, what it would do; once for each region and operation."""
        key = (request.region, request.operation)
        async with self._opening:
            operation = self._operations.get(key)
            if operation is None:
                operation = self._operations[key] = await asyncio.to_thread(self._prepare, request)
        return operation

    def _prepare(self, request: WireRequest) -> LeanOperation:
        """Everything that reads files, asks for credentials or takes long, off the loop."""
        if self._session is None:
            session = self._settings.open_session()
            self._verify = trusted_certificates(self._settings.verify, session)
            self._session = session
        service = self._services.get(request.region)
        if service is None:
            service = LeanService(self._session, self._settings, _SERVICE, request.region)
            self._services[request.region] = service
        operation = service.prepare(request.operation, request.params)
        if operation.base_url not in self._pools:
            pool = LeanConnections(operation.base_url, self._settings.boto3_config, self._verify)
            self._pools[operation.base_url] = pool
        return operation
