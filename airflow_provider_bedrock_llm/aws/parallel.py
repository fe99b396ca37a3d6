"""Many requests on one event loop: obeys `Fanout`, keeps as many under way as allowed, and hands over each response
as it comes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Protocol

from airflow_provider_bedrock_llm.aws.rounds import Rounds
from airflow_provider_bedrock_llm.aws.stopping import NotSentError
from airflow_provider_bedrock_llm.core.fanout import Fanout

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from airflow_provider_bedrock_llm.core.config import ParallelProcessingConfig
    from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest
    from airflow_provider_bedrock_llm.core.response import BedrockResponse

__all__ = ["Asks", "ask_all"]


class Asks(Protocol):
    """Whatever answers one request; `AsyncEngine` does."""

    async def ask(self, request: BedrockConverseRequest) -> BedrockResponse:
        """Answer, and never raise for what AWS does."""
        ...


async def ask_all(
    engine: Asks,
    next_batch: Callable[[], Awaitable[Sequence[BedrockConverseRequest]]],
    on_response: Callable[[BedrockConverseRequest, BedrockResponse], None],
    config: ParallelProcessingConfig,
    stop: asyncio.Event | None = None,
) -> Fanout:
    """Ask everything, at most `max_concurrent_requests` at once.

    Args:
        engine: answers one request.
        next_batch: the next requests to ask; an empty batch ends it. Never called twice at once.
        on_response: called on the loop with each request and its response, as they come. It must be quick.
        config: concurrency and failure policy.
        stop: when set, nothing more starts; what is on the wire is awaited, because it is paid for. What an engine
            that knows of the stop has not sent yet counts as never started.

    Returns:
        What was started, what succeeded, what failed, and why it stopped early if it did.

    Raises:
        Exception: whatever `next_batch` or `on_response` raised, after what was under way has ended.
    """
    fanout = Fanout(config)
    window = _Window(next_batch, config.max_concurrent_requests if config.enable_request_prioritization else 0)

    rounds = Rounds()

    async def work() -> None:
        while not (stop and stop.is_set()):
            await rounds.wait()
            request = await window.take() if fanout.stopped_because is None else None
            if request is None or fanout.stopped_because is not None or (stop and stop.is_set()):
                return
            fanout.start()
            try:
                response = await engine.ask(request)
            except NotSentError:
                fanout.withdraw("a stop was asked for")
                return
            fanout.finish(response.error)
            on_response(request, response)

    async def guarded() -> None:
        try:
            await work()
        except BaseException as error:
            fanout.stop(f"{type(error).__name__} while requests were handled")
            raise

    workers = [asyncio.create_task(guarded()) for _ in range(config.max_concurrent_requests)]
    try:
        results = await asyncio.gather(*workers, return_exceptions=True)
    except asyncio.CancelledError:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        raise
    for result in results:
        if isinstance(result, BaseException):
            raise result
    if stop and stop.is_set() and not window.is_exhausted:
        fanout.stop("a stop was asked for")
    return fanout


class _Window:
    """Requests between source and engine: never more than one batch ahead."""

    def __init__(self, next_batch: Callable[[], Awaitable[Sequence[BedrockConverseRequest]]], lookahead: int) -> None:
        self._next_batch = next_batch
        self._sort = lookahead > 0
        self._ready: deque[BedrockConverseRequest] = deque()
        self._lock = asyncio.Lock()
        self._ended = False

    @property
    def is_exhausted(self) -> bool:
        """Whether every request has been taken, and no more can come."""
        return self._ended and not self._ready

    async def take(self) -> BedrockConverseRequest | None:
        if self._ready:
            return self._ready.popleft()
        async with self._lock:
            if not self._ready and not self._ended:
                batch = await self._next_batch()
                self._ended = not batch
                if self._sort and any(request.priority for request in batch):
                    batch = sorted(batch, key=lambda request: -request.priority)
                self._ready.extend(batch)
            return self._ready.popleft() if self._ready else None
