"""One request script, three ways in: the hook's threads, its event loop, and the trigger. AWS sees the same."""

from __future__ import annotations

import asyncio
import contextlib
import json

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from harness.task import connect

from airflow_provider_bedrock_llm.core.config import ParallelProcessingConfig, RegionOrder, RetryConfig
from airflow_provider_bedrock_llm.core.errors import LLMManagerError
from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest, text_message
from airflow_provider_bedrock_llm.hooks.bedrock_llm import BedrockLLMHook
from airflow_provider_bedrock_llm.jobs.manifest import Manifest
from airflow_provider_bedrock_llm.jobs.storage import open_location
from airflow_provider_bedrock_llm.local import ErrorReply
from airflow_provider_bedrock_llm.operators.parallel import BedrockParallelOperator
from airflow_provider_bedrock_llm.triggers.parallel import BedrockParallelTrigger

MODELS = ["amazon.nova-lite-v1:0", "amazon.nova-micro-v1:0"]
REGIONS = ["us-east-1", "us-west-2"]
# Round robin of the parallel verbs starts each request one region further; the hook's own order is told to as well.
RETRY = RetryConfig(max_retries=3, retry_delay=0.0, region_order=RegionOrder.ROTATE)
ONE_AT_A_TIME = ParallelProcessingConfig(max_concurrent_requests=1)
NO_LATENCY = ErrorReply("ValidationException", 400, "Latency performance configuration is not supported for {model}")

SCRIPT = {
    "answered": [],
    "throttled": [{"error": "too_many_requests", "first": 1}],
    "malformed": [{"error": "input_too_long"}],
    "two errors": [{"error": "internal", "first": 2}],
    "cut": [{"action": "cut", "first": 1}],
    "cut reply": [{"action": "cut_reply", "first": 1}],
    "refused feature": [{"error": NO_LATENCY, "first": 1}],
    "refused feature again": [],
    "expired": [{"error": "expired_token", "first": 1}],
    "no on-demand": [{"error": "needs_profile", "first": 1}],
    "broken for good": [{"error": "internal"}],
    "denied": [{"error": "no_access"}],
    "answered at last": [],
}


def requests():
    return [
        BedrockConverseRequest(
            [text_message(f"Say {name}.")],
            request_id=name,
            request_metadata={"record": name},
            performance_config={"latency": "optimized"} if name.startswith("refused") else None,
        )
        for name in SCRIPT
    ]


def through_threads(conn_id):
    hook = BedrockLLMHook(conn_id, MODELS, REGIONS, retry_config=RETRY)
    for request in requests():
        with contextlib.suppress(LLMManagerError):
            hook.converse_with_request(request)


def through_the_event_loop(conn_id):
    hook = BedrockLLMHook(conn_id, MODELS, REGIONS, retry_config=RETRY, parallel_config=ONE_AT_A_TIME)
    hook.converse_parallel(requests())


def through_the_trigger(conn_id, task_instance, work_dir):
    operator = BedrockParallelOperator(
        task_id="the_task",
        requests=requests(),
        models=MODELS,
        regions=REGIONS,
        retry_config=RETRY,
        parallel_config=ONE_AT_A_TIME,
        work_dir=str(work_dir),
        bedrock_conn_id=conn_id,
    )
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute({"ti": task_instance})
    _, arguments = deferred.value.trigger.serialize()
    trigger = BedrockParallelTrigger(**json.loads(json.dumps(arguments)))

    async def event():
        return (await anext(trigger.run())).payload

    asyncio.run(event())
    manifest = Manifest.load(open_location(trigger.job_uri, "work_dir"))
    assert manifest is not None
    assert manifest.features_disabled == {"performanceConfig": 1}


def test_threads_event_loop_and_trigger_make_the_same_calls(endpoint, monkeypatch, task_instance, tmp_path):
    control = endpoint.control
    stories = {}
    ways = {
        "threads": through_threads,
        "loop": through_the_event_loop,
        "trigger": lambda conn_id: through_the_trigger(conn_id, task_instance, tmp_path / "jobs"),
    }
    for way, go in ways.items():
        conn_id = f"same_calls_{way}"  # routes of one connection share what they learned
        connect(monkeypatch, conn_id, extra={"endpoint_url": endpoint.url, "region_name": REGIONS[0]})
        control.reset()
        control.keep_bodies(200)
        for name, rules in SCRIPT.items():
            for rule in rules:
                control.fail(**rule, metadata={"record": name})
        go(conn_id)
        calls = [(call["asked_id"], call["region"], call["outcome"]) for call in control.calls(200)]
        stories[way] = [
            (call, record["body"]["requestMetadata"]["record"], _answer_shaping(record["body"]))
            for call, record in zip(calls, control.bodies(), strict=True)
        ]
    assert stories["threads"] == stories["loop"]
    assert stories["threads"] == stories["trigger"]
    seen = [record for _, record, _ in stories["threads"]]
    assert {name: seen.count(name) for name in SCRIPT} == {
        "answered": 1,
        "throttled": 2,
        "malformed": 1,
        "two errors": 3,
        "cut": 2,
        "cut reply": 2,
        "refused feature": 2,
        "refused feature again": 1,
        "expired": 2,
        "no on-demand": 2,
        "broken for good": 4,
        "denied": 1,
        "answered at last": 1,
    }


def _answer_shaping(body):
    return {name: value for name, value in body.items() if name != "requestMetadata"}
