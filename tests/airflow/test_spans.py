"""Spans of requests and jobs, taken from OpenTelemetry's own SDK."""

from __future__ import annotations

import asyncio

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from airflow_provider_bedrock_llm import BedrockLLMHook, text_message
from airflow_provider_bedrock_llm.core.config import RetryConfig
from airflow_provider_bedrock_llm.core.errors import LLMManagerError
from airflow_provider_bedrock_llm.hooks.enrichment import load_job, open_hook, run_enrichment

NOVA = "amazon.nova-lite-v1:0"
SECRET = "the prompt that nobody may see"


@pytest.fixture(scope="module")
def exporter():
    """OpenTelemetry lets a process set its provider once, and so does Airflow."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    yield exporter
    provider.shutdown()


@pytest.fixture
def spans(exporter):
    exporter.clear()
    return lambda: [span for span in exporter.get_finished_spans() if span.name.startswith(("chat", "embed", "bed"))]


@pytest.fixture
def hook(connected):
    return BedrockLLMHook(models=[NOVA], retry_config=RetryConfig(max_retries=2, retry_delay=0.0))


def test_a_request_has_one_span_in_the_conventions_terms(hook, spans):
    with trace.get_tracer("test").start_as_current_span("task") as task:
        response = hook.converse([text_message(SECRET)])
    (span,) = spans()
    usage = response.usage
    assert (span.name, span.kind) == (f"chat {NOVA}", SpanKind.CLIENT)
    assert span.parent.span_id == task.get_span_context().span_id
    expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "aws.bedrock",
        "gen_ai.request.model": NOVA,
        "gen_ai.response.model": response.model_used,
        "gen_ai.response.finish_reasons": (response.get_stop_reason(),),
        "gen_ai.usage.input_tokens": usage.input_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
        "cloud.region": "us-east-1",
        "server.address": "127.0.0.1",
        "bedrock_llm.calls": 1,
        "bedrock_llm.cost_usd": response.cost_usd,
    }
    assert expected.items() <= dict(span.attributes).items()
    assert (span.end_time - span.start_time) / 1e6 == pytest.approx(response.total_duration_ms, abs=0.01)


def test_a_failed_call_is_an_event_and_a_failed_request_an_error_without_its_text(hook, connected, spans):
    connected.control.fail("too_many_requests", first=1)
    hook.converse([text_message(SECRET)])
    (span,) = spans()
    (event,) = span.events
    assert event.attributes["error.type"] == "ThrottlingException"
    assert (span.status.status_code, span.attributes["bedrock_llm.calls"]) == (StatusCode.UNSET, 2)

    connected.control.fail("input_too_long", text=SECRET)
    with pytest.raises(LLMManagerError):
        hook.converse([text_message(SECRET)])
    failed = spans()[-1]
    assert (failed.status.status_code, failed.status.description) == (StatusCode.ERROR, None)
    assert failed.attributes["error.type"] == "ValidationException"
    assert SECRET not in failed.to_json() + span.to_json()


def test_embeddings_are_their_own_operation(connected, spans):
    BedrockLLMHook(models=["amazon.titan-embed-text-v2:0"]).embed(SECRET)
    (span,) = spans()
    assert span.attributes["gen_ai.operation.name"] == "embeddings"
    assert SECRET not in span.to_json()


def test_a_job_has_one_span_below_the_tasks(enrich, spans):
    with trace.get_tracer("test").start_as_current_span("task") as task:
        summary = enrich()
    (span,) = spans()
    assert span.name == "bedrock_llm.job the_task"
    assert span.parent.span_id == task.get_span_context().span_id
    expected = {
        "airflow.dag_id": "the_dag",
        "bedrock_llm.job.uri": summary["job_uri"],
        "bedrock_llm.job.state": "succeeded",
        "bedrock_llm.job.succeeded": 40,
        "bedrock_llm.job.cost_usd": summary["cost_usd"],
        "gen_ai.usage.output_tokens": summary["usage"]["outputTokens"],
        "gen_ai.request.model": NOVA,
    }
    assert expected.items() <= dict(span.attributes).items()


def test_rows_have_spans_where_the_setting_says_so(enrich, spans, monkeypatch):
    monkeypatch.setenv("AIRFLOW__BEDROCK_LLM__TRACE_ROWS", "True")
    enrich()
    *rows, job = spans()
    assert {span.name for span in rows} == {f"chat {NOVA}"}
    assert len(rows) == 40
    assert {span.parent.span_id for span in rows} == {job.context.span_id}
    assert not any("Judge Text" in span.to_json() for span in rows)


def test_a_job_that_is_run_on_another_loop_stays_below_the_span_of_its_task(enrich, spans, tmp_path):
    uri = enrich()["job_uri"]
    spec = load_job(uri)
    hook = open_hook(spec)
    with trace.get_tracer("test").start_as_current_span("trigger") as trigger:
        work = run_enrichment(
            spec, hook, stop=asyncio.Event(), token="later", on_progress=lambda _: None, drain_seconds=1
        )
    asyncio.run(work)
    assert spans()[-1].parent.span_id == trigger.get_span_context().span_id
