"""Runs a job: takes the lease, takes what the journal has, asks the rest, keeps every answer, writes the output.

Two things go on at once. The asking: source -> requests -> engine -> journal (`asking`). And the keeping: each second,
or each MiB, what was answered goes to storage, after a look whether somebody else has taken the job over (`keeper`).
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
from functools import cache
from typing import TYPE_CHECKING

from airflow_provider_bedrock_llm.core.errors import LeaseLostError, LLMManagerError, OutputError
from airflow_provider_bedrock_llm.jobs.asking import AskAll, Asking, Asks
from airflow_provider_bedrock_llm.jobs.batch_run import BatchRun, LeftToBatch
from airflow_provider_bedrock_llm.jobs.intake import Intake, spec_fingerprint
from airflow_provider_bedrock_llm.jobs.journal import Journal
from airflow_provider_bedrock_llm.jobs.keeper import Keeper, Pace, while_kept
from airflow_provider_bedrock_llm.jobs.lease import take_lease
from airflow_provider_bedrock_llm.jobs.ledger import read_ledger
from airflow_provider_bedrock_llm.jobs.manifest import MANIFEST_FILE, Manifest, State
from airflow_provider_bedrock_llm.jobs.media import FileEngine
from airflow_provider_bedrock_llm.jobs.output import write_output
from airflow_provider_bedrock_llm.jobs.question import Questions
from airflow_provider_bedrock_llm.jobs.standing import Standing
from airflow_provider_bedrock_llm.jobs.tally import Tally
from airflow_provider_bedrock_llm.jobs.task_answers import TaskAnswers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_bedrock_llm.jobs.batch_run import BatchDesk
    from airflow_provider_bedrock_llm.jobs.job import JobSpec

__all__ = ["JobRunner", "Pace", "finished_manifest", "run_job"]

log = logging.getLogger(__name__)

_CALM_SECONDS = 10.0
"""Between looks at the lease while batch jobs run, for hours and without an answer of our own."""


async def run_job(
    spec: JobSpec,
    engine: Asks,
    *,
    stop: asyncio.Event | None = None,
    on_progress: Callable[[Manifest], None] | None = None,
    token: str | None = None,
    ask_all: AskAll | None = None,
    pace: Pace | None = None,
    desk: BatchDesk | None = None,
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
        desk: where the job wants AWS batch jobs: what they need of the connection. The engine asks what they leave.

    Returns:
        How it ended: `succeeded`, `failed` by the failure policy, or `stopped`. In each case a later run goes on.

    Raises:
        SourceError: the input is missing, empty or malformed.
        TemplateError: a template is not valid, or does not fit.
        OutputError: work_dir or the output cannot be written.
        LeaseLostError: another runner has the job now.
    """
    runner = JobRunner(spec, engine, stop or asyncio.Event(), on_progress, token, ask_all, pace or Pace(), desk)
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
    if manifest.state != "succeeded" or manifest.counts.failed or not spec.output_mark.exists():
        return None
    if spec.media_columns:  # files may have changed where the rows that name them have not
        return None
    return manifest if manifest.fingerprint == spec_fingerprint(spec) else None


