"""What a batch job wrote to S3 becomes lines of the journal, joined by `recordId` in whatever order it comes."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.core.batch_plan import record_number
from airflow_provider_bedrock_llm.core.errors import JobError
from airflow_provider_bedrock_llm.core.response import BedrockResponse
from airflow_provider_bedrock_llm.jobs.batch_files import asked_of
from airflow_provider_bedrock_llm.jobs.ledger import ledger_key
from airflow_provider_bedrock_llm.jobs.result import journal_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_bedrock_llm.aws.batch_store import BatchStore
    from airflow_provider_bedrock_llm.core.batch_plan import Chunk, JobView
    from airflow_provider_bedrock_llm.core.batch_record import BatchDialogue
    from airflow_provider_bedrock_llm.jobs.batch_files import BatchFiles
    from airflow_provider_bedrock_llm.jobs.journal import Journal
    from airflow_provider_bedrock_llm.jobs.keeper import Keeper
    from airflow_provider_bedrock_llm.jobs.ledger import Ledger
    from airflow_provider_bedrock_llm.jobs.record import Asked
    from airflow_provider_bedrock_llm.jobs.standing import Standing

__all__ = ["BatchLanding"]

log = logging.getLogger(__name__)

_LINES_AT_ONCE = 256
_OUTPUT_SUFFIX = ".jsonl.out"
_HAS_TRIED_ALL = frozenset({"Completed", "PartiallyCompleted", "Expired"})
"""After these, a record without an outcome is not going to get one. A job that failed or was stopped tells nothing of
the records that it did not come to."""


class BatchLanding:
    """Lands chunks. The reading is a thread's; what is added to the journal is added on the loop.

    Args:
        dialogue: judges and prices what came.
        files: know whose records they are.
        store: has the output.
        journal: takes the lines.
        keeper: brings them to storage.
        standing: is told what was spent.
        dedupe: as the job has it.
    """

    def __init__(
        self,
        dialogue: BatchDialogue,
        files: BatchFiles,
        store: BatchStore,
        journal: Journal,
        keeper: Keeper,
        standing: Standing,
        *,
        dedupe: bool,
    ) -> None:
        self._dialogue = dialogue
        self._files = files
        self._store = store
        self._journal = journal
        self._keeper = keeper
        self._standing = standing
        self._dedupe = dedupe

    async def land(self, chunk: Chunk, view: JobView, ledger: Ledger) -> set[str]:
        """Put every outcome that the journal does not have into it, and see it kept.

        Args:
            chunk: which has a job.
            view: the job, at its end.
            ledger: what the journal had when this run began.

        Returns:
            Ids of the records that the job failed.

        Raises:
            OutputError: S3, or the job's folder, cannot be read or written.
        """
        failed: set[str] = set()
        lines = self._lines(chunk, view, ledger)
        while batch := await asyncio.to_thread(lambda: list(itertools.islice(lines, _LINES_AT_ONCE))):
            await self._keeper.writable.wait()
            for line in batch:
                self._journal.add(line)
                self._standing.tally.spend(line)
                if "error" in line:
                    failed.add(line["id"])
                else:
                    self._standing.landed += 1
            self._keeper.note()
        await self._keeper.flush()
        return failed

    def _lines(self, chunk: Chunk, view: JobView, ledger: Ledger) -> Iterator[dict[str, Any]]:
        """Journal lines of what came, then of what did not. Memory grows with the records of one job, not with their
        answers.
        """
        records = self._files.read_records(chunk)
        seen = bytearray(chunk.records)
        strange = 0
        for outcome in self._outcomes(chunk, view):
            number = record_number(outcome.get("recordId"))
            place = -1 if number is None else number - chunk.first
            if not 0 <= place < chunk.records or seen[place]:
                strange += 1
                continue
            seen[place] = 1
            asked = asked_of(records[place])
            if not self._is_landed(asked, ledger):
                yield {**journal_line(asked, self._dialogue.response(outcome)), "batch": view.arn}
        if strange:
            log.warning("%s: %d lines of the output are none of this job's records, or come twice", view.arn, strange)
        if view.status in _HAS_TRIED_ALL:
            for place in range(chunk.records):
                if not seen[place]:
                    asked = asked_of(records[place])
                    if not self._is_landed(asked, ledger):
                        yield _missing(asked, view)

    def _outcomes(self, chunk: Chunk, view: JobView) -> Iterator[dict[str, Any]]:
        folder = f"{chunk.output_uri}{view.arn.rpartition('/')[2]}/"
        for name in self._store.names(folder):
            if not name.endswith(_OUTPUT_SUFFIX):
                continue
            for line in self._store.lines(folder + name):
                try:
                    outcome = json.loads(line)
                except ValueError:
                    outcome = {}
                yield outcome if isinstance(outcome, dict) else {}

    def _is_landed(self, asked: Asked, ledger: Ledger) -> bool:
        key = ledger_key(asked.hash, asked.id, dedupe=self._dedupe)
        return ledger.answer_of_request(key) is not None or asked.key in ledger.failed_in_batch


def _missing(asked: Asked, view: JobView) -> dict[str, Any]:
    error = JobError(f"The batch job {view.arn} ended as {view.status} before it came to this record. Ask it again.")
    line = journal_line(asked, BedrockResponse(success=False, cost_usd=0.0, error=error))
    line["error"]["cause"] = "not_processed"
    return {**line, "batch": view.arn}
