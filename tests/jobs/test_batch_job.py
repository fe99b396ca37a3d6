"""A job whose records are answered by AWS's batch jobs: submitted once, joined in any order, finished on demand."""

from __future__ import annotations

import pytest

pytest.importorskip("moto.server")

from harness.batch_job import batch_job_of, batch_options, echo_answer, inputs_of, run_in_batch
from harness.job_engine import CountingEngine, answered, prompt_of
from harness.job_folder import assert_exact, job_of, kept_lines, output_of, rows_of
from harness.store import store

from airflow_provider_bedrock_llm.core.config import ResponseValidationConfig, ValidationResult
from airflow_provider_bedrock_llm.core.errors import ConfigurationError, JobStoppedError
from airflow_provider_bedrock_llm.local import LocalEndpoint

__all__ = ["store"]


@pytest.fixture(scope="module")
def endpoint_of_module(store):
    with LocalEndpoint(s3_endpoint=store.url, answerer=echo_answer) as endpoint:
        yield endpoint


@pytest.fixture
def endpoint(endpoint_of_module, store):
    endpoint_of_module.control.reset()
    endpoint_of_module.control.batch(min_records=2)
    store.empty()
    return endpoint_of_module


async def test_every_record_is_answered_by_one_job_at_half_the_price(tmp_path, endpoint, store):
    spec, engine = batch_job_of(tmp_path), CountingEngine()
    manifest = await run_in_batch(spec, endpoint, store, engine)
    assert_exact(spec, rows_of(12))
    assert engine.calls == 0
    assert len(endpoint.control.batch_jobs()) == 1
    assert (manifest.state, manifest.counts.succeeded, manifest.counts.reused) == ("succeeded", 12, 0)
    usage = manifest.usage
    assert manifest.cost_usd == pytest.approx((usage["inputTokens"] * 1.0 + usage["outputTokens"] * 2.0) / 1e6)
    assert manifest.batch == {"jobs": 1, "ended": 1, "records": 12, "processed": 12}


async def test_a_finished_job_is_not_submitted_again(tmp_path, endpoint, store):
    spec = batch_job_of(tmp_path)
    first = await run_in_batch(spec, endpoint, store)
    assert await run_in_batch(spec, endpoint, store) == first
    assert len(endpoint.control.batch_jobs()) == 1


async def test_records_are_cut_into_jobs_by_the_limits(tmp_path, endpoint, store):
    spec = batch_job_of(tmp_path, 25, batch=batch_options(limits={"max_records": 8, "jobs_in_flight": 2}))
    endpoint.control.batch(min_records=2, max_records=8, jobs_in_flight=2)
    manifest = await run_in_batch(spec, endpoint, store)
    assert_exact(spec, rows_of(25))
    assert sorted(job["totalRecordCount"] for job in endpoint.control.batch_jobs()) == [4, 5, 8, 8]
    assert manifest.batch["jobs"] == 4


async def test_jobs_of_others_in_the_account_are_waited_for(tmp_path, endpoint, store):
    spec = batch_job_of(tmp_path, 8, batch=batch_options(limits={"max_records": 4}))
    endpoint.control.batch(min_records=2, jobs_in_flight=1)
    await run_in_batch(spec, endpoint, store)
    assert_exact(spec, rows_of(8))
    assert len(endpoint.control.batch_jobs()) == 2


async def test_failed_records_are_finished_on_demand(tmp_path, endpoint, store):
    endpoint.control.fail("internal", operation="BatchRecord", every=3)
    spec, engine = batch_job_of(tmp_path), CountingEngine()
    manifest = await run_in_batch(spec, endpoint, store, engine)
    assert_exact(spec, rows_of(12))
    assert engine.calls == 4
    assert manifest.counts.failed == 0
    assert sum("error" in line and "batch" in line for line in kept_lines(spec)) == 4


async def test_records_that_a_job_did_not_come_to_are_finished_on_demand(tmp_path, endpoint, store):
    endpoint.control.batch(min_records=2, hour_seconds=0.01, record_seconds=0.05)
    spec, engine = batch_job_of(tmp_path, 30), CountingEngine()
    await run_in_batch(spec, endpoint, store, engine)
    assert_exact(spec, rows_of(30))
    assert [job["status"] for job in endpoint.control.batch_jobs()] == ["PartiallyCompleted"]
    assert engine.calls == 30 - endpoint.control.batch_jobs()[0]["processedRecordCount"]


async def test_an_expired_job_is_finished_on_demand(tmp_path, endpoint, store):
    endpoint.control.batch(min_records=2, hour_seconds=0.005, queue_seconds=60)
    spec, engine = batch_job_of(tmp_path), CountingEngine()
    await run_in_batch(spec, endpoint, store, engine)
    assert_exact(spec, rows_of(12))
    assert engine.calls == 12
    assert {line["error"]["cause"] for line in kept_lines(spec) if "error" in line} == {"not_processed"}


async def test_invalid_answers_are_asked_again_on_demand_and_paid_for_once(tmp_path, endpoint, store):
    def judge(answer):
        return ValidationResult("text 3" not in answer.get_content() or "again" in answer.get_content())

    again = CountingEngine(lambda request: answered(f"again: {prompt_of(request)}", cost_usd=0.0))
    spec = batch_job_of(tmp_path)
    policy = {"validation": ResponseValidationConfig(judge)}
    manifest = await run_in_batch(spec, endpoint, store, again, **policy)
    assert again.paid == {"Rate: text 3": 1}
    answers = {row["id"]: row["answer"] for row in output_of(spec)}
    assert answers["r3"] == "again: Rate: text 3"
    answered_by_batch = sum(line["cost_usd"] for line in kept_lines(spec))
    assert manifest.cost_usd == pytest.approx(answered_by_batch)