class JobRunner:
    """One run of a job. Use `run_job`."""

    def __init__(
        self,
        spec: JobSpec,
        engine: Asks,
        stop: asyncio.Event,
        on_progress: Callable[[Manifest], None] | None,
        token: str | None,
        ask_all: AskAll | None,
        pace: Pace,
        desk: BatchDesk | None = None,
    ) -> None:
        self._spec = spec
        self._engine: Asks = FileEngine(engine) if spec.media_columns else engine
        self._stop = stop
        self._on_progress = on_progress
        self._token = token
        self._ask_all = ask_all
        self._pace = pace
        self._desk = desk
        self._halt = asyncio.Event()
        """Nothing more is asked: a stop was asked for, or something went wrong."""

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
        folder = self._spec.folder
        self._standing = Standing(self._spec.job_uri, self._spec.output.uri)
        self._questions = Questions(self._spec)
        epochs = {Journal.epoch_of(name) for name in Journal.list_parts(folder)}
        owner = {**self._standing.runner, "started_at": self._standing.started_at}
        self._lease = take_lease(folder, owner, epochs)
        self._standing.epoch = self._lease.epoch
        self._task_answers = None
        if self._spec.answers_uri is not None:
            self._task_answers = TaskAnswers(self._spec.answers_uri, folder, self._lease)
            self._task_answers.carry()
        parts = Journal.list_parts(folder)
        self._journal = Journal(folder, self._lease, parts)
        self._earlier_parts = len(parts)
        self._before = Manifest.load(folder)
        if self._before is not None:
            self._standing.go_on_from(self._before)
        self._spec.save()
        log.info("Job %s: epoch %d, %d parts of results", self._spec.job_uri, self._lease.epoch, len(parts))

    async def _work(self, keeping: asyncio.Task[None]) -> tuple[State, str | None]:
        if not await while_kept(asyncio.to_thread(self._resume), keeping, self._give_way):
            return "stopped", "a stop was asked for before anything was asked"
        if self._desk is not None and not await while_kept(self._ask_in_batches(self._desk), keeping, self._give_way):
            return "stopped", "a stop was asked for while batch jobs ran; they go on, and the next run finds them"
        self._standing.phase = "asking"
        reason = await while_kept(self._ask(), keeping, self._give_way)
        await self._keeper.flush()
        if self._standing.is_complete and (reason is None or self._stop.is_set()):
            self._standing.phase = "writing"
            await while_kept(asyncio.to_thread(self._finish), keeping, self._give_way)
            return "succeeded", None
        return ("stopped" if self._stop.is_set() else "failed"), reason

    def _resume(self) -> bool:
        """Read what was answered before, then the source, unless that very source was read through before.

        Returns:
            False where a stop came in between.
        """
        standing, before = self._standing, self._before
        self._ledger = read_ledger(
            self._journal,
            self._earlier_parts,
            standing.tally,
            dedupe=self._spec.dedupe,
            expected=before.counts.succeeded if before is not None else 0,
        )
        standing.phase = "checking"
        self._intake = Intake(self._spec, self._questions, self._ledger)
        fingerprint = spec_fingerprint(self._spec)
        is_known = before is not None and before.fingerprint == fingerprint and self._spec.on_bad_record == "fail"
        if is_known and before is not None and before.counts.total is not None:
            self._intake.expect(before.counts.total)
        elif not self._intake.check(lambda: not self._halt.is_set()):
            return False
        standing.fingerprint = fingerprint
        standing.total = len(self._intake.places)
        return True

    async def _ask_in_batches(self, desk: BatchDesk) -> bool:
        """Let AWS's batch jobs answer what they can. Afterwards the journal is read anew, as if this were a later run.

        Returns:
            False where a stop came in between.
        """
        standing, keeper = self._standing, self._keeper
        batch = BatchRun(self._spec, desk, self._lease, self._journal, keeper, standing, self._halt)
        standing.phase, keeper.calm_seconds = "batch", _CALM_SECONDS
        try:
            if await batch.finish_open(self._ledger) and not await self._resume_anew():
                return False
            await batch.run_round(self._intake, self._ledger)
        finally:
            keeper.calm_seconds = None
        if not desk.options.finish_on_demand:
            self._engine = LeftToBatch(self._engine, batch.failed_ids)
        return await self._resume_anew()

    async def _resume_anew(self) -> bool:
        """Read back what has landed; the source was checked before."""
        await self._keeper.flush()
        self._earlier_parts = len(self._journal.parts) - 1
        self._standing.tally = Tally()
        return not self._halt.is_set() and await asyncio.to_thread(self._resume)

    async def _ask(self) -> str | None:
        ask_all = self._ask_all
        if ask_all is None:
            from airflow_provider_bedrock_llm.aws import parallel  # noqa: PLC0415 - only who calls needs it

            ask_all = parallel.ask_all
        _spare_what_is_loaded()
        asking = Asking(self._spec, self._engine, self._intake, self._journal, self._keeper, self._standing, self._halt)
        return await asking.run(ask_all, self._pace.drain_seconds)

    def _finish(self) -> None:
        if spec_fingerprint(self._spec) != self._standing.fingerprint:
            raise self._intake.changed()
        write_output(self._spec, self._intake, self._journal, self._lease.check)
        if self._task_answers is not None:
            self._task_answers.give_back(self._journal, self._intake.places)

    async def _watch_stop(self) -> None:
        await self._stop.wait()
        self._give_way()

    def _give_way(self) -> None:
        """Ask nothing more, and let those go who wait for storage."""
        self._halt.set()
        self._keeper.writable.set()

    async def _close(self, state: State, reason: str | None) -> Manifest:
        self._standing.phase = "ended"
        await asyncio.to_thread(self._lease.check)
        manifest = self._standing.manifest(state, reason, self._token)
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
        self._standing.phase = "ended"
        with self._logged():
            await self._keeper.flush_once()
        if isinstance(error, LeaseLostError):
            return
        state: State = "stopped" if isinstance(error, asyncio.CancelledError) else "failed"
        reason = str(error) if isinstance(error, LLMManagerError) else type(error).__name__
        with self._logged():
            await asyncio.to_thread(self._lease.check)
            await asyncio.to_thread(self._write_manifest, self._standing.manifest(state, reason))

    @contextlib.contextmanager
    def _logged(self) -> Iterator[None]:
        """What fails while another error is on its way is worth a line, not a word before that one."""
        try:
            yield
        except (OutputError, LeaseLostError) as error:
            log.warning("Job %s: %s", self._spec.job_uri, error)

    async def _tell_progress(self) -> None:
        """The manifest is a report: where it cannot be written now, the next second will do."""
        manifest = self._standing.manifest("running")
        with self._logged():
            await asyncio.to_thread(self._write_manifest, manifest)
        if self._on_progress is not None:
            self._on_progress(manifest)

    def _write_manifest(self, manifest: Manifest) -> None:
        self._spec.folder.child(MANIFEST_FILE).write(manifest.to_json())


@cache
def _spare_what_is_loaded() -> None:
    """Leave what is loaded by now out of garbage collections, once per process.

    To go through everything that Airflow has loaded holds up every thread for a sixth of a second, several times a
    minute while a job makes and drops objects; and next to nothing of it is ever garbage.
    """
    gc.freeze()
