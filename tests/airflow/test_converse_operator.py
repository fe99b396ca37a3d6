"""One prompt from a task."""

from __future__ import annotations

import logging

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from pydantic import BaseModel

from airflow_provider_bedrock_llm.core.config import RetryConfig
from airflow_provider_bedrock_llm.hooks.outcome import BedrockTaskError
from airflow_provider_bedrock_llm.operators.converse import BedrockConverseOperator

NOVA = "amazon.nova-lite-v1:0"


class Review(BaseModel):
    sentiment: str
    score: int


def run(task_instance, **arguments):
    return BedrockConverseOperator(task_id="ask", **{"models": [NOVA], **arguments}).execute({"ti": task_instance})


def test_the_answer_is_the_return_value_and_what_it_took_goes_to_xcoms(connected, task_instance):
    text = run(task_instance, prompt="Say hello.")
    assert isinstance(text, str)
    assert text
    assert task_instance.xcoms["model"] == NOVA
    assert task_instance.xcoms["region"] == "us-east-1"
    assert task_instance.xcoms["usage"]["inputTokens"] > 0
    assert task_instance.xcoms["cost_usd"] > 0
    assert task_instance.xcoms["stop_reason"] == "end_turn"


@pytest.mark.parametrize("schema", [Review, Review.model_json_schema()], ids=["pydantic", "json schema"])
def test_a_schema_makes_the_return_value_a_validated_dict(connected, task_instance, schema):
    value = run(task_instance, prompt="I love it. What sentiment?", output_schema=schema)
    assert Review.model_validate(value)


def test_every_call_carries_tags_of_dag_run_and_task(connected, task_instance):
    connected.control.keep_bodies(5)
    run(task_instance, prompt="Say hello.", system="Be brief.", inference_config={"maxTokens": 50})
    (kept,) = connected.control.bodies()
    body = kept["body"]
    assert body["requestMetadata"] == {
        "airflow_dag_id": "the_dag",
        "airflow_run_id": "manual__2026-11-21T00:00:00+00:00",
        "airflow_task_id": "the_task",
    }
    assert body["system"] == [{"text": "Be brief."}]
    assert body["inferenceConfig"] == {"maxTokens": 50}


def test_further_fields_reach_the_request(connected, task_instance):
    connected.control.keep_bodies(5)
    run(task_instance, prompt="Hello.", request_fields={"performance_config": {"latency": "standard"}})
    assert connected.control.bodies()[0]["body"]["performanceConfig"] == {"latency": "standard"}


@pytest.mark.parametrize("given", [{}, {"prompt": "a", "messages": [{"role": "user", "content": [{"text": "b"}]}]}])
def test_prompt_and_messages_exclude_each_other(connected, task_instance, given):
    with pytest.raises(AirflowFailException, match="either `prompt` or `messages`"):
        run(task_instance, **given)


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ("denied_by_policy", AirflowFailException),
        ("input_too_long", AirflowFailException),
        ("unavailable", BedrockTaskError),
    ],
)
def test_airflow_retries_only_what_a_retry_can_help(connected, task_instance, fault, outcome):
    connected.control.fail(fault)
    with pytest.raises(outcome) as caught:
        run(task_instance, prompt="Say hello.", retry_config=RetryConfig(max_retries=1, retry_delay=0.0))
    assert type(caught.value) is outcome


def test_the_log_says_who_answered_and_what_it_cost_but_not_what_was_said(connected, task_instance, caplog, capsys):
    with caplog.at_level(logging.INFO), caplog.at_level(logging.DEBUG, "airflow_provider_bedrock_llm"):
        text = run(task_instance, prompt="PROMPTCANARY hello.", system="SYSTEMCANARY")
    logged = caplog.text + capsys.readouterr().out
    assert "USD" in logged
    assert NOVA in logged
    for secret in ("PROMPTCANARY", "SYSTEMCANARY", "local-secret-key", text):
        assert secret not in logged
