"""Batch jobs meet a connection: its credentials, its prices, its first model and region."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_provider_bedrock_llm.aws.batch_jobs import BatchJobs
from airflow_provider_bedrock_llm.aws.batch_store import BatchStore
from airflow_provider_bedrock_llm.aws.clients import Clients
from airflow_provider_bedrock_llm.core.batch_record import BatchDialogue
from airflow_provider_bedrock_llm.core.errors import ConfigurationError
from airflow_provider_bedrock_llm.jobs.batch_run import BatchDesk
from airflow_provider_bedrock_llm.jobs.batch_stop import stop_batch_jobs
from airflow_provider_bedrock_llm.jobs.job import JobSpec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from airflow_provider_bedrock_llm.aws.clients import ClientSettings
    from airflow_provider_bedrock_llm.core.routes import Route
    from airflow_provider_bedrock_llm.hooks.bedrock_llm import BedrockLLMHook

__all__ = ["batch_route", "open_desk", "s3_settings", "stop_jobs_of"]


def batch_route(hook: BedrockLLMHook) -> Route:
    """The model and region that batch jobs run on: the best route of on-demand calls. Profiles are taken as well."""
    plan = hook.plan()
    return plan.routes(plan.regions)[0]


def s3_settings(hook: BedrockLLMHook) -> ClientSettings:
    """The connection's credentials for S3; its endpoint for Bedrock is not S3's."""
    return replace(hook.client_settings, endpoint_url=hook.conn_config.get_service_endpoint_url("s3"))


@asynccontextmanager
async def open_desk(hook: BedrockLLMHook, spec: JobSpec) -> AsyncIterator[BatchDesk | None]:
    """What the batch jobs of an enrichment job need, on the current event loop; None where it wants none.

    Raises:
        ConfigurationError: the job makes embeddings, which are not Converse records.
    """
    options = spec.batch
    if options is None:
        yield None
        return
    if spec.operation != "converse":
        raise ConfigurationError("mode='batch' takes Converse requests only. Use mode='on_demand' for embeddings.")
    route = batch_route(hook)
    calls = BatchJobs(Clients(hook.client_settings), route.region)
    store = await asyncio.to_thread(lambda: BatchStore(Clients(s3_settings(hook)), route.region))
    try:
        yield BatchDesk(options, BatchDialogue(hook.policy(), route), calls, store, route.model_id)
    finally:
        await calls.close()
        await asyncio.to_thread(store.close)


async def stop_jobs_of(hook: BedrockLLMHook, job_uri: str) -> list[str]:
    """Stop the batch jobs of an enrichment job, because a person has ended its task.

    Returns:
        The ARNs that were stopped.
    """
    spec = await asyncio.to_thread(JobSpec.load, job_uri)
    if spec.batch is None:
        return []
    calls = BatchJobs(Clients(hook.client_settings), batch_route(hook).region)
    try:
        return await stop_batch_jobs(spec.folder, job_uri, calls)
    finally:
        await calls.close()
