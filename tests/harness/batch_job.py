"""Enrichment jobs with batch jobs, against a local endpoint and an S3 that run here."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from harness.endpoint import NOVA
from harness.job_engine import CountingEngine
from harness.job_folder import QUICK, job_of, rows_of
from harness.live_engine import keys_session
from harness.store import BUCKET, ROLE

from airflow_provider_bedrock_llm.aws.batch_jobs import BatchJobs
from airflow_provider_bedrock_llm.aws.batch_store import BatchStore
from airflow_provider_bedrock_llm.aws.clients import Clients, ClientSettings
from airflow_provider_bedrock_llm.core.batch_options import BatchOptions
from airflow_provider_bedrock_llm.core.batch_plan import BatchLimits
from airflow_provider_bedrock_llm.core.batch_record import BatchDialogue
from airflow_provider_bedrock_llm.core.conversation import ConversePolicy
from airflow_provider_bedrock_llm.core.pricing import Prices, TokenPrices
from airflow_provider_bedrock_llm.core.routes import ModelChoice, Route
from airflow_provider_bedrock_llm.jobs.batch_run import BatchDesk
from airflow_provider_bedrock_llm.jobs.runner import run_job

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from harness.store import Store

    from airflow_provider_bedrock_llm.jobs.job import JobSpec
    from airflow_provider_bedrock_llm.jobs.manifest import Manifest

PRICES = Prices(TokenPrices(input=2.0, output=4.0))
ROUTE = Route(NOVA, NOVA, "us-east-1", "direct", ModelChoice(NOVA))


def echo_answer(call: Any) -> str:
    """What the endpoint answers: tells to which prompt."""
    return f"answer to {call.text}"


def batch_options(**changes: Any) -> BatchOptions:
    limits = BatchLimits(**{"min_records": 2, **changes.pop("limits", {})})
    given = {"first_poll_seconds": 0.02, "longest_poll_seconds": 0.1, "limits": limits, **changes}
    return BatchOptions(role_arn=ROLE, s3_uri=f"s3://{BUCKET}/jobs", **given)


def batch_job_of(tmp_path: Any, count: int = 12, **settings: Any) -> JobSpec:
    settings.setdefault("batch", batch_options())
    return job_of(tmp_path, rows_of(count), **settings)


@contextlib.asynccontextmanager
async def desk_of(
    spec: JobSpec,
    endpoint: Any,
    store: Store,
    *,
    calls: Callable[[Any], Any] = lambda calls: calls,
    place: Callable[[Any], Any] = lambda place: place,
    **policy: Any,
) -> AsyncIterator[BatchDesk]:
    """A desk on the current event loop; `calls` and `place` may wrap what calls and what reads and writes."""
    settings = ClientSettings(keys_session, endpoint_url=endpoint.url, keys_first=True)
    jobs = BatchJobs(Clients(settings), ROUTE.region)
    s3 = BatchStore(Clients(ClientSettings(keys_session, endpoint_url=store.url)), ROUTE.region)
    dialogue = BatchDialogue(ConversePolicy(prices_for=lambda *_: PRICES, **policy), ROUTE)
    try:
        yield BatchDesk(spec.batch, dialogue, calls(jobs), place(s3), NOVA)
    finally:
        await jobs.close()
        s3.close()


async def run_in_batch(
    spec: JobSpec, endpoint: Any, store: Store, engine: CountingEngine | None = None, **settings: Any
) -> Manifest:
    """Run a job as an enrichment with batch jobs; the engine asks what they leave."""
    run = {name: settings.pop(name) for name in ("stop", "on_progress", "token") if name in settings}
    async with desk_of(spec, endpoint, store, **settings) as desk:
        return await run_job(spec, engine or CountingEngine(), desk=desk, pace=QUICK, **run)


def inputs_of(store: Store) -> list[dict[str, Any]]:
    """Every record that was put into S3."""
    keys = [key for key in store.keys("jobs/") if key.endswith("input.jsonl")]
    return [json.loads(json.dumps(line)) for key in keys for line in store.lines(key)]
