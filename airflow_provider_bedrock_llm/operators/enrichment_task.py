"""How the task of an enrichment job goes: described, approved, run here or deferred; `job_end` has what follows."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator, conf

from airflow_provider_bedrock_llm.core.errors import ConfigurationError, LLMManagerError
from airflow_provider_bedrock_llm.hooks.ending import stop_if_ended
from airflow_provider_bedrock_llm.hooks.enrichment import load_job, open_hook, run_enrichment
from airflow_provider_bedrock_llm.hooks.estimate import check_prices
from airflow_provider_bedrock_llm.hooks.outcome import BedrockTaskError, airflow_error, airflow_failure
from airflow_provider_bedrock_llm.hooks.table_output import unwritten_table
from airflow_provider_bedrock_llm.jobs.dead_letters import job_of_dead_letters
from airflow_provider_bedrock_llm.jobs.manifest import Manifest
from airflow_provider_bedrock_llm.jobs.question import request_rows
from airflow_provider_bedrock_llm.jobs.runner import finished_manifest
from airflow_provider_bedrock_llm.jobs.storage import open_location
from airflow_provider_bedrock_llm.operators.before_spending import before_spending, take_answer
from airflow_provider_bedrock_llm.operators.job_description import (
    check_source,
    describe_job,
    is_from_database,
    with_rows_of_database,
)
from airflow_provider_bedrock_llm.operators.job_end import JobEnd
from airflow_provider_bedrock_llm.operators.job_mode import with_mode
from airflow_provider_bedrock_llm.operators.links import (
    JOB_URI_KEY,
    BedrockJobLink,
    BedrockModelLink,
    job_page,
)
from airflow_provider_bedrock_llm.triggers.parallel import BedrockParallelTrigger

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.sdk import Context

    from airflow_provider_bedrock_llm.hooks.bedrock_llm import BedrockLLMHook
    from airflow_provider_bedrock_llm.jobs.job import JobSpec

__all__ = ["EnrichmentTask"]

_SECTION = "bedrock_llm"
_LOG_EVERY_SECONDS = 5.0


class EnrichmentTask(BaseOperator, JobEnd):  # BaseOperator first, else mapped tasks have None for inlets
    """What `BedrockParallelOperator` does with its arguments, which are all in that class."""

    operator_extra_links = (BedrockJobLink(), BedrockModelLink())
    _stop: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None

    if TYPE_CHECKING:
        accept_failures: float | None
        deferrable: bool
        mode: str
        requests: Any
        retry_dead_letters: str | None

    def execute(self, context: Context) -> dict[str, Any]:
        """Write down the job, then run it here or wait for it in the triggerer."""
        token = str(context["ti"].id)
        try:
            spec, hook = self._describe(context)
            context["ti"].xcom_push(JOB_URI_KEY, spec.job_uri)
            context["ti"].xcom_push(BedrockJobLink().xcom_key, job_page(context["ti"]))
            manifest = finished_manifest(spec, token) or unwritten_table(spec, self.accept_failures)
            if manifest is None:
                spec = before_spending(self, context, spec, hook)
            if manifest is None and not self.deferrable:
                manifest = asyncio.run(self._run_here(spec, hook, context["ti"]))
        except LLMManagerError as error:
            raise airflow_error(error) from error
        if manifest is not None:
            return self._finish(context, manifest)
        self._defer(spec, token)
        return {}  # never reached: deferring raises

    def execute_complete(self, context: Context, event: Mapping[str, Any]) -> dict[str, Any]:
        """Take what the trigger reports: a status and the job's URI; everything else is in the manifest."""
        if event["status"] == "error":
            raise airflow_failure(event["error"], retry_helps=event["retry_helps"])
        manifest = Manifest.load(open_location(event["job_uri"], "work_dir"))
        if manifest is None:
            raise BedrockTaskError(
                f"The manifest of {event['job_uri']} cannot be read from this worker. Check that workers and "
                "triggerers see the same `work_dir`."
            )
        return self._finish(context, manifest)

    def on_kill(self) -> None:
        """Start nothing more; what is under way is awaited and kept."""
        if self._stop is not None:
            loop, event = self._stop
            loop.call_soon_threadsafe(event.set)

    def _describe(self, context: Context) -> tuple[JobSpec, BedrockLLMHook]:
        """The job, checked as far as that costs nothing, in its folder."""
        if self.accept_failures is not None and not 0 <= self.accept_failures <= 1:
            raise ConfigurationError(
                f"accept_failures={self.accept_failures!r} is no share. Give 0.0 to 1.0: 0.01 accepts one row in 100."
            )
        if self.retry_dead_letters is not None:
            spec = self._described_before(self.retry_dead_letters)
            return spec, open_hook(spec)
        check_source(self)
        try:
            spec = self._spec(context)
        except ValueError as error:
            raise ConfigurationError(
                f"The job cannot be described: {error}. Correct the operator's arguments."
            ) from error
        hook = open_hook(spec)
        hook.plan()
        check_prices(spec, hook)
        if is_from_database(self):
            spec = with_rows_of_database(self, spec, str(context["ti"].id))
        if self.requests is not None:
            spec.keep_requests(request_rows(self.requests))
        spec.save()
        return spec, hook

    def _spec(self, context: Context) -> JobSpec:
        spec = describe_job(self, context)
        return spec if self.mode == "on_demand" else with_mode(self, spec, open_hook(spec))

    def _described_before(self, uri: str) -> JobSpec:
        """The job of the dead letters, with everything that it asked."""
        given = [
            name
            for name in ("source", "sql", "table", "requests", "prompt", "shard", "output_uri")
            if getattr(self, name)
        ]
        if given:
            raise ConfigurationError(
                f"`retry_dead_letters` runs an earlier job as it was, so {given[0]!r} has no meaning beside it. "
                "Leave it out; or give the dead letters as `source`, to ask those rows something else."
            )
        return load_job(job_of_dead_letters(uri))

    def execute_approved(self, context: Context, event: Mapping[str, Any]) -> dict[str, Any]:
        """Go on after a person has answered."""
        try:
            take_answer(*self._describe(context), event)
        except LLMManagerError as error:
            raise airflow_error(error) from error
        return self.execute(context)

    async def _run_here(self, spec: JobSpec, hook: BedrockLLMHook, task_instance: Any) -> Manifest:
        stop = asyncio.Event()
        self._stop = (asyncio.get_running_loop(), stop)
        logged_at = time.monotonic()

        def log_now_and_then(manifest: Manifest) -> None:
            nonlocal logged_at
            if time.monotonic() - logged_at >= _LOG_EVERY_SECONDS:
                logged_at = time.monotonic()
                self.log.info("%s", manifest.progress_line)

        await hook.prefetch()
        manifest = await run_enrichment(
            spec,
            hook,
            stop=stop,
            token=str(task_instance.id),
            on_progress=log_now_and_then,
            drain_seconds=conf.getfloat(_SECTION, "drain_seconds", fallback=8.0),
        )
        if stop.is_set() and spec.batch is not None:
            await stop_if_ended(task_instance, hook, spec.job_uri)
        return manifest

    def _defer(self, spec: JobSpec, token: str) -> None:
        drain_seconds = conf.getfloat(_SECTION, "drain_seconds", fallback=8.0)
        seconds = self.execution_timeout.total_seconds() if self.execution_timeout else None
        trigger = BedrockParallelTrigger(
            job_uri=spec.job_uri,
            token=token,
            # Airflow does not count execution_timeout while a task is deferred (apache/airflow#69678).
            deadline=time.time() + seconds if seconds else None,
            drain_seconds=drain_seconds,
            max_in_flight=conf.getint(_SECTION, "max_in_flight_per_process", fallback=200),
        )
        self.log.info("The job %s goes on in the triggerer.", spec.job_uri)
        self.defer(
            trigger=trigger,
            method_name="execute_complete",
            timeout=seconds + 2 * drain_seconds + 60 if seconds else None,
        )
