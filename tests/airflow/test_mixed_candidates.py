"""A list with models of Bedrock and of another service, end to end: the local endpoint and an OpenAI-shaped server."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from airflow.sdk.exceptions import AirflowFailException
from harness.airflow_home import airflow_db
from harness.openai_server import OpenAIServer
from harness.task import connect

from airflow_provider_bedrock_llm.core.config import ParallelProcessingConfig, RetryConfig
from airflow_provider_bedrock_llm.core.errors import (
    AuthenticationError,
    ConfigurationError,
    RequestTimeoutError,
    RequestValidationError,
    RetryExhaustedError,
)
from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest, text_message
from airflow_provider_bedrock_llm.hooks.bedrock_llm import BedrockLLMHook
from airflow_provider_bedrock_llm.operators.converse import BedrockConverseOperator
from airflow_provider_bedrock_llm.operators.parallel import BedrockParallelOperator

__all__ = ["airflow_db"]

HELLO = [text_message("hello")]
QUICK = RetryConfig(retry_delay=0.01, max_retries=2)
ONLY = {"strategy": "fixed", "failover": False}


@pytest.fixture
def mixed(connected, openai_server, monkeypatch):
    """Nova on Bedrock, and a cheaper one at NVIDIA, whose key is in a connection."""
    connect(monkeypatch, "nvidia_default", conn_type="http", login="", password=openai_server.key)
    return {
        "nova": {"service": "Bedrock", "model": "amazon.nova-lite-v1:0"},
        "qwen": {
            "service": "NVIDIA",
            "model": "qwen/qwen2.5-7b-instruct",
            "size": "7B",
            "input_price": 0.01,
            "output_price": 0.02,
            "api_endpoint": openai_server.url,
        },
    }


def only(name):
    return {**ONLY, "candidate": name}


def rows_of(summary):
    with Path(summary["output_uri"].removeprefix("file://")).open() as lines:
        return [json.loads(line) for line in lines]


def test_both_services_answer_in_the_same_type_with_cost_and_reason(mixed, openai_server):
    hook = BedrockLLMHook(candidates=mixed)
    qwen, nova = hook.converse(HELLO), hook.converse(HELLO, routing=only("nova"))
    assert (qwen.candidate, qwen.model_used, qwen.region_used) == ("qwen", "qwen/qwen2.5-7b-instruct", "NVIDIA")
    assert qwen.get_content() == "You said: hello"
    assert qwen.cost_usd == pytest.approx((qwen.usage.input_tokens * 0.01 + qwen.usage.output_tokens * 0.02) / 1e6)
    assert "cheapest of 2 that fit" in qwen.routing_reason
    assert (nova.candidate, nova.region_used, nova.routing_reason) == ("nova", "us-east-1", "fixed")
    assert nova.cost_usd > 0
    assert len(openai_server.bodies) == 1


def test_a_service_that_refuses_its_key_leaves_the_answer_to_the_next(mixed, openai_server):
    openai_server.key = "another"
    response = BedrockLLMHook(candidates=mixed).converse(HELLO)
    assert response.candidate == "nova"
    assert response.routing_reason.startswith("qwen was chosen (cheapest of 2")
    assert [attempt.fault for attempt in response.attempts] == ["service_refused", None]


@pytest.mark.parametrize(
    ("reply", "kind", "calls"),
    [
        ((429, "slow down"), RetryExhaustedError, 3),
        ((500, "broken"), RetryExhaustedError, 3),
        ((400, "malformed"), RequestValidationError, 1),
        ((401, "no"), AuthenticationError, 1),
    ],
)
def test_the_engine_alone_retries_and_its_errors_name_the_service(mixed, openai_server, reply, kind, calls):
    openai_server.replies = [reply] * 9
    with pytest.raises(kind, match="NVIDIA said: ") as raised:
        BedrockLLMHook(candidates=mixed, retry_config=QUICK, routing=only("qwen")).converse(HELLO)
    assert len(openai_server.bodies) == len(raised.value.attempts) == calls


def test_a_key_that_a_service_quotes_is_not_repeated(mixed, openai_server):
    openai_server.replies = [(401, f"Incorrect API key provided: {openai_server.key}.")]
    with pytest.raises(AuthenticationError, match="Incorrect API key") as raised:
        BedrockLLMHook(candidates=mixed, routing=only("qwen")).converse(HELLO)
    assert openai_server.key not in f"{raised.value}{raised.value.to_dict()}"


def test_a_passing_failure_is_retried(mixed, openai_server):
    openai_server.replies = [(429, "slow down"), (503, "busy"), "at last"]
    response = BedrockLLMHook(candidates=mixed, retry_config=QUICK, routing=only("qwen")).converse(HELLO)
    assert response.get_content() == "at last"
    assert [attempt.fault for attempt in response.attempts] == ["throttled", "overloaded", None]


def test_a_service_that_is_silent_times_out_and_the_error_says_what_to_raise(mixed, openai_server):
    from airflow_provider_bedrock_llm.core.config import Boto3Config

    openai_server.delay_seconds = 1.5
    hook = BedrockLLMHook(
        candidates=mixed,
        routing=only("qwen"),
        boto3_config=Boto3Config(read_timeout=0.5),
        retry_config=RetryConfig(max_timeout_retries=0),
    )
    with pytest.raises(RequestTimeoutError, match="`read_timeout`") as raised:
        hook.converse(HELLO)
    assert raised.value.may_have_cost


def test_a_server_that_is_not_there_is_a_connection_that_failed(mixed):
    mixed["qwen"]["api_endpoint"] = "http://127.0.0.1:9/v1"
    response = BedrockLLMHook(candidates=mixed, retry_config=QUICK).converse(HELLO)
    assert [attempt.fault for attempt in response.attempts] == ["connection_failed", None]
    assert response.candidate == "nova"


def test_an_answer_that_breaks_the_schema_is_asked_for_again(mixed, openai_server):
    schema = {"type": "object", "properties": {"score": {"type": "integer"}}, "required": ["score"]}
    openai_server.replies = ['{"score": "high"}', '{"score": 3}']
    hook = BedrockLLMHook(candidates=mixed, routing=only("qwen"), output_schema=schema)
    response = hook.converse(HELLO)
    assert response.structured_output == {"score": 3}
    first, second = openai_server.bodies
    assert first["tool_choice"]["function"]["name"] == first["tools"][0]["function"]["name"]
    assert [message["role"] for message in second["messages"]] == ["user", "assistant", "tool"]


def test_pictures_and_settings_arrive_in_openais_words(mixed, openai_server):
    mixed["qwen"]["input_modalities"] = ["TEXT", "IMAGE"]
    content = [{"image": {"format": "png", "source": {"bytes": b"png"}}}, {"text": "What is it?"}]
    BedrockLLMHook(candidates=mixed, routing=only("qwen")).converse(
        [{"role": "user", "content": content}],
        system=[{"text": "Be brief."}],
        inference_config={"maxTokens": 9, "temperature": 0, "topP": 0.5, "stopSequences": ["x"]},
    )
    (body,) = openai_server.bodies
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert body["messages"][1]["content"][0]["image_url"]["url"] == "data:image/png;base64,cG5n"
    assert (body["max_tokens"], body["temperature"], body["top_p"], body["stop"]) == (9, 0, 0.5, ["x"])


def test_a_guardrail_keeps_a_request_on_bedrock(mixed, openai_server):
    guardrail = {"guardrailIdentifier": "abc", "guardrailVersion": "1"}
    choice = BedrockLLMHook(candidates=mixed).route("hello", guardrail_config=guardrail)
    assert choice.models == ("nova",)
    with pytest.raises(RequestValidationError, match="guardrailConfig has no place"):
        BedrockLLMHook(candidates=mixed).converse(HELLO, models=["qwen"], guardrail_config=guardrail)
    assert openai_server.bodies == []


def test_streams_and_parallel_requests_say_who_was_chosen(mixed):
    hook = BedrockLLMHook(candidates=mixed)
    stream = hook.converse_stream(HELLO)
    assert "".join(stream) == "You said: hello"
    assert stream.response.candidate == "qwen"
    done = hook.converse_parallel([BedrockConverseRequest(HELLO), BedrockConverseRequest(HELLO, models=["nova"])])
    assert [one.candidate for one in done.request_responses.values()] == ["qwen", "nova"]
    assert all(one.routing_reason for one in done.request_responses.values())


def test_tools_are_used_by_the_one_that_the_first_turn_chose(mixed, openai_server):
    mixed["qwen"]["capabilities"] = ["tool_use"]
    call = {"id": "c1", "type": "function", "function": {"name": "double", "arguments": '{"number": 21}'}}
    choice = {"index": 0, "message": {"role": "assistant", "content": None, "tool_calls": [call]}}
    usage = {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10}
    asked = {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "usage": usage}
    openai_server.replies = [{**asked, "choices": [{**choice, "finish_reason": "tool_calls"}]}, "It is 42."]

    def double(number: int) -> int:
        """Twice the number."""
        return 2 * number

    run = BedrockLLMHook(candidates=mixed).converse_with_tools([text_message("Twice 21?")], [double])
    assert run.response.get_content() == "It is 42."
    assert openai_server.bodies[1]["messages"][-1] == {
        "role": "tool",
        "tool_call_id": "c1",
        "content": '{"result": 42}',
    }


def test_route_only_calls_nobody_and_names_reason_and_price(mixed, connected, openai_server, task_instance):
    task = BedrockConverseOperator(task_id="t", prompt="hello", candidates=mixed, route_only=True)
    told = task.execute({"ti": task_instance})
    assert told["candidate"] == "qwen"
    assert told["ranking"] == ["qwen", "nova"]
    assert told["estimated_cost_usd"] == pytest.approx((1 * 0.01 + 500 * 0.02) / 1e6, rel=0.1)
    assert connected.control.stats().calls == 0
    assert openai_server.bodies == []


def test_the_operator_pushes_who_answered_and_why(mixed, task_instance):
    task = BedrockConverseOperator(task_id="t", prompt="hello", candidates=mixed, routing="largest")
    assert task.execute({"ti": task_instance}) == "You said: hello"
    assert task_instance.xcoms["candidate"] == "qwen"
    assert task_instance.xcoms["routing_reason"] == "largest of 2 that fit: 7B"


def run_job(tmp_path, task_instance, candidates, rows=20, **settings):
    source = tmp_path / "rows.jsonl"
    source.write_text("".join(json.dumps({"id": n, "text": f"text {n}", "who": "nova"}) + "\n" for n in range(rows)))
    return BedrockParallelOperator(
        task_id="t",
        source=str(source),
        prompt="Say {{ text }}",
        id_column="id",
        candidates=candidates,
        work_dir=str(tmp_path / "jobs"),
        deferrable=False,
        **settings,
    ).execute({"ti": task_instance})


def test_a_job_routes_each_record_and_says_so_in_each_row(mixed, openai_server, connected, tmp_path, task_instance):
    rule = {"strategy": "weighted", "weights": {"nova": 1, "qwen": 1}}
    rows = rows_of(run_job(tmp_path, task_instance, mixed, routing=rule))
    asked = [row["candidate"] for row in rows]
    assert set(asked) == {"nova", "qwen"}
    assert len(openai_server.bodies) == asked.count("qwen")
    assert connected.control.stats().calls == asked.count("nova")
    assert all(row["routing_reason"] == "drawn for this record, with a share of 50%" for row in rows)
    assert all(row["region"] == ("NVIDIA" if row["candidate"] == "qwen" else "us-east-1") for row in rows)
    assert all(row["cost_usd"] > 0 and row["seconds"] >= 0 for row in rows)


def test_a_job_that_goes_on_pays_for_nothing_twice_though_prices_changed(
    mixed, openai_server, connected, tmp_path, task_instance
):
    rule = {"strategy": "weighted"}
    before = {row["id"]: row["candidate"] for row in rows_of(run_job(tmp_path, task_instance, mixed, routing=rule))}
    paid = len(openai_server.bodies) + connected.control.stats().calls
    mixed["qwen"]["input_price"] = 0.5
    again = replace(task_instance, id="another run of the task")
    after = rows_of(run_job(tmp_path, again, mixed, rows=25, routing=rule))
    assert len(openai_server.bodies) + connected.control.stats().calls == paid + 5
    assert {row["id"]: row["candidate"] for row in after if row["id"] in before} == before


def test_the_records_of_a_job_can_name_their_candidates(mixed, openai_server, tmp_path, task_instance):
    rows = rows_of(run_job(tmp_path, task_instance, mixed, override_columns={"model": "who"}))
    assert {(row["candidate"], row["routing_reason"]) for row in rows} == {("nova", "the request names it")}
    assert openai_server.bodies == []


def test_a_list_that_is_wrong_fails_before_anything_is_asked(mixed, connected, tmp_path, task_instance):
    mixed["typo"] = {"service": "Bedrock", "model": "Nova Lihte"}
    with pytest.raises(AirflowFailException, match="typo: The model 'Nova Lihte' is not known"):
        run_job(tmp_path, task_instance, mixed)
    assert connected.control.stats().calls == 0


def test_a_budget_in_dollars_and_the_estimate_go_by_the_prices_of_the_list(mixed, tmp_path, task_instance):
    summary = run_job(tmp_path, task_instance, mixed, budget=1.0, estimate=True)
    assert summary["counts"]["succeeded"] == 20
    estimate = task_instance.xcoms["estimate"]
    assert 0 < estimate["usd"]["low"] <= estimate["usd"]["high"] < 1


@pytest.mark.parametrize("settings", [{}, {"override_columns": {"model": "who"}}], ids=["routed", "by_record"])
def test_a_mode_that_is_chosen_is_one_that_candidates_have(mixed, tmp_path, task_instance, settings):
    batch = {"batch_role_arn": "arn:aws:iam::123456789012:role/batch", "batch_s3_uri": "s3://bucket/batch"}
    run_job(tmp_path, task_instance, mixed, rows=300, mode="auto", least_saving_usd=0.0, **batch, **settings)
    assert task_instance.xcoms["mode_plan"]["choice"] == "on_demand"


def test_nothing_secret_and_no_prompt_is_in_job_json(mixed, openai_server, tmp_path, task_instance):
    run_job(tmp_path, task_instance, mixed, rows=2)
    (description,) = (tmp_path / "jobs").rglob("job.json")
    assert openai_server.key not in description.read_text()


def test_likeness_embeds_each_candidate_once(connected):
    listed = {
        "code": {"service": "Bedrock", "model": "amazon.nova-lite-v1:0", "feature": "writes program code in Python"},
        "poem": {"service": "Bedrock", "model": "amazon.nova-micro-v1:0", "feature": "writes poems with rhymes"},
    }
    hook = BedrockLLMHook(candidates=listed, routing="likeness")
    chosen = [hook.route(text).candidate.name for text in ("poems with rhymes", "program code in Python")]
    assert chosen == ["poem", "code"]
    assert connected.control.stats().calls == 2 + 2  # Titan takes one text a call


@pytest.mark.parametrize("form", ["file", "variable", "text"])
def test_a_list_comes_from_a_file_a_variable_or_the_text_itself(mixed, form, tmp_path, monkeypatch):
    text = json.dumps(mixed)
    (tmp_path / "models.json").write_text(text)
    monkeypatch.setenv("AIRFLOW_VAR_ROUTER_MODELS", text)
    given = {"file": str(tmp_path / "models.json"), "variable": "variable://router_models", "text": text}[form]
    assert [one.name for one in BedrockLLMHook(candidates=given).candidates] == ["nova", "qwen"]


@pytest.mark.parametrize("given", ["/nowhere/models.json", "variable://nowhere"])
def test_a_list_that_is_not_there_is_a_setting_that_is_wrong(connected, airflow_db, given):
    with pytest.raises(ConfigurationError, match="nowhere"):
        BedrockLLMHook(candidates=given).route("hello")


def test_keys_come_from_api_keys_too_and_are_used_in_turn(connected, monkeypatch):
    with OpenAIServer(key="second") as server:
        monkeypatch.setenv("API_KEYS", json.dumps({"nvidia": "first,second"}))
        listed = {"q": {"service": "NVIDIA", "model": "m", "input_price": 0, "output_price": 0}}
        listed["q"]["api_endpoint"] = server.url
        hook = BedrockLLMHook(candidates=listed)
        with pytest.raises(AuthenticationError):
            hook.converse(HELLO)
        assert hook.converse(HELLO).cost_usd == 0


def test_a_trigger_can_fetch_all_that_choosing_needs(mixed):
    hook = BedrockLLMHook(candidates=mixed, parallel_config=ParallelProcessingConfig(max_concurrent_requests=2))

    async def ask():
        await hook.prefetch()
        return await hook.converse_parallel_async([BedrockConverseRequest(HELLO)])

    (response,) = asyncio.run(ask()).request_responses.values()
    assert response.candidate == "qwen"


WITHOUT_LITELLM = """
import sys
sys.modules["litellm"] = None
import importlib.util
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "litellm" else real(name, *rest)
from airflow_provider_bedrock_llm.aws.services import require_litellm
try:
    require_litellm("NVIDIA")
except Exception as error:
    print(type(error).__name__, error)
"""


def test_without_the_extra_the_error_names_the_command(mixed):
    done = subprocess.run([sys.executable, "-c", WITHOUT_LITELLM], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("ConfigurationError NVIDIA is called through LiteLLM, which is not installed.")
    assert "pip install 'airflow-provider-bedrock-llm[router]'" in done.stdout


LAZY = """
import json, os, sys
from airflow_provider_bedrock_llm import BedrockLLMHook, text_message
hook = BedrockLLMHook(candidates=json.loads(sys.argv[1]))
hook.route("hello")
hook.converse([text_message("hello")], routing={"strategy": "fixed", "candidate": "nova"})
print("litellm" in sys.modules)
"""


def test_nothing_imports_litellm_until_another_service_is_called(mixed):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LAZY, json.dumps(mixed)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "False"
