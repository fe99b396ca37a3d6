"""An enrichment job meets its connection: what worker and triggerer both need to run one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.hooks.batch import open_desk
from airflow_provider_bedrock_llm.hooks.bedrock_llm import BedrockLLMHook
from airflow_provider_bedrock_llm.hooks.observation import JobWatch
from airflow_provider_bedrock_llm.jobs.job import JobSpec
from airflow_provider_bedrock_llm.jobs.question import Questions
from airflow_provider_bedrock_llm.jobs.runner import Pace, run_job

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from airflow_provider_bedrock_llm.core.limiter import RouteBook
    from airflow_provider_bedrock_llm.jobs.manifest import Manifest

__all__ = ["load_job", "open_hook", "run_enrichment"]


def load_job(job_uri: str) -> JobSpec:
    """Read a job's description from its folder. Blocks."""
    return JobSpec.load(job_uri)


def open_hook(spec: JobSpec) -> BedrockLLMHook:
    """The hook as the job describes it. Asks Airflow for nothing yet."""
    return BedrockLLMHook(
        bedrock_conn_id=spec.bedrock_conn_id,
        models=spec.models or None,
        candidates=spec.candidates or None,
        routing=spec.routing,
        regions=spec.regions or None,
        boto3_config=spec.boto3,
        retry_config=spec.retry,
        parallel_config=spec.parallel,
        output_schema=spec.output_schema,
        response_validation_config=spec.validation,
        cache_config=spec.cache,
        fixed_part=Questions(spec).fixed_part if spec.cache else None,
    )


def run_enrichment(
    spec: JobSpec,
    hook: BedrockLLMHook,
    *,
    stop: asyncio.Event,
    token: str,
    on_progress: Callable[[Manifest], None],
    drain_seconds: float,
    book: RouteBook | None = None,
    places: asyncio.Semaphore | None = None,
) -> Coroutine[Any, Any, Manifest]:
    """Run a job until it ends or is told to stop, on the event loop that awaits what this returns.

    Called where the span of the task is the current one: there the span of the job begins.

    Args:
        spec: the job.
        hook: its connection, fetched before.
        stop: set to stop; what is under way is awaited and kept.
        token: names the run of the task.
        on_progress: told each second how far it is, on this loop.
        drain_seconds: how long what is under way is awaited.
        book: what is known of the account's routes, where jobs share it.
        places: a cap on calls in flight, where jobs share it.

    Raises:
        LLMManagerError: the job cannot go on; see `run_job`.
    """
    watch = JobWatch(spec, hook, on_progress)
    return _run(spec, hook, watch, stop, token, Pace(drain_seconds=drain_seconds), book, places)


async def _run(
    spec: JobSpec,
    hook: BedrockLLMHook,
    watch: JobWatch,
    stop: asyncio.Event,
    token: str,
    pace: Pace,
    book: RouteBook | None,
    places: asyncio.Semaphore | None,
) -> Manifest:
    open_engine = hook.async_embedding_engine if spec.operation == "embed" else hook.async_engine
    engine, transport = open_engine(spec.parallel, book, places, stop=stop)
    try:
        async with open_desk(hook, spec) as desk:
            with watch.running():
                watch.manifest = await run_job(
                    spec, engine, stop=stop, token=token, on_progress=watch.tell, pace=pace, desk=desk
                )
            return watch.manifest
    finally:
        await transport.close()
        await asyncio.to_thread(hook.keep_what_was_learned)
