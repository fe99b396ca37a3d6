"""What the hook's requests took: counted for the caller, and told to Airflow's metrics and traces."""

from __future__ import annotations

import contextlib
import threading
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import conf
from opentelemetry import trace

from airflow_provider_bedrock_llm.core.response import Usage
from airflow_provider_bedrock_llm.core.retry_stats import RetryStats
from airflow_provider_bedrock_llm.hooks.metrics import CallMetrics
from airflow_provider_bedrock_llm.hooks.spans import end_job_span, record_request, start_job_span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_bedrock_llm.core.response import BedrockResponse
    from airflow_provider_bedrock_llm.hooks.bedrock_llm import BedrockLLMHook
    from airflow_provider_bedrock_llm.hooks.spans import Operation
    from airflow_provider_bedrock_llm.jobs.job import JobSpec
    from airflow_provider_bedrock_llm.jobs.manifest import Manifest

__all__ = ["JobWatch", "Observation"]

_SEND_EVERY_SECONDS = 5.0


class Observation:
    """Part of `BedrockLLMHook`."""

    if TYPE_CHECKING:
        client_settings: Any

    traces_requests = True
    """Whether each request has a span of its own."""

    def get_retry_stats(self) -> dict[str, Any]:
        """What this hook's requests took so far, jobs and streams included.

        Returns:
            `requests`, `succeeded`, `failed`, `calls`, `retries` (calls after the first of a request), `throttled`,
            `unanswered_but_perhaps_billed`, `faults` (calls by cause), `features_disabled`, and `routes`: "model id
            in region" -> calls, succeeded, throttled. Measured, not planned.
        """
        with self._counting:
            return self.retry_stats.to_dict()

    def send_metrics(self) -> None:
        """Tell Airflow's metrics what they do not know yet."""
        with self._counting:
            self.call_metrics.send()

    def _count(self, response: BedrockResponse, operation: Operation, *, sends: bool) -> None:
        with self._counting:
            self.retry_stats.add(response)
        if sends:
            self.send_metrics()
        if self.traces_requests:
            record_request(response, operation, self.task_tags, self.client_settings.endpoint_url)

    @cached_property
    def retry_stats(self) -> RetryStats:
        """What is counted."""
        return RetryStats()

    @cached_property
    def call_metrics(self) -> CallMetrics:
        """What is sent of it."""
        return CallMetrics(self.retry_stats, self.task_tags)

    @cached_property
    def task_tags(self) -> dict[str, str]:
        """`dag_id` and `task_id` of the task that runs here; empty outside of tasks."""
        from airflow.sdk import get_current_context  # noqa: PLC0415 - for tasks alone

        try:
            task_instance = get_current_context()["ti"]
        except RuntimeError:
            return {}
        return {"dag_id": task_instance.dag_id, "task_id": task_instance.task_id}

    @cached_property
    def _counting(self) -> threading.Lock:
        return threading.Lock()


class JobWatch:
    """Watches one run of a job: metrics every few seconds, one span. Made where the task's own span is the current one.

    Args:
        spec: the job.
        hook: whose requests it makes.
        on_progress: told each second how far it is.
    """

    def __init__(self, spec: JobSpec, hook: BedrockLLMHook, on_progress: Callable[[Manifest], None]) -> None:
        names = {"airflow_dag_id": "dag_id", "airflow_task_id": "task_id"}
        hook.__dict__["task_tags"] = {names[tag]: value for tag, value in spec.tags.items() if tag in names}
        hook.traces_requests = conf.getboolean("bedrock_llm", "trace_rows", fallback=False)
        self._hook = hook
        self._on_progress = on_progress
        self._sent_at = 0.0
        models = tuple(model if isinstance(model, str) else str(model["model"]) for model in spec.models)
        operation: Operation = "embeddings" if spec.operation == "embed" else "chat"
        self._span = start_job_span(operation, models, spec.job_uri, hook.task_tags)
        self.manifest: Manifest | None = None
        """How the job ended, once it has."""

    def tell(self, manifest: Manifest) -> None:
        """Take the job's progress."""
        if time.monotonic() - self._sent_at >= _SEND_EVERY_SECONDS:
            self._sent_at = time.monotonic()
            self._hook.send_metrics()
            self._hook.call_metrics.send_in_flight(manifest.in_flight)
        self._on_progress(manifest)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Around the run: the job's span is the current one, and at the end the rest is sent."""
        error: BaseException | None = None
        try:
            with trace.use_span(self._span, record_exception=False, set_status_on_exception=False):
                yield
        except BaseException as raised:
            error = raised
            raise
        finally:
            self._hook.send_metrics()
            self._hook.call_metrics.send_in_flight(0)
            usage = sum((route.usage for route in self._hook.retry_stats.routes.values()), Usage())
            end_job_span(self._span, self.manifest, usage, error)
