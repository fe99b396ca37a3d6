"""Bedrock for common-ai's batches: with this adapter `@task.llm_batch(model_id="bedrock:...")` runs as a Bedrock job.

apache-airflow-providers-common-ai finds it by the entry point `airflow.providers.common.ai.batch_adapters`, and gives
it the password and host of its own connection only. Region, credentials, role and S3 place are those of a connection
of type `bedrockllm`: the one that the host names, else `[bedrock_llm] common_ai_conn_id`, else `bedrock_llm_default`.

The contract is experimental in common-ai 1.0.
"""

from __future__ import annotations

import io
import json
import uuid
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.ai.batch.base import (
    BatchAdapter,
    BatchState,
    ExtractedOutput,
    RawResultItem,
    SubmitResult,
)
from airflow.providers.common.ai.exceptions import LLMBatchLimitExceededError, LLMBatchModelMismatchError
from airflow.providers.common.compat.sdk import conf

from airflow_provider_bedrock_llm.aws.batch_store import BatchStore
from airflow_provider_bedrock_llm.aws.clients import Clients
from airflow_provider_bedrock_llm.core.batch_options import BatchOptions
from airflow_provider_bedrock_llm.core.errors import JobError
from airflow_provider_bedrock_llm.core.schema import OutputSchema
from airflow_provider_bedrock_llm.hooks.batch import batch_route, s3_settings
from airflow_provider_bedrock_llm.hooks.bedrock_llm import BedrockLLMHook

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow.providers.common.ai.batch.base import BatchRequest, BatchStatus
    from airflow.providers.common.ai.batch.output_schema import OutputSpec

__all__ = ["BatchNotFoundError", "BedrockBatchAdapter"]

_SECTION = "bedrock_llm"
_STATUSES: dict[str, BatchStatus] = {
    "Completed": "completed",
    "PartiallyCompleted": "expired",
    "Expired": "expired",
    "Failed": "failed",
    "Stopped": "cancelled",
}
"""Everything else is in progress. A job that ran out of time keeps what it has, as common-ai's `expired` does."""
_OUTPUT_SUFFIX = ".jsonl.out"
_CLOCKS_DIFFER_BY = timedelta(minutes=5)


class BatchNotFoundError(JobError):
    """AWS has no such job."""

    status_code = 404
    """What common-ai looks for."""


