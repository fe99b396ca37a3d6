"""Transports that say a request as another operation than Converse: the engine above them notices nothing."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from botocore.loaders import Loader

from airflow_provider_bedrock_llm.core.transport import Failure, Reply, WireRequest

if TYPE_CHECKING:
    from airflow_provider_bedrock_llm.core.transport import AsyncTransport, Dialect, Transport

__all__ = ["AsyncDialectTransport", "DialectTransport", "invoke_model_takes_tags"]


class DialectTransport:
    """For threads.

    Args:
        inner: makes the calls.
        dialect: what they are said in.
    """

    def __init__(self, inner: Transport, dialect: Dialect) -> None:
        self._inner = inner
        self._dialect = dialect

    def send(self, request: WireRequest) -> Reply | Failure:
        """Translate, send, and translate back."""
        outcome = self._inner.send(self._dialect.to_wire(request))
        return outcome if isinstance(outcome, Failure) else self._dialect.from_wire(request, outcome)

    def refresh_credentials(self) -> None:
        """Pass on."""
        self._inner.refresh_credentials()


class AsyncDialectTransport:
    """The same for an event loop."""

    def __init__(self, inner: AsyncTransport, dialect: Dialect) -> None:
        self._inner = inner
        self._dialect = dialect

    async def send(self, request: WireRequest) -> Reply | Failure:
        """Translate, send, and translate back."""
        outcome = await self._inner.send(self._dialect.to_wire(request))
        return outcome if isinstance(outcome, Failure) else self._dialect.from_wire(request, outcome)

    async def refresh_credentials(self) -> None:
        """Pass on."""
        await self._inner.refresh_credentials()


@cache
def invoke_model_takes_tags() -> bool:
    """Whether the installed botocore knows `requestMetadata` of InvokeModel; 1.42.93 does not, 1.43.117 does."""
    service = Loader().load_service_model("bedrock-runtime", "service-2")
    return "requestMetadata" in service["shapes"]["InvokeModelRequest"]["members"]
