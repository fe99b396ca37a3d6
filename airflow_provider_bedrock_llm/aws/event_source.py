"""What each transport yields of a stream, with what it raises turned into a Failure at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.aws.failures import EXPECTED, failure_from

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    import aiohttp

    from airflow_provider_bedrock_llm.aws.lean_wire import EventFolder
    from airflow_provider_bedrock_llm.core.transport import Failure

__all__ = ["AioEventSource", "BotoEventSource", "LeanEventSource"]


class BotoEventSource:
    """A stream of boto3.

    Args:
        data: the reply, with the stream in it.
    """

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._stream = data["stream"]
        self.request_id: str | None = data.get("ResponseMetadata", {}).get("RequestId")

    def __iter__(self) -> Iterator[Mapping[str, Any] | Failure]:
        """Read, once."""
        try:
            yield from self._stream
        except EXPECTED as error:
            yield failure_from(error, 0.0)

    def close(self) -> None:
        """Let go of the connection; where it was read to its end, it is back in its pool already."""
        self._stream.close()


class AioEventSource:
    """A stream of aiobotocore.

    Args:
        data: the reply, with the stream in it.
    """

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._stream = data["stream"]
        self.request_id: str | None = data.get("ResponseMetadata", {}).get("RequestId")

    async def __aiter__(self) -> AsyncIterator[Mapping[str, Any] | Failure]:
        """Read, once."""
        try:
            async for event in self._stream:
                yield event
        except EXPECTED as error:
            yield failure_from(error, 0.0)

    def close(self) -> None:
        """Let go of the connection; where it was read to its end, it is back in its pool already."""
        self._stream.close()


class LeanEventSource:
    """A stream of the lean transport.

    Args:
        response: of which nothing was read yet.
        events: makes events of its bytes.
    """

    def __init__(self, response: aiohttp.ClientResponse, events: EventFolder) -> None:
        self._response = response
        self._events = events
        self.request_id: str | None = response.headers.get("x-amzn-RequestId")

    async def __aiter__(self) -> AsyncIterator[Mapping[str, Any] | Failure]:
        """Read, once."""
        try:
            async for data in self._response.content.iter_any():
                for event in self._events.take(data):
                    yield event
        except EXPECTED as error:
            yield failure_from(error, 0.0)

    def close(self) -> None:
        """Let go of the connection; where it was read to its end, it is back in its pool already."""
        self._response.close()
