"""The asking of one run: requests go to the engine in batches, and each answer to the journal as it comes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_bedrock_llm.jobs.keeper import cancel
from airflow_provider_bedrock_llm.jobs.result import journal_line

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from airflow_provider_bedrock_llm.core.config import ParallelProcessingConfig
    from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest
    from airflow_provider_bedrock_llm.core.response import BedrockResponse
    from airflow_provider_bedrock_llm.jobs.intake import Batch, Intake
    from airflow_provider_bedrock_llm.jobs.job import JobSpec
    from airflow_provider_bedrock_llm.jobs.journal import Journal
    from airflow_provider_bedrock_llm.jobs.keeper import Keeper
    from airflow_provider_bedrock_llm.jobs.record import Asked
    from airflow_provider_bedrock_llm.jobs.standing import Standing

__all__ = ["AskAll", "Asking", "Asks"]

_ROWS_PER_LOOK = 2048
_LEAST_BATCH = 16


class Asks(Protocol):
    """Whatever answers one request; `aws.converse.AsyncEngine` does."""

    async def ask(self, request: BedrockConverseRequest) -> BedrockResponse:
        """Answer, and never raise for what AWS does."""
        ...


class _Outcome(Protocol):
    @property
    def stopped_because(self) -> str | None: ...


class AskAll(Protocol):
    """`aws.parallel.ask_all`."""

    async def __call__(
        self,
        engine: Any,
        next_batch: Callable[[], Awaitable[Sequence[BedrockConverseRequest]]],
        on_response: Callable[[BedrockConverseRequest, BedrockResponse], None],
        config: ParallelProcessingConfig,
        stop: asyncio.Event,
    ) -> _Outcome:
        """Ask every request of every batch."""
        ...


class Asking:
    """Asks what the journal does not have. Lives on the loop; only the look into the source is a thread's.

    Args:
        spec: the job.
        engine: answers one request.
        intake: knows what is still to be asked.
        journal: takes the answers.
        keeper: says whether storage takes them, too.
        standing: is told what comes.
        halt: when set, nothing more is asked.
    """

    def __init__(
        self,
        spec: JobSpec,
        engine: Asks,
        intake: Intake,
        journal: Journal,
        keeper: Keeper,
        standing: Standing,
        halt: asyncio.Event,
    ) -> None:
        self._spec = spec
        self._engine = engine
        self._intake = intake
        self._journal = journal
        self._keeper = keeper
        self._standing = standing
        self._tally = standing.tally
        self._halt = halt
        self._pending: dict[str, Asked] = {}
        self._followers: dict[int, int] = {}
        self._failed_causes: dict[int, str] = {}
        self._look_ahead: asyncio.Task[Batch] | None = None

    async def run(self, ask_all: AskAll, drain_seconds: float) -> str | None:
        """Ask what is left.

        Args:
            ask_all: runs many requests.
            drain_seconds: how long calls under way are awaited after a halt.

        Returns:
            Why it stopped early, if it did.
        """
        asking = asyncio.ensure_future(ask_all(self, self._next_batch, self._take, self._spec.parallel, self._halt))
        halted = asyncio.create_task(self._halt.wait())
        try:
            await asyncio.wait({asking, halted}, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait({asking}, timeout=drain_seconds)
            if asking.done():
                return asking.result().stopped_because
            return f"calls were still under way {drain_seconds:g} seconds after the stop"
        finally:
            await cancel(halted)
            await cancel(asking)
            if self._look_ahead is not None:
                await asyncio.wait({self._look_ahead})
                self._look_ahead.exception()

    async def ask(self, request: BedrockConverseRequest) -> BedrockResponse:
        """Ask the engine, and count what is under way."""
        self._standing.in_flight += 1
        try:
            return await self._engine.ask(request)
        finally:
            self._standing.in_flight -= 1

    async def _next_batch(self) -> Sequence[BedrockConverseRequest]:
        """The next requests; the batch behind them is already being made."""
        while not self._halt.is_set():
            await self._keeper.writable.wait()
            look = self._look_ahead or self._look()
            self._look_ahead = None
            batch = await look
            if not batch.ended:
                self._look_ahead = self._look()
            self._count(batch)
            if batch.requests:
                self._pending.update((asked.id, asked) for asked in batch.asked)
                return batch.requests
            if batch.ended:
                break
        return ()

    def _look(self) -> asyncio.Task[Batch]:
        most = max(_LEAST_BATCH, self._spec.parallel.max_concurrent_requests)
        return asyncio.create_task(asyncio.to_thread(self._intake.next, most, _ROWS_PER_LOOK))

    def _count(self, batch: Batch) -> None:
        self._tally.reuse(batch.reused)
        for bad in batch.skipped:
            self._tally.skip(bad.cause)
            self._tally.sample(bad.id, bad.cause, bad.problem)
        for first in batch.followed:
            if self._intake.places[first]:
                self._follow(1, self._failed_causes.get(first))
            else:
                self._followers[first] = self._followers.get(first, 0) + 1

    def _follow(self, count: int, cause: str | None) -> None:
        """Records share the outcome of one that asks the very same."""
        if cause is None:
            self._tally.reuse(count)
        else:
            self._tally.fail(cause, count)

    def _take(self, request: BedrockConverseRequest, response: BedrockResponse) -> None:
        """Keep an answer. On the loop, so it only appends."""
        asked = self._pending.pop(str(request.request_id))
        line = journal_line(asked, response)
        self._intake.places[asked.index] = self._journal.add(line).pack()
        self._standing.asked += 1
        self._tally.spend(line)
        cause = None if response.success else line["error"]["cause"]
        if cause is None:
            self._tally.succeeded += 1
        else:
            self._tally.fail(cause)
            self._tally.sample(asked.id, cause, self._said_of(cause, line["error"]["message"]))
            if self._spec.dedupe:
                self._failed_causes[asked.index] = cause
        self._follow(self._followers.pop(asked.index, 0), cause)
        self._keeper.note()

    def _said_of(self, cause: str, message: str) -> str:
        """A validation function of the user's may quote the answer, which the manifest must not hold."""
        if cause == "invalid_answer" and self._spec.validation is not None:
            return "The answer was rejected; the output says why."
        return message
