"""A round of batch jobs: every record that has no answer becomes a line, lines become input files in S3."""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from array import array
from typing import IO, TYPE_CHECKING

from airflow_provider_bedrock_llm.core.batch_plan import Chunk, job_name, plan_slices, record_id, request_token
from airflow_provider_bedrock_llm.jobs.batch_files import asked_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_bedrock_llm.aws.batch_store import BatchStore
    from airflow_provider_bedrock_llm.core.batch_options import BatchOptions
    from airflow_provider_bedrock_llm.core.batch_plan import Slice
    from airflow_provider_bedrock_llm.core.batch_record import BatchDialogue
    from airflow_provider_bedrock_llm.jobs.batch_files import BatchFiles
    from airflow_provider_bedrock_llm.jobs.intake import Intake
    from airflow_provider_bedrock_llm.jobs.ledger import Ledger

__all__ = ["BatchPlanner"]

log = logging.getLogger(__name__)

_REQUESTS_PER_LOOK = 512
_ROWS_PER_LOOK = 4096
_KEPT_IN_MEMORY_BYTES = 8 * 1024 * 1024


class BatchPlanner:
    """Plans rounds. Blocks: used in a thread. Memory grows by some bytes a record; the lines go to a temporary file.

    Args:
        job_uri: the enrichment job's folder.
        options: place and limits.
        dialogue: makes the records.
        files: remember the plan.
        store: takes the inputs.
    """

    def __init__(
        self, job_uri: str, options: BatchOptions, dialogue: BatchDialogue, files: BatchFiles, store: BatchStore
    ) -> None:
        self._job_uri = job_uri
        self._options = options
        self._dialogue = dialogue
        self._files = files
        self._store = store

    def plan(self, intake: Intake, ledger: Ledger, is_wanted: Callable[[], bool]) -> set[str]:
        """Walk through the source and put a plan in force for what has no answer and was in no batch job yet.

        Args:
            intake: at the start of the source; it is used up.
            ledger: knows which records a batch job has failed before.
            is_wanted: asked now and then; False ends it without a plan.

        Returns:
            Ids of the records that a batch job has failed before.
        """
        failed: set[str] = set()
        with (
            tempfile.SpooledTemporaryFile(_KEPT_IN_MEMORY_BYTES) as records,
            tempfile.SpooledTemporaryFile(_KEPT_IN_MEMORY_BYTES) as asked,
        ):
            sizes, asked_sizes, unfit = array("L"), array("L"), 0
            ended = False
            while not ended:
                if not is_wanted():
                    return failed
                batch = intake.next(_REQUESTS_PER_LOOK, _ROWS_PER_LOOK)
                ended = batch.ended
                for request, whose in zip(batch.requests, batch.asked, strict=True):
                    if whose.key in ledger.failed_in_batch:
                        failed.add(whose.id)
                        continue
                    model_input = self._dialogue.model_input(request)
                    if model_input is None:
                        unfit += 1
                        continue
                    line = {"recordId": record_id(len(sizes)), "modelInput": model_input}
                    sizes.append(records.write(json.dumps(line, ensure_ascii=False).encode(errors="replace") + b"\n"))
                    asked_sizes.append(asked.write(asked_line(whose)))
            self._begin(records, sizes, asked, asked_sizes, unfit)
        return failed

    def _begin(
        self, records: IO[bytes], sizes: array[int], asked: IO[bytes], asked_sizes: array[int], unfit: int
    ) -> None:
        limits = self._options.limits
        slices = plan_slices(sizes, limits)
        left = len(sizes) - sum(one.records for one in slices)
        if unfit:
            log.info("%d records use tools or managed prompts, which batch jobs do not take: on demand", unfit)
        if left:
            log.info(
                "%d records are too few for a batch job (min_records=%d) or too large: on demand",
                left,
                limits.min_records,
            )
        if not slices:
            return
        name = self._files.next_round()
        records.seek(0)
        asked.seek(0)
        chunks = []
        at = 0
        for number, one in enumerate(slices, 1):
            _skip(records, sizes, at, one.start)
            _skip(asked, asked_sizes, at, one.start)
            chunks.append(self._write(f"{name}-{number:05d}", one, records, asked))
            at = one.stop
        if self._files.begin_round(name, chunks):
            log.info("%d records in %d batch jobs", sum(one.records for one in slices), len(chunks))

    def _write(self, name: str, one: Slice, records: IO[bytes], asked: IO[bytes]) -> Chunk:
        """Bring a slice to S3 and into the job's folder, under names that tell what is in it."""
        with tempfile.SpooledTemporaryFile(_KEPT_IN_MEMORY_BYTES) as part:
            digest = hashlib.sha256()
            for _ in range(one.records):
                line = records.readline()
                digest.update(line)
                part.write(line)
            token = request_token(self._job_uri, name, digest.hexdigest())
            root = f"{self._options.s3_uri.rstrip('/')}/{job_name(self._job_uri, '')}"
            chunk = Chunk(
                name=name,
                records=one.records,
                first=one.start,
                size_bytes=one.size_bytes,
                token=token,
                job_name=job_name(self._job_uri, name, token),
                input_uri=f"{root}/{name}-{token[:16]}/input.jsonl",
                output_uri=f"{root}/{name}-{token[:16]}/output/",
                records_name=f"{name}-{token[:16]}.records",
            )
            self._files.write_records(chunk.records_name, [asked.readline() for _ in range(one.records)])
            part.seek(0)
            self._store.put(chunk.input_uri, part)
        return chunk


def _skip(stream: IO[bytes], sizes: array[int], at: int, to: int) -> None:
    """Leave out lines that are in no slice."""
    if to > at:
        stream.seek(sum(sizes[at:to]), 1)
