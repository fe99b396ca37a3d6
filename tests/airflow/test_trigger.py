"""The trigger: runs a job in the process's own loop, survives being run twice, and never takes an answer with it."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred
from blockbuster import blockbuster_ctx

from airflow_provider_bedrock_llm.core.config import ParallelProcessingConfig
from airflow_provider_bedrock_llm.hooks.outcome import BedrockTaskError
from airflow_provider_bedrock_llm.jobs.manifest import Manifest
from airflow_provider_bedrock_llm.jobs.storage import open_location
from airflow_provider_bedrock_llm.operators.parallel import BedrockParallelOperator
from airflow_provider_bedrock_llm.triggers.parallel import BedrockParallelTrigger

NOVA = "amazon.nova-lite-v1:0"
ROWS = 200
AT_ONCE = 10


@pytest.fixture
def operator(connected, tmp_path):
    source = tmp_path / "rows.jsonl"
    source.write_text("".join(json.dumps({"id": f"r{n}", "text": f"Text number {n}."}) + "\n" for n in range(ROWS)))
    return BedrockParallelOperator(
        task_id="the_task",
        source=str(source),
        id_column="id",
        prompt="Judge <review>{{ text }}</review>",
        models=[NOVA],
        work_dir=str(tmp_path / "jobs"),
        parallel_config=ParallelProcessingConfig(max_concurrent_requests=AT_ONCE),
    )


@pytest.fixture
def trigger(operator, task_instance):
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute({"ti": task_instance})
    return deferred.value.trigger


def again(trigger):
    """As Airflow does it: from what was serialised."""
    path, arguments = trigger.serialize()
    assert path == f"{BedrockParallelTrigger.__module__}.BedrockParallelTrigger"
    return BedrockParallelTrigger(**json.loads(json.dumps(arguments)))


async def event_of(trigger):
    return (await anext(trigger.run())).payload


def ids_of(output_uri):
    with Path(output_uri.removeprefix("file://")).open() as lines:
        return [json.loads(line)["id"] for line in lines]


async def until(condition):
    while not condition():  # noqa: ASYNC110 - the endpoint counts in another thread, and has no event for it
        await asyncio.sleep(0.02)


async def test_a_job_ends_with_one_event_of_uris_and_numbers(operator, trigger, connected, task_instance):
    event = await event_of(again(trigger))
    assert event == {"status": "succeeded", "job_uri": trigger.job_uri, "error": None}
    summary = operator.execute_complete({"ti": task_instance}, event)
    assert summary["counts"]["succeeded"] == ROWS
    assert ids_of(summary["output_uri"]) == [f"r{n}" for n in range(ROWS)]
    assert connected.control.stats().calls == ROWS


async def test_neither_the_triggerers_loop_nor_our_own_is_blocked(trigger):
    with blockbuster_ctx("airflow_provider_bedrock_llm"):
        assert (await event_of(again(trigger)))["status"] == "succeeded"


async def test_a_cancelled_trigger_keeps_every_answer_and_the_next_pays_none_twice(trigger, connected):
    connected.control.latency(0.05)
    running = asyncio.create_task(event_of(again(trigger)))
    await until(lambda: connected.control.stats().calls > ROWS / 4)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert connected.control.stats().calls < ROWS
    event = await event_of(again(trigger))
    assert event["status"] == "succeeded"
    assert connected.control.stats().calls == ROWS


async def test_two_at_once_share_the_job_and_both_report_its_end(trigger, connected, operator, task_instance):
    connected.control.latency(0.05)
    first = asyncio.create_task(event_of(again(trigger)))
    await until(lambda: connected.control.stats().calls > ROWS / 4)
    second = asyncio.create_task(event_of(again(trigger)))
    events = await asyncio.gather(first, second)
    assert events[0] == events[1] == {"status": "succeeded", "job_uri": trigger.job_uri, "error": None}
    summary = operator.execute_complete({"ti": task_instance}, events[0])
    assert ids_of(summary["output_uri"]) == [f"r{n}" for n in range(ROWS)]
    # The first one drains up to ten calls that the second one asks again, and some that it had not flushed.
    assert ROWS <= connected.control.stats().calls < 2 * ROWS


async def test_the_deadline_stops_the_job_and_keeps_what_was_answered(trigger, connected, operator, task_instance):
    connected.control.latency(0.1)
    _, arguments = trigger.serialize()
    limited = BedrockParallelTrigger(**arguments | {"deadline": time.time() + 0.6})
    event = await event_of(limited)
    assert event["status"] == "stopped"
    with pytest.raises(BedrockTaskError, match="stopped"):
        operator.execute_complete({"ti": task_instance}, event)
    manifest = Manifest.load(open_location(trigger.job_uri, "work_dir"))
    assert manifest is not None
    assert manifest.counts.succeeded == connected.control.stats().calls < ROWS


async def test_an_error_that_no_retry_helps_fails_the_task_for_good(operator, trigger, task_instance):
    await asyncio.to_thread(Path(operator.source).unlink)
    event = await event_of(again(trigger))
    assert event["status"] == "error"
    assert event["retry_helps"] is False
    with pytest.raises(AirflowFailException, match=r"rows\.jsonl"):
        operator.execute_complete({"ti": task_instance}, event)


async def test_a_job_that_this_process_cannot_see_is_said_to_be_so(trigger):
    event = await event_of(BedrockParallelTrigger("/nowhere/at/all", token="t"))
    assert event["status"] == "error"
    assert "same work_dir" in event["error"]


async def test_a_connection_that_is_gone_is_an_event_and_not_a_lost_error(trigger, monkeypatch):
    spec = Path(trigger.job_uri) / "job.json"
    spec.write_text(spec.read_text().replace("bedrock_llm_default", "no_such_connection"))
    event = await event_of(again(trigger))
    assert event["status"] == "error"
    assert "no_such_connection" in event["error"]
