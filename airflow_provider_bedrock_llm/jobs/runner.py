"""Runs a job: takes the lease, takes what the journal has, asks the rest, keeps every answer, writes the output.

Two things go on at once. The asking: source -> requests -> engine -> journal. And the keeping: each second, or each
MiB, what was answered goes to storage, after a look whether somebody else has taken the job over.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import time
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_bedrock_llm.core.errors import LeaseLostError, LLMManagerError, OutputError
from airflow_provider_bedrock_llm.jobs.intake import Batch, Intake, spec_fingerprint
from airflow_provider_bedrock_llm.jobs.journal import Journal
from airflow_provider_bedrock_llm.jobs.keeper import Keeper, Pace, cancel, while_kept
from airflow_provider_bedrock_llm.jobs.lease import Lease, take_lease
from airflow_provider_bedrock_llm.jobs.ledger import read_ledger
from airflow_provider_bedrock_llm.jobs.manifest import MANIFEST_FILE, Manifest, Phase, Speed, State, Tally, iso
from airflow_provider_bedrock_llm.jobs.output import write_output
from airflow_provider_bedrock_llm.jobs.question import Questions
from airflow_provider_bedrock_llm.jobs.result import journal_line

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from airflow_provider_bedrock_llm.core.config import ParallelProcessingConfig
    from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest
    from airflow_provider_bedrock_llm.core.response import BedrockResponse
    from airflow_provider_bedrock_llm.jobs.job import JobSpec
    from airflow_provider_bedrock_llm.jobs.record import Asked

__all__ = ["JobRunner", "Pace", "finished_manifest", "run_job"]

log = logging.getLogger(__name__)

_ROWS_PER_LOOK = 2048
_LEAST_BATCH = 16


class _Engine(Protocol):
    async def ask(self, request: BedrockConverseRequest) -> BedrockResponse: ...


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


async def run_job(
    spec: JobSpec,
    engine: _Engine,
    *,
    stop: asyncio.Event | None = None,
    on_progress: Callable[[Manifest], None] | None = None,
    token: str | None = None,
    ask_all: AskAll | None = None,
    pace: Pace | None = None,
) -> Manifest:
    """Run a job, or go on with it, until every record has an outcome.

    Args:
        spec: the job.
        engine: answers one request; it knows models, regions, retries and the output schema.
        stop: when set, nothing more is asked; what is under way is awaited and kept.
        on_progress: told each second how the job stands, on the loop.
        token: names this run of the task. Where a runner with the same token has ended the job, its outcome is
            returned, and records that failed are not asked again.
        ask_all: runs many requests; `aws.parallel.ask_all` unless given.
        pace: how often results are kept.

    Returns:
        How it ended: `succeeded`, `failed` by the failure policy, or `stopped`. In each case a later run goes on.

    Raises:
        SourceError: the input is missing, empty or malformed.
        TemplateError: a template is not valid, or does not fit.
        OutputError: work_dir or the output cannot be written.
        LeaseLostError: another runner has the job now.
    """
    runner = JobRunner(spec, engine, stop or asyncio.Event(), on_progress, token, ask_all, pace or Pace())
    return await runner.run()


def finished_manifest(spec: JobSpec, token: str | None = None) -> Manifest | None:
    """How a job ended that needs no more work, None where it does. Cheap: two small reads. Blocks.

    Args:
        spec: the job.
        token: as for `run_job`.

    Raises:
        SourceError: the source is gone.
    """
    manifest = Manifest.load(spec.folder)
    if manifest is None or manifest.state == "running":
        return None
    if token is not None and manifest.token == token and manifest.state != "stopped":
        return manifest
    if manifest.state != "succeeded" or manifest.counts.failed or not spec.output.exists():
        return None
    return manifest if manifest.fingerprint == spec_fingerprint(spec) else None


class _CountingEngine:
    """Knows how many requests are under way."""

    def __init__(self, engine: _Engine) -> None:
        self._engine = engine
        self.in_flight = 0

    async def ask(self, request: BedrockConverseRequest) -> BedrockResponse:
        self.in_flight += 1
        try:
            return await self._engine.ask(request)
        finally:
            self.in_flight -= 1


class JobRunner:
    """One run of a job. Use `run_job`."""

    def __init__(
        self,
        spec: JobSpec,
        engine: _Engine,
        stop: asyncio.Event,
        on_progress: Callable[[Manifest], None] | None,
        token: str | None,
        ask_all: AskAll | None,
        pace: Pace,
    ) -> None:
        self._spec = spec
        self._engine = _CountingEngine(engine)
        self._stop = stop
        self._on_progress = on_progress
        self._token = token
        self._ask_all = ask_all
        self._pace = pace
        self._halt = asyncio.Event()
        """Nothing more is asked: a stop was asked for, or something went wrong."""
        self._tally = Tally()
        self._speed = Speed(time.monotonic())
        self._asked_and_ended = 0
        self._total: int | None = None
        self._phase: Phase = "resuming"
        self._fingerprint: str | None = None
        self._started_at = iso(time.time())
        self._pending: dict[str, Asked] = {}
        self._followers: dict[int, int] = {}
        self._failed_causes: dict[int, str] = {}
        self._look_ahead: asyncio.Task[Batch] | None = None

    async def run(self) -> Manifest:
        """See `run_job`."""
        done = await asyncio.to_thread(finished_manifest, self._spec, self._token)
        if done is not None:
            return done
        await asyncio.to_thread(self._open)
        self._keeper = Keeper(self._journal, self._lease, self._pace)
        keeping = asyncio.create_task(self._keeper.run(self._tell_progress))
        watching = asyncio.create_task(self._watch_stop())
        try:
            state, reason = await self._work(keeping)
            await self._end(keeping)
            return await self._close(state, reason)
        except BaseException as error:
            self._halt.set()
            await asyncio.shield(self._wind_up(keeping, error))
            raise
        finally:
            watching.cancel()

    def _open(self) -> None:
        """Take the job over. Everything before the lease only reads."""
        self._folder = self._spec.folder
        self._questions = Questions(self._spec)
        self._runner: dict[str, str | int] = {"host": socket.gethostname(), "pid": os.getpid()}
        epochs = {Journal.epoch_of(name) for name in Journal.list_parts(self._folder)}
        self._lease: Lease = take_lease(self._folder, {**self._runner, "started_at": self._started_at}, epochs)
        parts = Journal.list_parts(self._folder)
        self._journal = Journal(self._folder, self._lease, parts)
        self._earlier_parts = len(parts)
        self._before = Manifest.load(self._folder)
        self._spec.save()
        log.info("Job %s: epoch %d, %d parts of results", self._spec.job_uri, self._lease.epoch, len(parts))

    async def _work(self, keeping: asyncio.Task[None]) -> tuple[State, str | None]:
        if not await while_kept(asyncio.to_thread(self._resume), keeping, self._give_way):
            return "stopped", "a stop was asked for before anything was asked"
        self._phase = "asking"
        reason = await while_kept(self._ask(), keeping, self._give_way)
        await self._keeper.flush()
        is_complete = self._tally.done == self._total
        if is_complete and (reason is None or self._stop.is_set()):
            self._phase = "writing"
            await while_kept(asyncio.to_thread(self._finish), keeping, self._give_way)
            return "succeeded", None
        return ("stopped" if self._stop.is_set() else "failed"), reason

    def _resume(self) -> bool:
        """Read what was answered before, then the source, unless that very source was read through before.

        Returns:
            False where a stop came in between.
        """
        ledger = read_ledger(self._journal, self._earlier_parts, self._tally, dedupe=self._spec.dedupe)
        self._phase = "checking"
        self._intake = Intake(self._spec, self._questions, ledger)
        fingerprint = spec_fingerprint(self._spec)
        before = self._before
        is_known = before is not None and before.fingerprint == fingerprint and self._spec.on_bad_record == "fail"
        if is_known and before is not None and before.counts.total is not None:
            self._intake.expect(before.counts.total)
        elif not self._intake.check(lambda: not self._halt.is_set()):
            return False
        self._fingerprint = fingerprint
        self._total = len(self._intake.places)
        return True

    async def _ask(self) -> str | None:
        """Ask what is left.

        Returns:
            Why it stopped early, if it did.
        """
        ask_all = self._ask_all
        if ask_all is None:
            from airflow_provider_bedrock_llm.aws import parallel  # noqa: PLC0415 - only who calls needs it

            ask_all = parallel.ask_all
        asking = asyncio.ensure_future(
            ask_all(self._engine, self._next_batch, self._take, self._spec.parallel, self._halt)
        )
        halted = asyncio.create_task(self._halt.wait())
        try:
            await asyncio.wait({asking, halted}, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait({asking}, timeout=self._pace.drain_seconds)
            if asking.done():
                return asking.result().stopped_because
            return f"calls were still under way {self._pace.drain_seconds:g} seconds after the stop"
        finally:
            await cancel(halted)
            await cancel(asking)
            if self._look_ahead is not None:
                await asyncio.wait({self._look_ahead})
                self._look_ahead.exception()

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
        for cause in batch.skipped:
            self._tally.skip(cause)
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
        self._asked_and_ended += 1
        self._tally.spend(line)
        cause = None if response.success else line["error"]["cause"]
        if cause is None:
            self._tally.succeeded += 1
        else:
            self._tally.fail(cause)
            if self._spec.dedupe:
                self._failed_causes[asked.index] = cause
        self._follow(self._followers.pop(asked.index, 0), cause)
        self._keeper.note()

    def _finish(self) -> None:
        if spec_fingerprint(self._spec) != self._fingerprint:
            raise self._intake.changed()
        write_output(self._spec, self._intake, self._journal, self._lease.check)

    async def _watch_stop(self) -> None:
        await self._stop.wait()
        self._give_way()

    def _give_way(self) -> None:
        """Start nothing more, and let those go who wait for storage."""
        self._halt.set()
        self._keeper.writable.set()

    async def _close(self, state: State, reason: str | None) -> Manifest:
        self._phase = "ended"
        self._speed.sample(time.monotonic(), self._asked_and_ended)
        await asyncio.to_thread(self._lease.check)
        manifest = self._manifest(state, reason, self._token)
        await asyncio.to_thread(self._write_manifest, manifest)
        if self._on_progress is not None:
            self._on_progress(manifest)
        return manifest

    async def _end(self, keeping: asyncio.Task[None]) -> None:
        """Wait for the last thing that the keeper does; what it raises was of interest before, or is told later."""
        self._keeper.end()
        await asyncio.wait({keeping})
        keeping.exception()

    async def _wind_up(self, keeping: asyncio.Task[None], error: BaseException) -> None:
        """Something ended the run: keep what was answered, and say what it was unless the job is another's."""
        await self._end(keeping)
        self._phase = "ended"
        with self._logged():
            await self._keeper.flush_once()
        if isinstance(error, LeaseLostError):
            return
        state: State = "stopped" if isinstance(error, asyncio.CancelledError) else "failed"
        reason = str(error) if isinstance(error, LLMManagerError) else type(error).__name__
        with self._logged():
            await asyncio.to_thread(self._lease.check)
            await asyncio.to_thread(self._write_manifest, self._manifest(state, reason, None))

    @contextlib.contextmanager
    def _logged(self) -> Iterator[None]:
        """What fails while another error is on its way is worth a line, not a word before that one."""
        try:
            yield
        except (OutputError, LeaseLostError) as error:
            log.warning("Job %s: %s", self._spec.job_uri, error)

    async def _tell_progress(self) -> None:
        """The manifest is a report: where it cannot be written now, the next second will do."""
        self._speed.sample(time.monotonic(), self._asked_and_ended)
        manifest = self._manifest("running", None, None)
        with self._logged():
            await asyncio.to_thread(self._write_manifest, manifest)
        if self._on_progress is not None:
            self._on_progress(manifest)

    def _write_manifest(self, manifest: Manifest) -> None:
        self._folder.child(MANIFEST_FILE).write(manifest.to_json())

    def _manifest(self, state: State, reason: str | None, token: str | None) -> Manifest:
        counts = self._tally.counts(self._total)
        return Manifest(
            state=state,
            phase=self._phase,
            job_uri=self._spec.job_uri,
            epoch=self._lease.epoch,
            runner=self._runner,
            started_at=self._started_at,
            updated_at=iso(time.time()),
            counts=counts,
            rows_per_second=round(self._speed.rows_per_second, 3),
            eta_seconds=self._speed.eta_seconds(None if self._total is None else self._total - counts.done),
            in_flight=self._engine.in_flight,
            output_uri=self._spec.output.uri if state == "succeeded" else None,
            token=token,
            fingerprint=self._fingerprint,
            error=reason,
            **self._tally.money,
        )
