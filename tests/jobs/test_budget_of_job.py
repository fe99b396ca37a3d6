"""A job's budget is a hard stop, over all of its runners, and what was bought stays."""

from dataclasses import replace

import pytest
from harness.job_engine import COST_USD, CountingEngine, answered
from harness.job_folder import QUICK, assert_exact, job_of, kept_lines, rows_of

from airflow_provider_bedrock_llm.core.batch_options import BatchOptions
from airflow_provider_bedrock_llm.core.budget import Budget
from airflow_provider_bedrock_llm.core.config import ParallelProcessingConfig
from airflow_provider_bedrock_llm.core.errors import ConfigurationError
from airflow_provider_bedrock_llm.jobs.job import JobSpec
from airflow_provider_bedrock_llm.jobs.runner import run_job

CONCURRENCY = 8


@pytest.fixture
def spec(tmp_path):
    return job_of(tmp_path, rows_of(200), budget=Budget(usd=50 * COST_USD), concurrency=CONCURRENCY)


async def run(spec, **engine):
    counting = CountingEngine(latency_seconds=0.002, **engine)
    return counting, await run_job(spec, counting, pace=QUICK)


async def test_equal_costs_are_spent_to_the_last_answer_that_fits(spec):
    engine, manifest = await run(spec)

    assert engine.calls == 50
    assert (manifest.state, manifest.is_out_of_budget) == ("failed", True)
    assert "budget=0.05 USD is spent: 0.0500 USD and 750 tokens" in manifest.error
    assert not spec.output.exists()
    assert len(kept_lines(spec)) == 50


async def test_a_larger_budget_pays_only_for_the_rest(spec):
    await run(spec)

    again, still = await run(spec)
    more, _ = await run(replace(spec, budget=Budget(usd=120 * COST_USD)))
    rest, manifest = await run(replace(spec, budget=None))

    assert (again.calls, still.is_out_of_budget) == (0, True)
    assert (more.calls, rest.calls) == (70, 80)
    assert manifest.state == "succeeded"
    assert_exact(spec, rows_of(200))


async def test_tokens_are_a_budget_too(spec):
    engine, manifest = await run(replace(spec, budget=Budget(tokens=15 * 30)))

    assert engine.calls == 30
    assert "budget=450 tokens is spent" in manifest.error


@pytest.mark.parametrize("jump_at", [1, 20, 60])
async def test_no_more_is_overspent_than_was_in_flight(spec, jump_at):
    """Answers that suddenly cost a hundred times as much are what a budget fears."""
    answers = []

    def answer(_):
        answers.append(COST_USD if len(answers) < jump_at else 100 * COST_USD)
        return answered("x", cost_usd=answers[-1])

    _, manifest = await run(replace(spec, budget=Budget(usd=80 * COST_USD)), answer=answer)

    overspent = manifest.known_cost_usd - 80 * COST_USD
    assert manifest.is_out_of_budget
    assert overspent <= CONCURRENCY * 100 * COST_USD
    assert len(answers) <= jump_at + CONCURRENCY


async def test_a_budget_that_suffices_changes_nothing(spec):
    _, manifest = await run(replace(spec, budget=Budget(usd=200 * COST_USD, tokens=10**6)))

    assert (manifest.state, manifest.is_out_of_budget) == ("succeeded", False)
    assert_exact(spec, rows_of(200))


async def test_the_last_answer_may_go_over_it(tmp_path):
    spec = job_of(tmp_path, rows_of(3), budget=Budget(usd=2.5 * COST_USD), concurrency=1)
    costs = iter([COST_USD / 2, COST_USD / 2, 5 * COST_USD])

    _, manifest = await run(spec, answer=lambda _: answered("x", cost_usd=next(costs)))

    assert (manifest.state, manifest.is_out_of_budget) == ("succeeded", False)


async def test_reused_and_shared_answers_cost_nothing(tmp_path):
    rows = [{"id": number, "text": f"text {number % 10}"} for number in range(100)]
    spec = job_of(tmp_path, rows, dedupe=True, budget=Budget(usd=10 * COST_USD))

    engine, manifest = await run(spec)

    assert (engine.calls, manifest.state, manifest.counts.succeeded) == (10, "succeeded", 100)


async def test_an_answer_without_a_price_stops_a_budget_in_dollars(spec):
    engine, manifest = await run(spec, answer=lambda _: answered("x", cost_usd=None))

    assert engine.calls == 1
    assert "price is not known" in manifest.error


async def test_the_budget_survives_the_way_through_job_json(spec):
    assert JobSpec.from_json(spec.to_json()).budget == spec.budget


async def test_the_first_request_goes_alone(spec):
    in_flight = []

    def answer(_):
        in_flight.append(engine.calls - len(in_flight))
        return answered("x")

    engine = CountingEngine(answer, latency_seconds=0.01)
    parallel = ParallelProcessingConfig(max_concurrent_requests=CONCURRENCY)
    await run_job(replace(spec, parallel=parallel), engine, pace=QUICK)

    assert in_flight[0] == 1
    assert max(in_flight) == CONCURRENCY


def test_batch_jobs_cannot_keep_a_budget(tmp_path):
    batch = BatchOptions(role_arn="arn:aws:iam::123456789012:role/batch", s3_uri="s3://bucket/prefix")

    with pytest.raises(ConfigurationError, match=r"budget=1 USD cannot be kept by batch jobs.*mode='on_demand'"):
        job_of(tmp_path, rows_of(1), budget=Budget(usd=1), batch=batch)
