"""The batch jobs of one run: submitted exactly once, awaited, landed in the journal. The runner asks the rest.

What makes it exactly once: the records of a job are cut once (`batch_files`), what they are cut into names the job
(`clientRequestToken`), and that AWS is about to be asked is on storage before it is asked. Whoever comes later finds
the ARN, or asks under the same token and is told the same ARN, or finds the job by its name.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Protocol

from airflow_provider_bedrock_llm.core.batch_plan import ChunkState, JobView, poll_seconds
from airflow_provider_bedrock_llm.core.errors import ConfigurationError, JobError, JobStoppedError
from airflow_provider_bedrock_llm.core.faults import Fault, Reaction, classify
from airflow_provider_bedrock_llm.core.response import BedrockResponse
from airflow_provider_bedrock_llm.core.transport import Failure
from airflow_provider_bedrock_llm.jobs.batch_files import BatchFiles
from airflow_provider_bedrock_llm.jobs.batch_landing import BatchLanding
from airflow_provider_bedrock_llm.jobs.batch_planning import BatchPlanner

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence
    from typing import Any

    from airflow_provider_bedrock_llm.aws.batch_store import BatchStore
    from airflow_provider_bedrock_llm.core.batch_options import BatchOptions
    from airflow_provider_bedrock_llm.core.batch_plan import Chunk
    from airflow_provider_bedrock_llm.core.batch_record import BatchDialogue
    from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest
    from airflow_provider_bedrock_llm.jobs.asking import Asks
    from airflow_provider_bedrock_llm.jobs.intake import Intake
    from airflow_provider_bedrock_llm.jobs.job import JobSpec
    from airflow_provider_bedrock_llm.jobs.journal import Journal
    from airflow_provider_bedrock_llm.jobs.keeper import Keeper
    from airflow_provider_bedrock_llm.jobs.lease import Lease
    from airflow_provider_bedrock_llm.jobs.ledger import Ledger
    from airflow_provider_bedrock_llm.jobs.standing import Standing

__all__ = ["BatchCalls", "BatchDesk", "BatchRun", "LeftToBatch"]

log = logging.getLogger(__name__)

_MOST_FAILURES_IN_A_ROW = 20
_QUOTA = "ServiceQuotaExceededException"
"""Others of the account have jobs, too; it is waited for a place, and that is no failure."""
_UNSUCCESSFUL = frozenset({"Failed", "Stopped"})


class BatchCalls(Protocol):
    """`aws.batch_jobs.BatchJobs`."""

    async def create(self, request: Mapping[str, Any]) -> str | Failure:
        """Ask for a job."""
        ...

    async def look(self, arn: str) -> JobView | Failure:
        """How a job stands."""
        ...

    async def find(self, name: str) -> list[JobView] | Failure:
        """The jobs whose names contain this."""
        ...


class BatchDesk:
    """What batch jobs need of a connection.

    Args:
        options: role, place, limits.
        dialogue: makes records and judges outcomes.
        calls: of the region that the jobs run in.
        store: the S3 place.
        model_id: what the jobs are asked of: a model, or an inference profile.
    """

    def __init__(
        self, options: BatchOptions, dialogue: BatchDialogue, calls: BatchCalls, store: BatchStore, model_id: str
    ) -> None:
        self.options = options
        self.dialogue = dialogue
        self.calls = calls
        self.store = store
        self.model_id = model_id


class BatchRun:
    """The batch jobs of one runner.

    Args:
        spec: the enrichment job.
        desk: the connection's part.
        lease: the right to run it.
        journal: takes what lands.
        keeper: keeps it.
        standing: is told how far the jobs are.
        halt: when set, nothing more is submitted or awaited; jobs go on without anyone.
    """

    def __init__(
        self,
        spec: JobSpec,
        desk: BatchDesk,
        lease: Lease,
        journal: Journal,
        keeper: Keeper,
        standing: Standing,
        halt: asyncio.Event,
    ) -> None:
        self._desk = desk
        self._calls = desk.calls
        self._options = desk.options
        self._lease = lease
        self._standing = standing
        self._halt = halt
        self._files = BatchFiles(spec.folder)
        self._landing = BatchLanding(
            desk.dialogue, self._files, desk.store, journal, keeper, standing, dedupe=spec.dedupe
        )
        self._planner = BatchPlanner(spec.job_uri, desk.options, desk.dialogue, self._files, desk.store)
        self._failures = 0
        self._unsuccessful: list[str] = []
        self.failed_ids: set[str] = set()
        """Records that a batch job failed: now they are asked on demand, or not at all."""

    async def finish_open(self, ledger: Ledger) -> bool:
        """See the jobs to their end that an earlier runner has begun.

        Returns:
            Whether there were any: the journal has more than the ledger then.
        """
        chunks = [chunk for chunk in await asyncio.to_thread(self._files.chunks) if chunk.is_open]
        if chunks:
            log.info("%d batch jobs of an earlier run are still open", len(chunks))
            await self._finish(chunks, ledger)
        return bool(chunks)

    async def run_round(self, intake: Intake, ledger: Ledger) -> None:
        """Make batch jobs of what has no answer, and see them to their end.

        Raises:
            JobStoppedError: AWS failed a job, or somebody stopped it; what it had answered is kept.
            ConfigurationError: AWS refuses the job.
        """
        self._unsuccessful.clear()
        await asyncio.to_thread(self._lease.check)
        left = await asyncio.to_thread(self._planner.plan, intake, ledger, lambda: not self._halt.is_set())
        self.failed_ids |= left
        chunks = [chunk for chunk in await asyncio.to_thread(self._files.chunks) if chunk.is_open]
        await self._finish(chunks, ledger)
        if self._unsuccessful:
            raise JobStoppedError(
                f"{len(self._unsuccessful)} of {len(chunks)} batch jobs gave no answers: {self._unsuccessful[0]}. What "
                "was answered is kept: mend the cause and run the task again, which makes new jobs for the rest alone."
            )

    async def _finish(self, chunks: Sequence[Chunk], ledger: Ledger) -> None:
        open_chunks = {chunk.name: chunk for chunk in chunks}
        views: dict[str, JobView] = {}
        looks = 0
        while open_chunks and not self._halt.is_set():
            await self._submit_what_fits(open_chunks)
            ended = 0
            for chunk in [chunk for chunk in open_chunks.values() if chunk.arn is not None]:
                view = await self._look(chunk)
                if view is None:
                    continue
                views[chunk.name] = view
                if view.has_ended:
                    await self._land(chunk, view, ledger)
                    del open_chunks[chunk.name]
                    ended += 1
            self._tell(chunks, views)
            looks = 0 if ended else looks + 1
            if open_chunks and not ended:
                await self._pause(poll_seconds(looks - 1, self._options.first_poll_seconds, self._longest))

    @property
    def _longest(self) -> float:
        return self._options.longest_poll_seconds

    async def _submit_what_fits(self, open_chunks: dict[str, Chunk]) -> None:
        for chunk in list(open_chunks.values()):
            under_way = sum(one.arn is not None for one in open_chunks.values())
            if chunk.arn is not None or self._halt.is_set():
                continue
            if under_way >= self._options.limits.jobs_in_flight:
                return
            now = await self._submit(chunk)
            if not now.is_open:
                del open_chunks[chunk.name]
                continue
            open_chunks[chunk.name] = now
            if now.arn is None:
                return

    async def _submit(self, chunk: Chunk) -> Chunk:
        """Get a job for a chunk; without an ARN where it is to be tried again."""
        if chunk.state is ChunkState.INTENDED and (known := await self._find(chunk)) is not None:
            return await self._save(chunk.submitted(known))
        await asyncio.to_thread(self._lease.check)
        if await asyncio.to_thread(self._files.is_to_stop, chunk):
            return await self._save(chunk.dropped())
        chunk = await self._save(chunk.intended())
        outcome = await self._calls.create(
            self._options.request(
                model_id=self._desk.model_id,
                name=chunk.job_name,
                token=chunk.token,
                input_uri=chunk.input_uri,
                output_uri=chunk.output_uri,
            )
        )
        if isinstance(outcome, Failure):
            if outcome.code == "ConflictException" and (known := await self._find(chunk)) is not None:
                return await self._save(chunk.submitted(known))
            self._bear(outcome, "asked for a batch job")
            return chunk
        self._failures = 0
        log.info("%s: %d records of %s", outcome, chunk.records, self._desk.model_id)
        return await self._save(chunk.submitted(outcome))

    async def _find(self, chunk: Chunk) -> str | None:
        """The ARN of a job that bears the chunk's name."""
        found = await self._calls.find(chunk.job_name)
        if isinstance(found, Failure):
            self._bear(found, "looked for a batch job")
            return None
        return next((view.arn for view in found if view.name == chunk.job_name), None)

    async def _look(self, chunk: Chunk) -> JobView | None:
        view = await self._calls.look(str(chunk.arn))
        if isinstance(view, Failure):
            self._bear(view, f"looked at {chunk.arn}")
            return None
        self._failures = 0
        return view

    async def _land(self, chunk: Chunk, view: JobView, ledger: Ledger) -> None:
        self.failed_ids |= await self._landing.land(chunk, view, ledger)
        await asyncio.to_thread(self._lease.check)
        await self._save(chunk.landed(view.status))
        log.info("%s: %s, %d of %d records processed", view.arn, view.status, view.processed, chunk.records)
        if view.status in _UNSUCCESSFUL and not await asyncio.to_thread(self._files.is_to_stop, chunk):
            self._unsuccessful.append(f"{view.arn} {view.status}{f': {view.message}' if view.message else ''}")

    async def _save(self, chunk: Chunk) -> Chunk:
        await asyncio.to_thread(self._files.save, chunk)
        return chunk

    def _bear(self, failure: Failure, doing: str) -> None:
        """Go on after a failure that may pass.

        Raises:
            ConfigurationError: it does not pass.
            JobStoppedError: it has not passed for long.
        """
        if failure.code == _QUOTA:
            log.info("AWS takes no further batch job now: %s", failure.message)
            return
        fault = classify(failure)
        details: dict[str, Any] = {
            "aws_code": failure.code or None,
            "aws_message": failure.message or None,
            "request_id": failure.request_id,
        }
        if fault.reaction not in {Reaction.RETRY, Reaction.REFRESH} and fault is not Fault.UNKNOWN:
            raise ConfigurationError(
                f"AWS refused when it was {doing}. Check batch_role_arn, batch_s3_uri, the model and the connection's "
                "right to bedrock:CreateModelInvocationJob, Get-, List- and StopModelInvocationJob and iam:PassRole.",
                **details,
            )
        self._failures += 1
        if self._failures > _MOST_FAILURES_IN_A_ROW:
            raise JobStoppedError(
                f"AWS failed {self._failures} times in a row when it was {doing}. "
                "Jobs that run go on, and the next run of the task finds them.",
                **details,
            )
        log.warning("AWS was %s and said %s; trying again", doing, failure.code)

    def _tell(self, chunks: Sequence[Chunk], views: Mapping[str, JobView]) -> None:
        self._standing.batch = {
            "jobs": len(chunks),
            "ended": sum(view.has_ended for view in views.values()),
            "records": sum(chunk.records for chunk in chunks),
            "processed": sum(view.processed for view in views.values()),
        }

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._halt.wait(), seconds)


class LeftToBatch:
    """An engine that does not ask for records that a batch job failed.

    Args:
        engine: asks for the others: rows that are too few for a job, or that batch jobs do not take.
        failed_ids: the records that are left as they are.
    """

    def __init__(self, engine: Asks, failed_ids: Container[str]) -> None:
        self._engine = engine
        self._failed_ids = failed_ids

    async def ask(self, request: BedrockConverseRequest) -> BedrockResponse:
        """Ask, or say why not."""
        if request.request_id not in self._failed_ids:
            return await self._engine.ask(request)
        error = JobError(
            "The batch job gave no valid answer for this record, and finish_on_demand is off. Its line in the job's "
            "results says why; set finish_on_demand=True to ask such records on demand."
        )
        return BedrockResponse(success=False, cost_usd=0.0, error=error, request_id=request.request_id)
