"""OpenTelemetry spans in the terms of its semantic conventions for generative AI, where Airflow's tracing is on.

A span is made when a request has ended, from what the response says of it. Prompts, answers and messages of errors are
never on it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from opentelemetry import trace

from airflow_provider_bedrock_llm.core.routes import SERVICE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_bedrock_llm.core.response import BedrockResponse, RequestAttempt, Usage
    from airflow_provider_bedrock_llm.jobs.manifest import Manifest

    Operation = Literal["chat", "embeddings"]

__all__ = ["end_job_span", "record_request", "start_job_span"]

_BEDROCK = "aws.bedrock"


def record_request(
    response: BedrockResponse, operation: Operation, tags: Mapping[str, str], endpoint_url: str | None
) -> None:
    """One span for a request, from its first call to its end, below the current span.

    Args:
        response: of the request.
        operation: what was asked for.
        tags: `dag_id` and `task_id`, where they are known.
        endpoint_url: of the connection; None for AWS's own.
    """
    attempts = response.attempts
    ended = time.time_ns()
    began = ended - int(response.total_duration_ms * 1_000_000)
    name = f"{operation} {attempts[0].model}" if attempts else operation
    span = _tracer().start_span(name, kind=trace.SpanKind.CLIENT, start_time=began)
    if not span.is_recording():
        return
    span.set_attributes({"gen_ai.operation.name": operation, **_airflow(tags), "bedrock_llm.calls": len(attempts)})
    if attempts:
        span.set_attributes(_call(attempts[-1], endpoint_url) | _usage(response.usage))
        span.set_attribute("gen_ai.request.model", attempts[0].model)
    for attempt in attempts:
        if attempt.fault is not None:
            span.add_event("bedrock_llm.failed_call", _failed_call(attempt))
    if response.cost_usd is not None:
        span.set_attribute("bedrock_llm.cost_usd", response.cost_usd)
    if response.error is not None:
        last = attempts[-1] if attempts else None
        _fail(span, last.failure.code if last and last.failure else None, response.error)
    elif operation == "chat" and (reason := response.get_stop_reason()):
        span.set_attribute("gen_ai.response.finish_reasons", [reason])
    span.end(ended)


def start_job_span(operation: Operation, models: tuple[str, ...], job_uri: str, tags: Mapping[str, str]) -> trace.Span:
    """A span for one run of a job, below the current span; `end_job_span` ends it."""
    span = _tracer().start_span(f"bedrock_llm.job {tags.get('task_id', '')}".rstrip())
    if span.is_recording():
        span.set_attributes({"gen_ai.operation.name": operation, "gen_ai.provider.name": _BEDROCK, **_airflow(tags)})
        span.set_attribute("bedrock_llm.job.uri", job_uri)
        if models:
            span.set_attribute("gen_ai.request.model", models[0])
    return span


def end_job_span(span: trace.Span, manifest: Manifest | None, usage: Usage, error: BaseException | None) -> None:
    """End it with what the run took, and how the job stands.

    Args:
        span: of `start_job_span`.
        manifest: how the job ended; None where an error ended this run.
        usage: tokens of this run alone, without those of earlier ones.
        error: what ended this run, if something did.
    """
    if span.is_recording():
        span.set_attributes(_usage(usage))
        if manifest is not None:
            counts = manifest.counts
            span.set_attribute("bedrock_llm.job.state", manifest.state)
            for name in ("succeeded", "failed", "skipped", "reused"):
                span.set_attribute(f"bedrock_llm.job.{name}", getattr(counts, name))
            span.set_attribute("bedrock_llm.job.cost_usd", manifest.known_cost_usd)
        if error is not None:
            _fail(span, None, error)
        elif manifest is not None and manifest.state == "failed":
            span.set_status(trace.StatusCode.ERROR)
    span.end()


def _tracer() -> trace.Tracer:
    return trace.get_tracer("airflow_provider_bedrock_llm")


def _airflow(tags: Mapping[str, str]) -> dict[str, str]:
    """As Airflow names them on its own spans."""
    return {f"airflow.{name}": value for name, value in tags.items()}


def _call(attempt: RequestAttempt, endpoint_url: str | None) -> dict[str, Any]:
    if attempt.access == SERVICE:
        return {"gen_ai.response.model": attempt.model_used}
    address = urlsplit(endpoint_url).hostname if endpoint_url else None
    attributes = {
        "gen_ai.provider.name": _BEDROCK,
        "gen_ai.response.model": attempt.model_used,
        "cloud.region": attempt.region_used,
        "server.address": address or f"bedrock-runtime.{attempt.region_used}.amazonaws.com",
    }
    return attributes | ({"aws.request_id": attempt.request_id} if attempt.request_id else {})


def _usage(usage: Usage) -> dict[str, int]:
    """The conventions count cached tokens among the input's."""
    cached = usage.cache_read_input_tokens + usage.cache_write_input_tokens
    return {
        "gen_ai.usage.input_tokens": usage.input_tokens + cached,
        "gen_ai.usage.output_tokens": usage.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.cache_read_input_tokens,
        "gen_ai.usage.cache_creation.input_tokens": usage.cache_write_input_tokens,
    }


def _failed_call(attempt: RequestAttempt) -> dict[str, Any]:
    code = attempt.failure.code if attempt.failure else None
    return {
        "gen_ai.response.model": attempt.model_used,
        "cloud.region": attempt.region_used,
        "error.type": code or str(attempt.fault),
        "bedrock_llm.fault": str(attempt.fault),
    }


def _fail(span: trace.Span, code: str | None, error: BaseException) -> None:
    """By its kind alone: a message may quote what was asked."""
    span.set_status(trace.StatusCode.ERROR)
    span.set_attribute("error.type", code or type(error).__name__)
