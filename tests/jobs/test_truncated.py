"""Answers that were cut off at maxTokens: kept, failed, or asked again alone and never the same way twice."""

from dataclasses import replace

import pytest
from harness.job_engine import CountingEngine, answered, prompt_of, refused
from harness.job_folder import QUICK, job_of, output_of, rows_of

from airflow_provider_bedrock_llm.core.errors import ConfigurationError
from airflow_provider_bedrock_llm.core.response import CUT_OFF
from airflow_provider_bedrock_llm.jobs.runner import run_job

NEEDED = 100
"""Tokens that a long answer needs."""


def limit_of(request):
    own = [model["inference_config"]["maxTokens"] for model in request.models]
    return own[0] if own else request.inference_config["maxTokens"]


def model(request):
    """Every third row has a long answer, which a small limit cuts off."""
    response = answered(f"answer to {prompt_of(request)}")
    is_long = int(prompt_of(request).rpartition(" ")[2]) % 3 == 0
    if not is_long or limit_of(request) >= NEEDED:
        return response
    return replace(response, response_data={**response.response_data, "stopReason": "max_tokens"})


def rejecting(request):
    """The same where a schema rejects what is not whole."""
    response = model(request)
    if response.get_stop_reason() != "max_tokens":
        return response
    attempt = replace(response.attempts[0], fault="invalid_answer", validation_error=CUT_OFF)
    return replace(refused("invalid_answer"), attempts=(attempt,), cost_usd=response.cost_usd)


def job(tmp_path, limit=10, truncated="keep", **settings):
    return job_of(tmp_path, rows_of(30), inference_config={"maxTokens": limit}, truncated=truncated, **settings)


async def run(spec, answer=model):
    engine = CountingEngine(answer)
    manifest = await run_job(spec, engine, pace=QUICK)
    return engine, manifest


def stop_reasons(spec):
    return [row["stop_reason"] for row in output_of(spec)]


async def test_they_are_kept_unless_something_else_is_wished(tmp_path):
    spec = job(tmp_path)
    engine, manifest = await run(spec)

    assert (engine.calls, manifest.counts.succeeded) == (30, 30)
    assert stop_reasons(spec).count("max_tokens") == 10


async def test_a_larger_limit_asks_them_alone_once_more_in_the_same_run(tmp_path):
    spec = job(tmp_path, truncated={"max_tokens": NEEDED})
    engine, manifest = await run(spec)

    assert engine.calls == 40
    assert sorted(limit_of(request) for request in engine.requests) == [10] * 30 + [NEEDED] * 10
    assert set(stop_reasons(spec)) == {"end_turn"}
    assert manifest.counts.succeeded == 30
    assert manifest.usage["inputTokens"] == 400
    assert manifest.cost_usd == pytest.approx(0.04)


async def test_a_limit_that_is_too_small_again_is_not_tried_a_third_time(tmp_path):
    spec = job(tmp_path, truncated={"max_tokens": 50})
    engine, _ = await run(spec)
    again, manifest = await run(replace(spec, tags={"run": "2"}))

    assert (engine.calls, again.calls) == (40, 0)
    assert stop_reasons(spec).count("max_tokens") == 10
    assert manifest.counts.succeeded == 30


async def test_a_limit_of_a_model_of_its_own_is_raised_too(tmp_path):
    models = ({"model": "amazon.nova-lite-v1:0", "inference_config": {"maxTokens": 10}},)
    spec = job(tmp_path, 1_000, {"max_tokens": NEEDED}, models=models)
    asked = []

    def answer(request):
        limit = limit_of(request) if request.models else 10
        asked.append(limit)
        return model(replace(request, models=(), inference_config={"maxTokens": limit}))

    await run(spec, answer)

    assert sorted(asked) == [10] * 30 + [NEEDED] * 10


async def test_they_can_count_as_failed_and_are_kept_all_the_same(tmp_path):
    spec = job(tmp_path, truncated="fail")
    _, manifest = await run(spec)

    failed = [row for row in output_of(spec) if row["error"]]
    assert manifest.counts.failed == 10
    assert manifest.failures == {"truncated": 10}
    assert [(row["answer"], row["error"]["cause"]) for row in failed] == [(None, "truncated")] * 10
    assert "maxTokens=10" in failed[0]["error"]["message"]
    kept, manifest = await run(replace(spec, truncated="keep"))
    assert (kept.calls, manifest.counts.succeeded) == (0, 30)


@pytest.mark.parametrize("answer", [model, rejecting])
@pytest.mark.parametrize("truncated", ["keep", "fail"])
async def test_a_later_run_with_a_larger_limit_asks_the_truncated_alone(tmp_path, truncated, answer):
    spec = job(tmp_path, truncated=truncated)
    await run(spec, answer)

    same, _ = await run(replace(spec, tags={"run": "same"}), answer)
    larger, manifest = await run(replace(spec, inference_config={"maxTokens": NEEDED}), answer)
    smaller, _ = await run(replace(spec, inference_config={"maxTokens": 5}, tags={"run": "smaller"}), answer)

    assert (same.calls, larger.calls, smaller.calls) == (0, 10, 0)
    assert manifest.counts.succeeded == 30
    assert set(stop_reasons(spec)) == {"end_turn"}


async def test_what_was_cut_in_an_earlier_run_is_asked_with_the_larger_limit_at_once(tmp_path):
    spec = job(tmp_path)
    await run(spec)

    engine, _ = await run(replace(spec, truncated={"max_tokens": NEEDED}))

    assert [limit_of(request) for request in engine.requests] == [NEEDED] * 10


@pytest.mark.parametrize("first_in_the_same_run", [True, False])
async def test_a_second_try_that_fails_leaves_the_first_answer(tmp_path, first_in_the_same_run):
    spec = job(tmp_path)
    if not first_in_the_same_run:
        await run(spec)

    def answer(request):
        return model(request) if limit_of(request) < NEEDED else refused()

    _, manifest = await run(replace(spec, truncated={"max_tokens": NEEDED}), answer)

    assert manifest.counts.succeeded == 30
    assert stop_reasons(spec).count("max_tokens") == 10


async def test_with_dedupe_those_who_share_a_truncated_answer_share_the_second_one(tmp_path):
    rows = [{"id": number, "text": f"text {number % 6}"} for number in range(30)]
    spec = job_of(tmp_path, rows, dedupe=True, inference_config={"maxTokens": 10}, truncated={"max_tokens": NEEDED})
    engine, manifest = await run(spec)

    assert engine.calls == 6 + 2
    assert manifest.counts.succeeded == 30
    assert set(stop_reasons(spec)) == {"end_turn"}


@pytest.mark.parametrize("wrong", [{"max_tokens": 0}, {"tokens": 5}, {}])
def test_what_is_no_policy_is_refused(tmp_path, wrong):
    with pytest.raises(ConfigurationError, match="truncated"):
        job(tmp_path, truncated=wrong)
