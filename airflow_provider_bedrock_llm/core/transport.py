"""The one seam to the network: a request goes in, a reply or a failure comes out, nothing is raised.

Whoever calls AWS (boto3 in threads, the lean transport or aiobotocore on an event loop, a test's fake) implements
`Transport` or `AsyncTransport`. What the outcome means is decided elsewhere (`faults`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping  # noqa: TC003 - types of public fields and methods
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

__all__ = [
    "AsyncEventStream",
    "AsyncStreamTransport",
    "AsyncTransport",
    "Dialect",
    "EventStream",
    "Failure",
    "FailureKind",
    "Reply",
    "StreamTransport",
    "Transport",
    "WireRequest",
]


@dataclass(frozen=True, slots=True)
class WireRequest:
    """One HTTP call to Bedrock.

    Args:
        operation: the operation's name as botocore spells its methods, such as `converse`.
        region: the AWS region to call.
        params: the operation's parameters as botocore takes them, `modelId` included.
        service: another service that answers, such as `NVIDIA`; None for Bedrock.
    """

    operation: str
    region: str
    params: Mapping[str, Any]
    service: str | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What the service answered, parsed.

    Args:
        data: the reply as botocore parses it, without `ResponseMetadata`.
        request_id: AWS's id of the call.
        duration_seconds: from sending to the parsed answer.
        headers: the HTTP headers, names in lower case; some operations say only there how many tokens were read.
    """

    data: Mapping[str, Any]
    request_id: str | None
    duration_seconds: float
    headers: Mapping[str, str] = field(default_factory=dict)


class FailureKind(StrEnum):
    """Where a call failed."""

    SERVICE = "service"
    """AWS answered with an error."""
    STREAM = "stream"
    """A stream broke after it had begun, or ended without saying that it ended."""
    READ_TIMEOUT = "read_timeout"
    """The request was sent and no answer came in time."""
    CONNECTION_LOST = "connection_lost"
    """The connection broke after the request was sent."""
    CONNECTION_FAILED = "connection_failed"
    """No connection: nothing was sent."""
    CREDENTIALS = "credentials"
    """No usable credentials: nothing was sent."""
    REJECTED = "rejected"
    """botocore refused the parameters: nothing was sent."""
    DEADLINE = "deadline"
    """The time for the whole request was over while the call was under way."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A call that gave no usable answer.

    Args:
        kind: where it failed.
        code: AWS's error code as it came, or the name of the exception.
        message: AWS's text as it came, or the exception's.
        status: the HTTP status, where there was one.
        request_id: AWS's id of the call.
        retry_after_seconds: the wait that the server asked for (`x-amz-retry-after`).
        original_status: the model's own status inside a ModelErrorException.
        duration_seconds: from sending to the failure.
    """

    kind: FailureKind
    code: str = ""
    message: str = ""
    status: int | None = None
    request_id: str | None = None
    retry_after_seconds: float | None = None
    original_status: int | None = None
    duration_seconds: float = 0.0

    def __str__(self) -> str:
        """Code and text, as they came."""
        return f"{self.code or self.kind}: {self.message}" if self.message else self.code or str(self.kind)


class Dialect(Protocol):
    """Says a request of Converse's shape as another operation, so that the same engine can drive it."""

    def to_wire(self, request: WireRequest) -> WireRequest:
        """The request of the other operation."""
        ...

    def from_wire(self, request: WireRequest, reply: Reply) -> Reply | Failure:
        """Its reply in the shape that the engine reads, for the request as it was before."""
        ...


class Transport(Protocol):
    """Calls Bedrock from a thread."""

    def send(self, request: WireRequest) -> Reply | Failure:
        """Send one request and wait for its outcome."""
        ...

    def refresh_credentials(self) -> None:
        """Forget the credentials in use, because AWS said that they have expired."""
        ...


class AsyncTransport(Protocol):
    """Calls Bedrock from an event loop."""

    async def send(self, request: WireRequest) -> Reply | Failure:
        """Send one request and await its outcome. A cancellation passes through."""
        ...

    async def refresh_credentials(self) -> None:
        """Forget the credentials in use, because AWS said that they have expired."""
        ...


class EventStream(Protocol):
    """The events of one stream, as botocore yields them. Where it breaks, a Failure is the last of them."""

    request_id: str | None

    def __iter__(self) -> Iterator[Mapping[str, Any] | Failure]:
        """Read, once."""
        ...

    def close(self) -> None:
        """Let go of the connection, read to its end or not."""
        ...


class AsyncEventStream(Protocol):
    """The same on an event loop."""

    request_id: str | None

    def __aiter__(self) -> AsyncIterator[Mapping[str, Any] | Failure]:
        """Read, once."""
        ...

    def close(self) -> None:
        """Let go of the connection, read to its end or not."""
        ...


class StreamTransport(Transport, Protocol):
    """A transport that streams as well."""

    def open_stream(self, request: WireRequest) -> EventStream | Failure:
        """Send one request and wait for its answer to begin."""
        ...


class AsyncStreamTransport(AsyncTransport, Protocol):
    """A transport for an event loop that streams as well."""

    async def open_stream(self, request: WireRequest) -> AsyncEventStream | Failure:
        """Send one request and await the beginning of its answer. A cancellation passes through."""
        ...
