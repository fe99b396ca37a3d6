"""The asking of one run: requests go to the engine in batches, and each answer to the journal as it comes."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_bedrock_llm.aws.stopping import NotSentError
from airflow_provider_bedrock_llm.jobs.keeper import cancel
from airflow_provider_bedrock_llm.jobs.result import journal_line
from airflow_provider_bedrock_llm.jobs.truncation import CAUSE, Truncation

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

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
        self._enough = asyncio.Event()
        """Nothing more starts: what is under way comes in."""
        self._truncation = Truncation(spec.models, spec.truncated)
        self._purse = standing.purse_of(spec.budget)
        self._changed = asyncio.Event()
        """An answer came, or the run halts."""
        self._waiting: deque[tuple[BedrockConverseRequest, Asked]] = deque()
        self._is_through = False
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
        asking = asyncio.ensure_future(ask_all(self, self._next_batch, self._take, self._spec.parallel, self._enough))
        halted = asyncio.create_task(self._watch_halt())
        try:
            await asyncio.wait({asking, halted}, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait({asking}, timeout=drain_seconds)
            if asking.done():
                reason = asking.result().stopped_because
                return self._purse.reason if self._standing.is_out_of_budget and self._purse is not None else reason
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
        except NotSentError as stopped:
            if stopped.spent is not None:
                self._keep_cost(request, stopped.spent)
            raise
        finally:
            self._standing.in_flight -= 1
            self._changed.set()

    def _keep_cost(self, request: BedrockConverseRequest, spent: BedrockResponse) -> None:
        """A stop came between two calls of a request: it has no outcome, but what it has cost was spent."""
        line = journal_line(self._pending[str(request.request_id)], spent)
        self._journal.add(line)
        self._tally.spend(line)
        self._keeper.note()

    async def _watch_halt(self) -> None:
        await self._halt.wait()
        self._enough.set()
        self._changed.set()

    async def _next_batch(self) -> Sequence[BedrockConverseRequest]:
        """The next requests for which there is room in the budget; none when all is asked or nothing more may be."""
        while not self._enough.is_set():
            await self._keeper.writable.wait()
            if not self._waiting and not self._is_through:
                await self._look_further()
            requests = self._start_waiting()
            if requests:
                return requests
            if self._waiting or self._is_through:
                if not self._standing.in_flight:
                    self._standing.is_out_of_budget = bool(self._waiting)
                    break
                self._changed.clear()
                await self._changed.wait()
        return ()

    async def _look_further(self) -> None:
        """The next look into the source; the one behind it is already being taken."""
        look = self._look_ahead or self._look()
        self._look_ahead = None
        batch = await look
        if not batch.ended:
            self._look_ahead = self._look()
        self._is_through = batch.ended
        self._count(batch)
        self._waiting.extend(zip(batch.requests, batch.asked, strict=True))

    def _start_waiting(self) -> list[BedrockConverseRequest]:
        requests = []
        while self._waiting and (self._purse is None or self._purse.has_room):
            request, asked = self._waiting.popleft()
            self._pending[asked.id] = asked
            requests.append(request)
            if self._purse is not None:
                self._purse.start()
        return requests

    def _look(self) -> asyncio.Task[Batch]:
        most = max(_LEAST_BATCH, self._spec.parallel.max_concurrent_requests)
        return asyncio.create_task(asyncio.to_thread(self._intake.next, most, _ROWS_PER_LOOK))

    def _count(self, batch: Batch) -> None:
        self._tally.reuse(batch.reused)
        self._tally.fail(CAUSE, batch.truncated)
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
        place = self._journal.add(line).pack()
        self._tally.spend(line)
        self._settle(response)
        self._keeper.note()
        if self._asks_again(request, asked, response, place):
            return
        keeps_first = not response.success and asked.cut_place
        self._intake.places[asked.index] = asked.cut_place if keeps_first else place
        self._standing.asked += 1
        cause = None if keeps_first else self._cause(response, line)
        if cause is None:
            self._tally.succeeded += 1
        else:
            self._tally.fail(cause)
            self._tally.sample(asked.id, cause, self._said_of(cause, line))
            if self._spec.dedupe:
                self._failed_causes[asked.index] = cause
        self._follow(self._followers.pop(asked.index, 0), cause)

    def _settle(self, response: BedrockResponse) -> None:
        if self._purse is not None:
            tokens = response.usage.total_tokens
            self._purse.settle(response.cost_usd if tokens else 0.0, tokens)
            if self._purse.is_spent and len(self._pending) > self._standing.in_flight:
                self._standing.is_out_of_budget = True
                self._enough.set()

    def _asks_again(self, request: BedrockConverseRequest, asked: Asked, response: BedrockResponse, place: int) -> bool:
        """Whether an answer that was cut off is asked once more, with a larger limit."""
        again = self._truncation.again_tokens(asked.max_tokens) if response.is_truncated else None
        if again is None or self._enough.is_set():
            return False
        cut = replace(asked, max_tokens=again, cut_place=place if response.success else 0)
        self._waiting.appendleft((self._truncation.with_limit(request, again), cut))
        return True

    def _cause(self, response: BedrockResponse, line: Mapping[str, Any]) -> str | None:
        if response.success:
            return CAUSE if self._truncation.fails and response.is_truncated else None
        return str(line["error"]["cause"])

    def _said_of(self, cause: str, line: Mapping[str, Any]) -> str:
        """A validation function of the user's may quote the answer, which the manifest must not hold."""
        if cause == "invalid_answer" and self._spec.validation is not None:
            return "The answer was rejected; the output says why."
        return str(self._truncation.outcome(line)["error"]["message"])
