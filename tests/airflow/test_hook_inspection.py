"""What the hook asks without asking a model for an answer: token counts and guardrails."""

from __future__ import annotations

import pytest

from airflow_provider_bedrock_llm.core.config import RetryConfig
from airflow_provider_bedrock_llm.core.errors import (
    ConfigurationError,
    RequestValidationError,
)
from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest, text_message
from airflow_provider_bedrock_llm.hooks.bedrock_llm import BedrockLLMHook

HAIKU = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
BASE = "anthropic.claude-haiku-4-5-20251001-v1:0"
PROMPT = "How many tokens does this have?"
QUICK = RetryConfig(max_retries=1, retry_delay=0.0)


@pytest.mark.parametrize("model", [HAIKU, "Claude Haiku 4.5", BASE])
def test_tokens_are_counted_under_the_base_models_id_however_the_model_is_named(connected, model):
    hook = BedrockLLMHook(models=[model])
    assert hook.count_tokens(PROMPT) == hook.converse([text_message(PROMPT)]).usage.input_tokens
    counted = [call for call in connected.control.calls() if call["operation"] == "CountTokens"]
    assert [call["asked_id"] for call in counted] == [BASE]


def test_system_and_tools_count_and_inference_settings_are_left_out(connected):
    hook = BedrockLLMHook(models=[HAIKU])
    tool = {"toolSpec": {"name": "look_up", "inputSchema": {"json": {"type": "object", "properties": {}}}}}
    request = BedrockConverseRequest(
        [text_message(PROMPT)],
        system=[{"text": "You count."}],
        tool_config={"tools": [tool]},
        inference_config={"maxTokens": 10},
        request_metadata={"team": "a"},
    )
    assert hook.count_tokens(request) == hook.converse_with_request(request).usage.input_tokens
    assert hook.count_tokens(request) > hook.count_tokens([text_message(PROMPT)])


def test_a_model_that_cannot_count_says_so_and_what_to_do(connected):
    with pytest.raises(ConfigurationError, match=r"amazon.nova-lite-v1:0 cannot count tokens .* `usage`") as caught:
        BedrockLLMHook(models=[HAIKU]).count_tokens(PROMPT, model="Nova Lite")
    assert caught.value.aws_message == "The provided model doesn't support counting tokens."
    assert connected.control.stats().calls == 1


def test_an_arn_that_hides_its_model_cannot_be_counted_with(connected):
    arn = "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/abcdefghijkl"
    with pytest.raises(ConfigurationError, match="does not tell its base model"):
        BedrockLLMHook(models=[arn]).count_tokens(PROMPT)
    assert connected.control.stats().calls == 0


def test_counting_is_retried_like_everything_else(connected):
    connected.control.throttle(first=1)
    assert BedrockLLMHook(models=[HAIKU], retry_config=QUICK).count_tokens(PROMPT) > 0
    assert connected.control.stats().calls == 2


def test_a_hook_with_a_schema_counts_as_well(connected):
    hook = BedrockLLMHook(models=[HAIKU], output_schema={"type": "object", "properties": {"n": {"type": "integer"}}})
    assert hook.count_tokens(PROMPT) > 0


@pytest.mark.parametrize("source", ["INPUT", "OUTPUT"])
def test_a_guardrail_says_what_it_found_and_what_to_show_instead(connected, source):
    connected.control.guardrail("gr-words", ["secretword"])
    result = BedrockLLMHook().apply_guardrail("This has a SecretWord in it.", "gr-words", source=source)
    assert result.intervened
    assert result.outputs == ("Sorry, the model cannot answer this question.",)
    assert result.assessments[0]["wordPolicy"]["customWords"] == [{"match": "secretword", "action": "BLOCKED"}]
    assert result.usage["wordPolicyUnits"] == 1
    assert result.region_used == "us-east-1"


def test_a_clean_text_passes(connected):
    connected.control.guardrail("gr-words", ["secretword"], version="3")
    result = BedrockLLMHook().apply_guardrail(["Nothing here.", "Nor here."], "gr-words", "3", full=True)
    assert not result.intervened
    assert result.outputs == ()


def test_a_guardrail_that_does_not_exist_is_named_with_version_and_region(connected):
    with pytest.raises(RequestValidationError, match=r"'gr-none' \(version 7\) cannot be applied in us-east-1"):
        BedrockLLMHook().apply_guardrail("A text.", "gr-none", "7")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [({"source": "BOTH"}, "source='BOTH'"), ({"text": ""}, "empty text"), ({"text": []}, "empty")],
)
def test_what_apply_guardrail_would_refuse_is_refused_before_the_call(connected, arguments, named):
    with pytest.raises(ConfigurationError, match=named):
        BedrockLLMHook().apply_guardrail(**({"text": "A text.", "guardrail_id": "gr"} | arguments))
    assert connected.control.stats().calls == 0
