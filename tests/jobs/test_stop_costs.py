"""What a request has cost before a stop ends it between two calls stays in the books, though it has no outcome."""

import asyncio

from harness.job_engine import CountingEngine
from harness.job_folder import QUICK, assert_exact, job_of, rows_of, until
from harness.routes import make_plan
from harness.validation import refuse_all

from airflow_provider_bedrock_llm.aws.converse import AsyncEngine
from airflow_provider_bedrock_llm.core.budget import Budget
from airflow_provider_bedrock_llm.core.config import ResponseValidationConfig, RetryConfig
from airflow_provider_bedrock_llm.core.conversation import ConversePolicy
from airflow_provider_bedrock_llm.jobs.runner import run_job
from airflow_provider_bedrock_llm.testing import AsyncFakeTransport, answer


async def test_an_unfit_answer_before_a_stop_is_counted_and_its_record_is_asked_later(tmp_path):
    spec = job_of(tmp_path, rows_of(3), budget=Budget(tokens=10_000))
    transport = AsyncFakeTransport(lambda wire: answer("unfit"))
    validation = ResponseValidationConfig(
        response_validation_function=refuse_all, response_validation_retries=3, response_validation_delay=600
    )
    policy, stop = ConversePolicy(retry=RetryConfig(), validation=validation), asyncio.Event()
    engine = AsyncEngine(transport, policy, make_plan(retry=policy.retry), stop=stop)
    running = asyncio.create_task(run_job(spec, engine, stop=stop, pace=QUICK))
    await until(lambda: transport.requests)
    stop.set()
    stopped = await running

    assert (stopped.state, stopped.counts.failed) == ("stopped", 0)
    spent = sum(stopped.usage.values())
    assert spent > 0

    after = await run_job(spec, CountingEngine(), pace=QUICK)

    assert_exact(spec, rows_of(3))
    assert sum(after.usage.values()) == spent + 3 * 15
