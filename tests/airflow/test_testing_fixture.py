"""The fixture with which users test their DAGs: it is used here as they would use it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_bedrock_llm import BedrockConverseOperator, BedrockLLMHook, BedrockParallelOperator, text_message
from airflow_provider_bedrock_llm.core.config import RetryConfig
from airflow_provider_bedrock_llm.local import Answer

SCHEMA = {"type": "object", "properties": {"verdict": {"enum": ["good", "bad"]}}, "required": ["verdict"]}
ONE_TRY = RetryConfig(max_retries=0)


def ask(text, **settings):
    return BedrockLLMHook(models=["Nova Lite"], **settings).converse([text_message(text)])


def test_an_answer_is_scripted_for_every_prompt_or_for_some(local_bedrock):
    local_bedrock.answers("I do not know.")
    local_bedrock.answers("Paris", when="France")
    assert ask("The capital of France?").get_content() == "Paris"
    assert ask("The capital of Spain?").get_content() == "I do not know."
    assert local_bedrock.prompts == ["The capital of France?", "The capital of Spain?"]


def test_an_answer_can_be_a_function_of_what_was_asked(local_bedrock):
    local_bedrock.answers(lambda call: Answer(call.text.upper(), output_tokens=7))
    response = ask("quiet")
    assert (response.get_content(), response.usage.output_tokens) == ("QUIET", 7)


def test_without_a_script_the_endpoint_answers_by_rule(local_bedrock):
    assert ask("Is anybody there?").get_content()


def test_an_operator_finds_connection_and_endpoint(local_bedrock, task_instance):
    local_bedrock.answers({"verdict": "good"})
    operator = BedrockConverseOperator(task_id="t", prompt="Lovely.", models=["Nova Lite"], output_schema=SCHEMA)
    assert operator.execute({"ti": task_instance}) == {"verdict": "good"}
    (asked,) = local_bedrock.asked
    assert (asked.operation, asked.model, asked.region) == ("Converse", "amazon.nova-lite-v1:0", "us-east-1")
    assert (asked.text, asked.outcome) == ("Lovely.", "ok")
    assert asked.body["requestMetadata"]["airflow_dag_id"] == "the_dag"


def test_a_job_keeps_its_folder_below_tmp_path(local_bedrock, task_instance, tmp_path):
    source = tmp_path / "rows.csv"
    source.write_text("id,text\n1,one\n2,two\n")
    local_bedrock.answers("second", when="two")
    local_bedrock.answers("first", when="one")
    summary = BedrockParallelOperator(
        task_id="t", source=str(source), id_column="id", prompt="{{ text }}", models=["Nova Lite"], deferrable=False
    ).execute({"ti": task_instance})
    output = Path(summary["output_uri"].removeprefix("file://"))
    assert tmp_path in output.parents
    assert [json.loads(line)["answer"] for line in output.read_text().splitlines()] == ["first", "second"]


def test_a_fault_comes_as_often_as_it_was_asked_for(local_bedrock):
    local_bedrock.answers("at last")
    local_bedrock.fails("unavailable", times=2)
    assert ask("?", retry_config=RetryConfig(max_retries=3, retry_delay=0.0)).get_content() == "at last"
    assert [request.outcome for request in local_bedrock.asked] == ["ServiceUnavailableException"] * 2 + ["ok"]


def test_a_fault_can_be_meant_for_one_prompt_and_one_model(local_bedrock, task_instance):
    local_bedrock.fails("no_access", when="secret", model="*nova*")
    assert ask("public").success
    operator = BedrockConverseOperator(task_id="t", prompt="secret", models=["Nova Lite"], retry_config=ONE_TRY)
    with pytest.raises(AirflowFailException, match="AccessDenied"):
        operator.execute({"ti": task_instance})


def test_embeddings_are_seen_too(local_bedrock):
    BedrockLLMHook(models=["amazon.titan-embed-text-v2:0"]).embed(["a text"])
    (asked,) = local_bedrock.asked
    assert (asked.operation, asked.text) == ("InvokeModel", "")
    assert "a text" in str(asked.body)


def test_the_next_test_begins_anew(local_bedrock):
    assert local_bedrock.asked == []
    assert "at last" not in ask("?").get_content()
