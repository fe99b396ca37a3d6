"""A streamed answer in the hands of a caller: pieces first, then everything that a response tells."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_bedrock_llm.core.errors import StreamingError
from airflow_provider_bedrock_llm.core.response import BedrockResponse
from airflow_provider_bedrock_llm.core.stream import StreamRestarted

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import TracebackType

    from airflow_provider_bedrock_llm.aws.streaming import StreamItem

__all__ = ["StreamingResponse"]


class StreamingResponse:
    """Iterate over it for the text as it comes; then read `response`.

    Each item is a `str`. Only where the recovery is RESTART, a `StreamRestarted` may stand among them, which says that
    all text before it is void: take it as an order to forget. The request is sent when the first item is asked for.
    Where the request fails, the iteration raises; a stream that broke never ends as if it were whole.

    Args:
        items: what `StreamEngine.stream` yields.
        clock: seconds that only grow.
    """

    def __init__(self, items: Generator[StreamItem, None, None], clock: Callable[[], float] = time.monotonic) -> None:
        self._items = items
        self._clock = clock
        self._pieces: list[str] = []
        self._response: BedrockResponse | None = None
        self._asked_at: float | None = None
        self.restarts: list[StreamRestarted] = []
        """Every restart so far."""
        self.time_to_first_piece_ms: float | None = None
        """From the request to the first text, retries included; None before there is any."""

    def __iter__(self) -> Self:
        """Iterate, once."""
        return self

    def __next__(self) -> str | StreamRestarted:
        """The next piece.

        Raises:
            LLMManagerError: no answer, or none to its end; `get_full_content` has what came.
        """
        if self._asked_at is None:
            self._asked_at = self._clock()
        item = next(self._items)
        if isinstance(item, BedrockResponse):
            self._response = item
            self._items.close()
            if item.error is not None:
                raise item.error
            raise StopIteration
        if isinstance(item, StreamRestarted):
            self.restarts.append(item)
            self._pieces.clear()
        else:
            if self.time_to_first_piece_ms is None:
                self.time_to_first_piece_ms = (self._clock() - self._asked_at) * 1000
            self._pieces.append(item)
        return item

    @property
    def response(self) -> BedrockResponse:
        """The response, with everything that was streamed. Reads what was not read yet.

        Raises:
            LLMManagerError: no answer, or none to its end.
        """
        for _ in self:
            pass
        if self._response is None:
            raise StreamingError(
                "The stream was closed before its end, so there is no response. Read it to its end first."
            )
        if self._response.error is not None:
            raise self._response.error
        return self._response

    @property
    def success(self) -> bool:
        """Whether the answer is whole. False while it is still coming."""
        return self._response is not None and self._response.success

    def get_full_content(self) -> str:
        """The text so far; after the end, the text of the answer."""
        return "".join(self._pieces)

    def get_usage(self) -> dict[str, Any] | None:
        """Tokens as AWS reported them; None before the end."""
        return self._response.get_usage() if self._response else None

    def get_metrics(self) -> dict[str, Any] | None:
        """The server's own latency; None before the end."""
        return self._response.get_metrics() if self._response else None

    def get_stop_reason(self) -> str | None:
        """Why the model stopped; None before the end."""
        return self._response.get_stop_reason() if self._response else None

    def close(self) -> None:
        """Let go of a stream that is not read to its end. What was generated is billed."""
        self._items.close()

    def __enter__(self) -> Self:
        """Close it at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()
