"""The modes of the operator, in a task without a scheduler: one batch job for all tries, and who stops it."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from datetime import timedelta

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from harness.batch_job import echo_answer
from harness.endpoint import NOVA
from harness.store import BUCKET, ROLE, store
from harness.task import TaskInstance, connect

from airflow_provider_bedrock_llm.hooks.outcome import BedrockTaskError
from airflow_provider_bedrock_llm.jobs.batch_files import BatchFiles
from airflow_provider_bedrock_llm.jobs.storage import open_location
from airflow_provider_bedrock_llm.local import LocalEndpoint
from airflow_provider_bedrock_llm.operators.parallel import BedrockParallelOperator
from airflow_provider_bedrock_llm.triggers.parallel import BedrockParallelTrigger

__all__ = ["store"]

QUICK = {"first_poll_seconds": 0.05, "longest_poll_seconds": 0.2, "limits": {"min_records": 2}}


@pytest.fixture(scope="module")
def endpoint_of_module(store):
    with LocalEndpoint(s3_endpoint=store.url, answerer=echo_answer) as endpoint:
        yield endpoint


@pytest.fixture
def connected_batch(endpoint_of_module, store, monkeypatch):
    """The endpoint with the default connection to it; the connection knows role and place."""
    endpoint_of_module.control.reset()
    endpoint_of_module.control.batch(min_records=2)
    store.empty()
    connect(
        monkeypatch,
        extra={
            "endpoint_url": endpoint_of_module.url,
            "region_name": "us-east-1",
            "batch_role_arn": ROLE,
            "batch_s3_uri": f"s3://{BUCKET}/jobs",
            "service_config": {"s3": {"endpoint_url": store.url}},
        },
    )
    return endpoint_of_module


@pytest.fixture
def make(tmp_path):
    source = tmp_path / "rows.jsonl"

    def make(rows: int = 10, **arguments):
        source.write_text("".join(json.dumps({"id": f"r{n}", "text": f"text {n}"}) + "\n" for n in range(rows)))
        given = {
            "task_id": "the_task",
            "source": str(source),
            "prompt": "Rate: {{ text }}",
            "id_column": "id",
            "models": [NOVA],
            "work_dir": str(tmp_path / "jobs"),
            "deferrable": False,
            "batch_config": QUICK,
        }
        return BedrockParallelOperator(**given | arguments)

    return make


def answers_of(result):
    return [json.loads(line)["answer"] for line in open_location(result["output_uri"], "output").read().splitlines()]


def until(condition):
    while not condition():
        time.sleep(0.02)


def stop_soon(operator, control):
    """A worker is told to end as soon as the batch job runs."""

    def run():
        until(lambda: any(job["status"] == "InProgress" for job in control.batch_jobs()))
        until(lambda: operator._stop is not None)
        operator.on_kill()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_a_batch_job_answers_the_rows(connected_batch, make):
    result = make(mode="batch").execute({"ti": TaskInstance()})
    assert answers_of(result) == [f"answer to Rate: text {n}" for n in range(10)]
    assert result["counts"]["succeeded"] == 10
    assert [job["modelId"] for job in connected_batch.control.batch_jobs()] == [NOVA]
    assert "Converse" not in connected_batch.control.stats().by_operation


def test_three_tries_of_the_task_make_one_job(connected_batch, make):
    control = connected_batch.control
    control.batch(min_records=2, record_seconds=1.5)
    for _ in range(2):
        operator = make(mode="batch")
        thread = stop_soon(operator, control)
        with pytest.raises(BedrockTaskError, match="a stop was asked for"):
            operator.execute({"ti": TaskInstance()})
        thread.join()
    control.batch(min_records=2)
    result = make(mode="batch").execute({"ti": TaskInstance()})
    assert answers_of(result) == [f"answer to Rate: text {n}" for n in range(10)]
    assert [job["status"] for job in control.batch_jobs()] == ["Completed"]


def test_a_role_or_a_place_that_is_missing_is_said(connected_batch, make, monkeypatch):
    connect(monkeypatch, extra={"endpoint_url": connected_batch.url, "region_name": "us-east-1"})
    with pytest.raises(AirflowFailException, match="batch_role_arn"):
        make(mode="batch").execute({"ti": TaskInstance()})
    with pytest.raises(AirflowFailException, match="batch_s3_uri"):
        make(mode="batch", batch_role_arn=ROLE).execute({"ti": TaskInstance()})
    assert connected_batch.control.stats().calls == 0


class TestWhoIsKilled:
    """What a trigger does with batch jobs when Airflow calls its on_kill."""

    @pytest.fixture
    def run_trigger(self, connected_batch, make, tmp_path):
        """Runs the trigger of a task until its batch job is in progress, then ends it as Airflow does."""
        connected_batch.control.batch(min_records=2, record_seconds=0.5)
        context = {"ti": TaskInstance()}
        spec, _ = make(mode="batch")._describe(context)

        async def run(state):
            trigger = BedrockParallelTrigger(spec.job_uri, "token", drain_seconds=2)
            trigger.ask_state = state
            trigger.task_instance = context["ti"]
            events = trigger.run()
            waiting = asyncio.ensure_future(anext(events))
            control = connected_batch.control
            await asyncio.to_thread(until, lambda: any(job["status"] == "InProgress" for job in control.batch_jobs()))
            waiting.cancel("__airflow_user_action__")
            await asyncio.wait({waiting})
            await trigger.on_kill()
            return [job["status"] for job in await asyncio.to_thread(control.batch_jobs)], spec

        return lambda state: asyncio.run(run(state))

    @pytest.mark.parametrize("state", ["failed", "success", "removed"])
    def test_a_person_who_ends_the_task_ends_its_jobs(self, run_trigger, connected_batch, make, state):
        statuses, spec = run_trigger(lambda _: state)
        assert set(statuses) <= {"Stopping", "Stopped"}
        until(lambda: connected_batch.control.batch_jobs()[0]["status"] == "Stopped")
        assert BatchFiles(spec.folder).is_to_stop(BatchFiles(spec.folder).chunks()[0])

        connected_batch.control.batch(min_records=2)
        result = make(mode="batch").execute({"ti": TaskInstance()})
        assert answers_of(result) == [f"answer to Rate: text {n}" for n in range(10)]
        assert len(connected_batch.control.batch_jobs()) == 2, "what the stopped job left is a new one"

    @pytest.mark.parametrize("state", ["deferred", "running", "queued", None])
    def test_a_hand_over_does_not(self, run_trigger, connected_batch, make, state):
        statuses, _ = run_trigger(lambda _: state)
        assert statuses == ["InProgress"]
        result = make(mode="batch").execute({"ti": TaskInstance()})
        assert len(answers_of(result)) == 10
        assert [job["status"] for job in connected_batch.control.batch_jobs()] == ["Completed"]

    def test_nothing_is_stopped_on_a_guess(self, run_trigger):
        def fail(_):
            raise RuntimeError("Airflow does not answer")

        statuses, _ = run_trigger(fail)
        assert statuses == ["InProgress"]


class TestFlex:
    def test_every_call_asks_for_the_tier(self, connected_batch, make):
        connected_batch.control.keep_bodies(20)
        make(mode="flex", models=["amazon.nova-pro-v1:0"]).execute({"ti": TaskInstance()})
        bodies = [one["body"] for one in connected_batch.control.bodies() if one["operation"] == "Converse"]
        assert {json.dumps(body["serviceTier"]) for body in bodies} == {'{"type": "flex"}'}

    def test_a_model_without_the_tier_is_said_before_anything_is_spent(self, connected_batch, make):
        haiku = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
        with pytest.raises(AirflowFailException, match=r"haiku.*no flex price"):
            make(mode="flex", models=[haiku]).execute({"ti": TaskInstance()})
        assert connected_batch.control.stats().calls == 0


class TestAuto:
    def test_the_plan_is_pushed_and_the_choice_is_kept(self, connected_batch, make):
        task_instance = TaskInstance()
        result = make(mode="auto", least_saving_usd=0.0).execute({"ti": task_instance})
        plan = task_instance.xcoms["mode_plan"]
        assert plan["choice"] == "batch"
        assert {offer["mode"] for offer in plan["offers"]} == {"on_demand", "flex", "batch"}
        assert (plan["rows"], plan["distinct_rows"]) == (10, 10)
        assert len(answers_of(result)) == 10
        assert len(connected_batch.control.batch_jobs()) == 1
        again = TaskInstance()
        make(mode="auto", deadline=timedelta(minutes=5)).execute({"ti": again})
        assert len(connected_batch.control.batch_jobs()) == 1

    def test_a_short_deadline_is_met_on_demand(self, connected_batch, make):
        task_instance = TaskInstance()
        make(mode="auto", deadline=timedelta(seconds=20), least_saving_usd=0.0).execute({"ti": task_instance})
        assert task_instance.xcoms["mode_plan"]["choice"] == "on_demand"
        assert connected_batch.control.batch_jobs() == []

    def test_a_mode_that_is_not_known_is_said(self, connected_batch, make):
        with pytest.raises(AirflowFailException, match="on_demand, flex, batch, auto"):
            make(mode="cheap").execute({"ti": TaskInstance()})