async def test_without_finishing_on_demand_failed_records_end_as_failed_rows(tmp_path, endpoint, store):
    endpoint.control.fail("internal", operation="BatchRecord", every=3)
    spec, engine = batch_job_of(tmp_path, batch=batch_options(finish_on_demand=False)), CountingEngine()
    manifest = await run_in_batch(spec, endpoint, store, engine)
    assert (manifest.state, manifest.counts.succeeded, manifest.counts.failed) == ("succeeded", 8, 4)
    assert engine.calls == 0
    assert sum("finish_on_demand" in row["error"]["message"] for row in output_of(spec) if row["error"]) == 4


async def test_too_few_records_go_on_demand(tmp_path, endpoint, store, caplog):
    spec, engine = batch_job_of(tmp_path, 3, batch=batch_options(limits={"min_records": 5})), CountingEngine()
    with caplog.at_level("INFO"):
        await run_in_batch(spec, endpoint, store, engine)
    assert_exact(spec, rows_of(3))
    assert engine.calls == 3
    assert endpoint.control.batch_jobs() == []
    assert "3 records are too few for a batch job (min_records=5)" in caplog.text


async def test_one_more_row_pays_for_one_row(tmp_path, endpoint, store):
    await run_in_batch(batch_job_of(tmp_path, 12), endpoint, store)
    spec, engine = batch_job_of(tmp_path, 13), CountingEngine()
    manifest = await run_in_batch(spec, endpoint, store, engine)
    assert_exact(spec, rows_of(13))
    assert engine.calls == 1
    assert manifest.counts.reused == 12
    assert len(endpoint.control.batch_jobs()) == 1


async def test_a_changed_prompt_makes_a_new_job(tmp_path, endpoint, store):
    await run_in_batch(batch_job_of(tmp_path), endpoint, store)
    spec = batch_job_of(tmp_path, prompt_template="Judge: {{ text }}")
    await run_in_batch(spec, endpoint, store)
    assert len(endpoint.control.batch_jobs()) == 2
    assert output_of(spec)[0]["answer"] == "answer to Judge: text 0"


async def test_a_job_that_fails_its_validation_fails_the_run_and_the_next_run_makes_another(tmp_path, endpoint, store):
    endpoint.control.batch(min_records=100)
    spec, engine = batch_job_of(tmp_path), CountingEngine()
    with pytest.raises(JobStoppedError, match="less records"):
        await run_in_batch(spec, endpoint, store, engine)
    assert engine.calls == 0, "nothing is asked at twice the price because a quota was wrong"
    endpoint.control.batch(min_records=2)
    await run_in_batch(spec, endpoint, store, engine)
    assert_exact(spec, rows_of(12))
    assert [job["status"] for job in endpoint.control.batch_jobs()] == ["Failed", "Completed"]


async def test_what_aws_refuses_is_said_with_its_words(tmp_path, endpoint, store):
    endpoint.control.fail("denied_by_policy", operation="CreateModelInvocationJob")
    with pytest.raises(ConfigurationError, match=r"batch_role_arn.*AccessDeniedException"):
        await run_in_batch(batch_job_of(tmp_path), endpoint, store)


@pytest.mark.parametrize("error", ["too_many_requests", "internal", "unavailable"])
@pytest.mark.parametrize("operation", ["Create", "Get"])
async def test_what_passes_is_waited_out(tmp_path, endpoint, store, error, operation):
    endpoint.control.fail(error, operation=f"{operation}ModelInvocationJob", first=3)
    spec = batch_job_of(tmp_path)
    await run_in_batch(spec, endpoint, store)
    assert_exact(spec, rows_of(12))
    assert len(endpoint.control.batch_jobs()) == 1


async def test_a_reply_that_is_lost_does_not_make_a_second_job(tmp_path, endpoint, store):
    endpoint.control.fail(action="cut_reply", operation="CreateModelInvocationJob", first=2)
    spec = batch_job_of(tmp_path)
    await run_in_batch(spec, endpoint, store)
    assert_exact(spec, rows_of(12))
    assert len(endpoint.control.batch_jobs()) == 1


async def test_equal_records_are_one_record_of_the_batch_job(tmp_path, endpoint, store):
    rows = [{"id": f"r{number}", "text": f"text {number % 4}"} for number in range(12)]
    spec = job_of(tmp_path, rows, dedupe=True, batch=batch_options())
    manifest = await run_in_batch(spec, endpoint, store)
    assert_exact(spec, rows)
    assert endpoint.control.batch_jobs()[0]["totalRecordCount"] == 4
    assert manifest.counts.reused == 8


async def test_a_record_holds_what_a_call_would_and_nothing_that_a_record_must_not(tmp_path, endpoint, store):
    spec = batch_job_of(tmp_path, 2, inference_config={"maxTokens": 7}, tags={"airflow_dag_id": "d"})
    await run_in_batch(spec, endpoint, store)
    first = inputs_of(store)[0]
    assert first == {
        "recordId": "R0000000000",
        "modelInput": {
            "messages": [{"role": "user", "content": [{"text": "Rate: text 0"}]}],
            "inferenceConfig": {"maxTokens": 7},
        },
    }
