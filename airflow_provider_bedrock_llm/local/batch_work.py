"""What a batch job does: reads its records from S3, answers them at its own pace, writes what came of it.

The texts of a job that fails its validation are those that AWS's users have reported; the rest are this endpoint's.
"""

from __future__ import annotations

import asyncio
import json
import random
from typing import TYPE_CHECKING, Any

from .answers import Answer, ConverseCall
from .batch_store import BatchStore, StoredFile, StoreError
from .conversation import check_conversation
from .embeddings import embed
from .faults import Suspect
from .prompt_cache import CacheUse
from .replies import converse_reply, usage_of
from .schema_rules import check_output_schema
from .token_count import count_request
from .wire import dump_json
from .wire_errors import ErrorReply, Refused, validation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .batch_jobs import BatchJob
    from .runtime import Runtime
    from .state import EndpointState

__all__ = ["RECORD", "BatchWork"]

RECORD = "BatchRecord"
"""What fault rules call a record of a batch job: `error` fails it, any other action leaves it unprocessed."""

_PAUSE_SECONDS = 0.02
_GENERATED_ID_DIGITS = 10


class _JobFailedError(Exception):
    """The job ends as Failed."""


class BatchWork:
    """Does the work of jobs, one task each."""

    def __init__(self, state: EndpointState, runtime: Runtime) -> None:
        self._state = state
        self._runtime = runtime

    async def do(self, job: BatchJob) -> None:
        """Bring a job from Submitted to its end."""
        try:
            await self._run(job)
        except (_JobFailedError, StoreError) as error:
            job.move_to("Failed", str(error))
        except Refused as refused:
            job.move_to("Failed", refused.reply.message)

    async def _run(self, job: BatchJob) -> None:
        settings, now = self._state.batch.settings, self._state.now
        deadline = now() + job.timeout_hours * settings.hour_seconds
        store = BatchStore(self._state.settings.s3_endpoint, job.caller.region)
        try:
            job.move_to("Validating")
            files = await asyncio.to_thread(store.files, job.request["inputDataConfig"]["s3InputDataConfig"]["s3Uri"])
            job.total = await asyncio.to_thread(self._validate, job, store, files)
            job.move_to("Scheduled")
            begins_at = now() + settings.queue_seconds
            while now() < begins_at and not job.is_stopping:
                await asyncio.sleep(min(_PAUSE_SECONDS, settings.queue_seconds))
                if now() >= deadline:
                    job.move_to("Expired", "The job timed out before it began.")
                    return
            job.move_to("InProgress")
            output = job.request["outputDataConfig"]["s3OutputDataConfig"]["s3Uri"].rstrip("/")
            tokens = {"inputTokenCount": 0, "outputTokenCount": 0}
            for file in files:
                lines = await self._answer_file(job, store, file, deadline, tokens)
                await asyncio.to_thread(store.write, f"{output}/{job.job_id}/{file.name}.out", b"".join(lines))
            counts = {
                "totalRecordCount": job.total,
                "processedRecordCount": job.processed,
                "successRecordCount": job.succeeded,
                "errorRecordCount": job.failed,
                **tokens,
            }
            manifest = dump_json(counts).encode()
            await asyncio.to_thread(store.write, f"{output}/{job.job_id}/manifest.json.out", manifest)
            is_whole = job.processed == job.total
            job.move_to("Stopped" if job.is_stopping else "Completed" if is_whole else "PartiallyCompleted")
        finally:
            store.close()

    def _validate(self, job: BatchJob, store: BatchStore, files: list[StoredFile]) -> int:
        """Look at the input as AWS does before a job begins, and count its records."""
        settings = self._state.batch.settings
        if not files:
            raise _JobFailedError("The input S3 location has no .jsonl file.")
        if sum(file.size_bytes for file in files) > settings.max_job_bytes:
            raise _JobFailedError(f"The input is larger than the maximum of {settings.max_job_bytes} bytes for a job.")
        total = 0
        for file in files:
            if file.size_bytes > settings.max_file_bytes:
                text = f"The file {file.name} is larger than the maximum of {settings.max_file_bytes} bytes."
                raise _JobFailedError(text)
            total += sum(1 for _ in _records(store, file))
        if total < settings.min_records:
            text = f"contains less records ({total}) than the required minimum of: {settings.min_records}"
            raise _JobFailedError(f"Batch job {job.arn} {text}")
        if total > settings.max_records:
            text = f"contains more records ({total}) than the allowed maximum of: {settings.max_records}"
            raise _JobFailedError(f"Batch job {job.arn} {text}")
        return total

    async def _answer_file(
        self, job: BatchJob, store: BatchStore, file: StoredFile, deadline: float, tokens: dict[str, int]
    ) -> list[bytes]:
        """The lines of the output, in no order that anyone should rely on."""
        records = await asyncio.to_thread(lambda: list(_records(store, file)))
        shuffled = random.Random(job.job_id)  # noqa: S311 - repeatable on purpose
        shuffled.shuffle(records)
        lines = []
        for number, record in enumerate(records):
            record_seconds = self._state.batch.settings.record_seconds
            if record_seconds or number % 256 == 0:
                await asyncio.sleep(record_seconds)
            if job.is_stopping or self._state.now() >= deadline:
                break
            outcome = await self._answer(job, record)
            if outcome is None:
                continue
            job.count(succeeded="error" not in outcome)
            for count, used in zip(tokens, ("inputTokens", "outputTokens"), strict=True):
                tokens[count] += (outcome.get("modelOutput", {}).get("usage") or {}).get(used, 0)
            given_id = record.get("recordId") or f"{number:0{_GENERATED_ID_DIGITS}}L"
            line = {"recordId": given_id, "modelInput": record["modelInput"], **outcome}
            lines.append(dump_json(line).encode() + b"\n")
        return lines

    async def _answer(self, job: BatchJob, record: Mapping[str, Any]) -> dict[str, Any] | None:
        state, body = self._state, record["modelInput"]
        model_id, asked = job.target.model.model_id, job.target.asked
        caller = job.caller
        suspect = Suspect(RECORD, model_id, asked, caller.region, caller.access_key, {}, lambda: dump_json(body))
        rule = state.faults.decide(suspect, state.now()) if state.faults else None
        if rule is not None:
            return _record_error(rule.reply) if rule.action == "error" else None
        try:
            return {"modelOutput": await self._model_output(job, body)}
        except Refused as refused:
            return _record_error(refused.reply)

    async def _model_output(self, job: BatchJob, body: Any) -> dict[str, Any]:
        model = job.target.model
        if job.request.get("modelInvocationType") != "Converse":
            if not model.embedding:
                raise validation("The local endpoint takes InvokeModel records for embedding models. Use Converse.")
            return embed(model, body)[0]
        body = self._runtime.read("Converse", dump_json(body).encode())
        if "toolConfig" in body:
            raise validation("toolConfig is not supported in batch inference.")
        check_conversation(body, model)
        call = ConverseCall("Converse", model.model_id, job.target.asked, job.caller.region, body)
        check_output_schema(call, model)
        answer: Answer = await self._runtime.answer(call, body)
        sent = count_request(body) if answer.input_tokens is None else answer.input_tokens
        usage = usage_of(sent, answer.output_tokens or 0, CacheUse(), caching=model.prompt_caching)
        return converse_reply(body, answer, usage, 0)


def _record_error(reply: ErrorReply) -> dict[str, Any]:
    return {"error": {"errorCode": reply.status, "errorMessage": reply.message}}


def _records(store: BatchStore, file: StoredFile) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(store.lines(file.uri), 1):
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if not isinstance(record, dict) or not isinstance(record.get("modelInput"), dict):
            raise _JobFailedError(f"Line {number} of {file.name} is not a JSON object with a modelInput.")
        yield record