class BedrockBatchAdapter(BatchAdapter):
    """Batch jobs of Bedrock, in the terms of common-ai.

    Args:
        api_key: not used: Bedrock's keys are in the connection of type `bedrockllm`.
        base_url: the id of that connection; None takes the configured one.
        client: stands for the connection in tests: a `BedrockLLMHook`.
    """

    name: ClassVar[str] = "bedrock"
    conn_types: ClassVar[frozenset[str]] = frozenset({"pydanticai", "pydanticai_bedrock", BedrockLLMHook.conn_type})
    max_requests: ClassVar[int] = 50_000
    max_payload_bytes: ClassVar[int] = 200_000_000
    allows_per_request_model: ClassVar[bool] = False

    def __init__(
        self, *, api_key: str | None = None, base_url: str | None = None, client: BedrockLLMHook | None = None
    ) -> None:
        super().__init__(api_key=api_key, base_url=base_url)
        self._conn_id = base_url or conf.get(_SECTION, "common_ai_conn_id", fallback=BedrockLLMHook.default_conn_name)
        self._hook = client or BedrockLLMHook(self._conn_id)
        self._stores: list[BatchStore] = []

    def validate_requests(
        self,
        requests: list[BatchRequest],
        *,
        model: str,
        output_spec: OutputSpec,
        idempotency_key: str,
        **kwargs: Any,
    ) -> None:
        """Refuse what Bedrock would refuse, and what is not configured, before anything is sent."""
        self.check_custom_id_length(idempotency_key, len(requests))
        _ = self._options
        if len(requests) > self.max_requests:
            raise LLMBatchLimitExceededError(
                f"A Bedrock batch job takes at most {self.max_requests} records and this one has {len(requests)}. "
                "Split the input across mapped task instances with .expand()."
            )
        for index, request in enumerate(requests):
            if self.resolve_request_model(request.get("model"), default_bare_model=model, request_index=index) != model:
                raise LLMBatchModelMismatchError(
                    f"Request {index} names another model than {model!r}, and a Bedrock batch job has one model. "
                    "Give each model a task of its own."
                )
        lines = self._lines(requests, output_spec=output_spec, idempotency_key=idempotency_key, **kwargs)
        size_bytes = sum(map(len, lines))
        if size_bytes > self.max_payload_bytes:
            raise LLMBatchLimitExceededError(
                f"A Bedrock batch job takes at most {self.max_payload_bytes} bytes and this one has {size_bytes}. "
                "Split the input across mapped task instances with .expand()."
            )

    def submit(
        self,
        requests: list[BatchRequest],
        *,
        model: str,
        idempotency_key: str,
        input_fingerprint: str,
        output_spec: OutputSpec,
        **kwargs: Any,
    ) -> SubmitResult:
        """Put the records into S3 and ask for a job. The id of the batch is the job's ARN."""
        hook = BedrockLLMHook(self._conn_id, models=[model])
        route = batch_route(hook)
        name = _job_name(idempotency_key, input_fingerprint)
        folder = f"{self._options.s3_uri.rstrip('/')}/{name}/{uuid.uuid4().hex[:12]}"
        lines = self._lines(requests, output_spec=output_spec, idempotency_key=idempotency_key, **kwargs)
        input_uri = f"{folder}/input.jsonl"
        self._store(route.region).put(input_uri, io.BytesIO(b"".join(lines)))
        # A token per submission: common-ai submits again on purpose, after a job that failed or was cancelled. What
        # boto3 repeats by itself bears the same one.
        request = self._options.request(
            model_id=route.model_id,
            name=name,
            token=uuid.uuid4().hex,
            input_uri=input_uri,
            output_uri=f"{folder}/output/",
        )
        reply = hook.clients.client("bedrock", route.region).create_model_invocation_job(**request)
        return SubmitResult(batch_id=reply["jobArn"], provider_input_ref=input_uri)

    def get_batch(self, batch_id: str) -> BatchState:
        """How a job stands.

        Raises:
            BatchNotFoundError: there is no such job.
        """
        job = self._job(batch_id)
        total, done = job.get("totalRecordCount"), job.get("processedRecordCount") or 0
        status = _STATUSES.get(job["status"], "in_progress")
        counts = None
        if total is not None:
            rest = max(0, total - done)
            counts = {
                "succeeded": job.get("successRecordCount") or 0,
                "errored": job.get("errorRecordCount") or 0,
                "expired": rest if status == "expired" else 0,
                "cancelled": rest if status == "cancelled" else 0,
            }
        return BatchState(status=status, counts=counts, error_message=job.get("message"))

    def cancel_batch(self, batch_id: str) -> None:
        """Stop a job; what it has answered is kept and billed."""
        self._control(batch_id).stop_model_invocation_job(jobIdentifier=batch_id)

    def iter_results(self, batch_id: str) -> Iterator[RawResultItem]:
        """What came of each record, in no order, read as a stream."""
        return self._results(self._job(batch_id))

    def build_output_directive(self, spec: OutputSpec) -> dict[str, Any]:
        """Native structured output: a record with tools would fail."""
        if not spec.is_structured:
            return {}
        schema = OutputSchema(spec.json_schema, name=spec.schema_name)
        return {"outputConfig": schema.apply_to({}, native=True)["outputConfig"]}

    def extract_output(self, raw: RawResultItem, spec: OutputSpec) -> ExtractedOutput:
        """The text of an answer."""
        content = ((raw.raw or {}).get("output") or {}).get("message", {}).get("content") or ()
        texts = [block["text"] for block in content if "text" in block]
        if not texts:
            return ExtractedOutput("absent")
        return ExtractedOutput("json_text" if spec.is_structured else "text", text="".join(texts))

    def find_orphaned_batch(self, idempotency_key: str, input_fingerprint: str, not_before: str) -> str | None:
        """The latest job of that name, which holds both identifiers."""
        name = _job_name(idempotency_key, input_fingerprint)
        since: dict[str, Any] = {}
        if not_before:
            since["submitTimeAfter"] = datetime.fromisoformat(not_before) - _CLOCKS_DIFFER_BY
        jobs: list[dict[str, Any]] = []
        for region in self._hook.get_available_regions():
            pages = self._hook.clients.client("bedrock", region).get_paginator("list_model_invocation_jobs")
            for page in pages.paginate(nameContains=name, **since):
                jobs += page.get("invocationJobSummaries", ())
        latest = max(jobs, key=lambda job: job["submitTime"], default=None)
        return None if latest is None else str(latest["jobArn"])

    def close(self) -> None:
        """Let go of the connections to S3."""
        for store in self._stores:
            store.close()
        self._stores.clear()

    @property
    def _options(self) -> BatchOptions:
        connection = self._hook.connection
        return BatchOptions(role_arn=connection.batch_role_arn or "", s3_uri=connection.batch_s3_uri or "")

    def _store(self, region: str) -> BatchStore:
        self._stores.append(BatchStore(Clients(s3_settings(self._hook)), region))
        return self._stores[-1]

    def _control(self, arn: str) -> Any:
        return self._hook.clients.client("bedrock", arn.split(":")[3])

    def _job(self, arn: str) -> dict[str, Any]:
        control = self._control(arn)
        try:
            job: dict[str, Any] = control.get_model_invocation_job(jobIdentifier=arn)
        except control.exceptions.ResourceNotFoundException as error:
            raise BatchNotFoundError(
                f"AWS has no batch job {arn}. Check the connection {self._conn_id!r} and its account."
            ) from error
        return job

    def _results(self, job: dict[str, Any]) -> Iterator[RawResultItem]:
        arn = job["jobArn"]
        store = self._store(arn.split(":")[3])
        output = job["outputDataConfig"]["s3OutputDataConfig"]["s3Uri"].rstrip("/")
        folder = f"{output}/{arn.rpartition('/')[2]}/"
        for name in store.names(folder):
            if name.endswith(_OUTPUT_SUFFIX):
                for line in store.lines(folder + name):
                    item = _result(line, job["modelId"])
                    if item is not None:
                        yield item

    def _lines(
        self,
        requests: list[BatchRequest],
        *,
        output_spec: OutputSpec,
        idempotency_key: str,
        system_prompt: str = "",
        max_tokens: int = 1024,
        request_params: dict[str, Any] | None = None,
        **_: Any,
    ) -> Iterator[bytes]:
        """The records: the caller's parameters first, then what this adapter decides."""
        directive = self.build_output_directive(output_spec)
        for index, request in enumerate(requests):
            system = request.get("system_prompt") or system_prompt
            body: dict[str, Any] = {
                **(request_params or {}),
                **(request.get("params") or {}),
                **({"system": [{"text": system}]} if system else {}),
                "messages": [{"role": "user", "content": [{"text": request["prompt"]}]}],
                **directive,
            }
            body["inferenceConfig"] = {
                "maxTokens": request.get("max_tokens") or max_tokens,
                **(body.get("inferenceConfig") or {}),
            }
            record = {"recordId": f"{idempotency_key}-{index}", "modelInput": body}
            yield json.dumps(record, ensure_ascii=False).encode() + b"\n"


def _job_name(idempotency_key: str, input_fingerprint: str) -> str:
    return f"airflow-ai-{idempotency_key[:16]}-{input_fingerprint[:16]}"


def _result(line: bytes, model_id: str) -> RawResultItem | None:
    """One line of the output; None where it is none of ours: common-ai counts its record as missing."""
    try:
        told = json.loads(line)
        custom_id = str(told["recordId"])
        index = int(custom_id.rpartition("-")[2])
    except (ValueError, KeyError, TypeError):
        return None
    error, output = told.get("error"), told.get("modelOutput") or {}
    usage = output.get("usage") or {}
    return RawResultItem(
        custom_id=custom_id,
        index=index,
        provider_status="errored" if error else "success",
        model=model_id,
        usage={"input_tokens": usage.get("inputTokens", 0), "output_tokens": usage.get("outputTokens", 0)}
        if usage
        else None,
        finish_reason=output.get("stopReason"),
        error={
            "type": "provider_error",
            "message": error.get("errorMessage"),
            "provider_code": str(error.get("errorCode")),
            "stage": "provider",
        }
        if error
        else None,
        raw=output,
    )
