"""An answer is read in types, sent back as a message that Converse takes, and survives JSON with its error's class."""

import json

import pytest
from harness.answers import answer_of, response_of
from harness.streams import answers
from hypothesis import given

from airflow_provider_bedrock_llm.core import errors
from airflow_provider_bedrock_llm.core.answer_parts import Citation, Reasoning, ToolUse
from airflow_provider_bedrock_llm.core.errors import ConfigurationError, LLMManagerError, UnknownModelError
from airflow_provider_bedrock_llm.core.response import BedrockResponse, RequestAttempt
from airflow_provider_bedrock_llm.core.transport import Failure, FailureKind

LOCATION = {"documentPage": {"documentIndex": 0, "start": 1, "end": 2}}
CITED = {
    "citationsContent": {
        "content": [{"text": "It rains "}, {"text": "a lot."}],
        "citations": [
            {"title": "Weather", "source": "s3", "sourceContent": [{"text": "Rain."}], "location": LOCATION},
            {"title": "Book"},
        ],
    }
}
THOUGHT = {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "c2ln"}}}
REDACTED = {"reasoningContent": {"redactedContent": b"\x00\xff"}}
USE = {"toolUse": {"toolUseId": "t1", "name": "rate", "input": {"score": 3}, "type": "tool_use"}}
SERVER_USE = {"toolUse": {"toolUseId": "t2", "name": "code", "input": {}, "type": "server_tool_use"}}
IMAGE = {"image": {"format": "png", "source": {"bytes": b"x"}}}
UNKNOWN = {"SDK_UNKNOWN_MEMBER": {"name": "futureBlock"}}


def test_tool_uses_are_read_and_tell_who_runs_them():
    response = response_of({"text": "a"}, USE, SERVER_USE)
    assert response.get_tool_uses() == [
        ToolUse("t1", "rate", {"score": 3}, "tool_use"),
        ToolUse("t2", "code", {}, "server_tool_use"),
    ]
    assert [use.runs_on_server for use in response.get_tool_uses()] == [False, True]
    assert response.has_tool_use()
    assert not response_of(SERVER_USE).has_tool_use()
    assert [use.to_wire() for use in response.get_tool_uses()] == [USE, SERVER_USE]


def test_reasoning_is_read_redacted_or_not_and_written_back_as_it_was():
    thoughts = response_of(THOUGHT, REDACTED).get_reasoning()
    assert thoughts == [Reasoning("hm", "c2ln"), Reasoning(redacted_content=b"\x00\xff")]
    assert [thought.to_wire() for thought in thoughts] == [THOUGHT, REDACTED]


def test_citations_are_read_with_the_text_that_they_stand_for():
    first, second = response_of({"text": "Look: "}, CITED).get_citations()
    assert first == Citation("It rains a lot.", "Weather", "s3", ("Rain.",), LOCATION)
    assert second == Citation("It rains a lot.", "Book")


def test_cited_text_is_part_of_the_content():
    response = response_of({"text": "Look: "}, CITED)
    assert response.get_content() == "Look: It rains a lot."
    assert response.get_text_blocks() == ["Look: "]


def test_blocks_are_found_by_type_and_unknown_ones_are_kept():
    response = response_of(IMAGE, UNKNOWN, {"text": "a"})
    assert response.get_image_blocks() == [IMAGE["image"]]
    assert response.get_content_blocks_by_type("SDK_UNKNOWN_MEMBER") == [{"name": "futureBlock"}]
    assert len(response.get_content_blocks()) == 3


def test_what_came_beside_the_message_is_read():
    data = answer_of({"text": "a"}, cacheReadInputTokens=7, cacheWriteInputTokens=3) | {
        "trace": {"guardrail": {"actionReason": "No action."}, "promptRouter": {"invokedModelId": "m"}},
        "performanceConfig": {"latency": "optimized"},
        "serviceTier": {"type": "flex"},
        "additionalModelResponseFields": {"stop_sequence": None},
    }
    data["usage"]["cacheDetails"] = [{"ttl": "1h", "inputTokens": 3}]
    response = BedrockResponse(success=True, response_data=data)
    assert response.get_guardrail_trace() == {"actionReason": "No action."}
    assert response.get_invoked_model_id() == "m"
    assert response.get_performance_config() == {"latency": "optimized"}
    assert response.get_service_tier() == "flex"
    assert response.get_additional_model_response_fields() == {"stop_sequence": None}
    assert (response.get_input_tokens(), response.get_output_tokens(), response.get_total_tokens()) == (10, 5, 25)
    assert (response.get_cache_read_tokens(), response.get_cache_write_tokens()) == (7, 3)
    assert response.get_cache_details() == [{"ttl": "1h", "inputTokens": 3}]


def test_what_did_not_come_reads_as_empty():
    response = BedrockResponse(success=False)
    assert response.get_tool_uses() == response.get_reasoning() == response.get_citations() == []
    assert response.get_text_blocks() == response.get_image_blocks() == response.get_cache_details() == []
    assert response.get_guardrail_trace() is None
    assert response.get_invoked_model_id() is None
    assert response.get_performance_config() is None
    assert response.get_service_tier() is None
    assert response.get_additional_model_response_fields() is None
    assert response.get_total_tokens() == 0
    assert response.to_message() == {"role": "assistant", "content": []}


def test_the_message_to_send_back_leaves_out_what_converse_gives_but_does_not_take():
    message = response_of(THOUGHT, REDACTED, {"text": " \n"}, {"text": "a "}, UNKNOWN, USE, SERVER_USE).to_message()
    sent_use = {"toolUse": {"toolUseId": "t1", "name": "rate", "input": {"score": 3}}}
    assert message == {"role": "assistant", "content": [THOUGHT, REDACTED, {"text": "a "}, sent_use, SERVER_USE]}


def test_an_input_that_is_no_object_is_sent_back_as_an_empty_one():
    broken = {"toolUse": {"toolUseId": "t1", "name": "rate", "input": '{"score": '}}
    (block,) = response_of(broken).to_message()["content"]
    assert block["toolUse"]["input"] == {}


@given(answers)
def test_an_answer_survives_json_whole_and_can_be_read_in_all_types(data):
    response = BedrockResponse(success=True, response_data=data)
    again = BedrockResponse.from_dict(json.loads(response.to_json()))
    assert again == response
    assert again.get_tool_uses() == response.get_tool_uses()
    assert again.get_reasoning() == response.get_reasoning()
    assert again.get_citations() == response.get_citations()
    assert again.to_message() == response.to_message()


CLASSES = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, LLMManagerError) and kind is not UnknownModelError
]


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_an_error_survives_json_with_its_class(kind):
    error = kind("It broke. Mend it.", aws_code="X", aws_message="boom", request_id="r-1", may_have_cost=True)
    again = BedrockResponse.from_dict(json.loads(BedrockResponse(success=False, error=error).to_json())).error
    assert type(again) is kind
    assert (str(again), again.retry_helps, again.may_have_cost) == (str(error), error.retry_helps, True)


def test_an_unknown_model_comes_back_as_the_configuration_error_that_it_is():
    error = UnknownModelError("claud", ["claude-a"])
    again = LLMManagerError.from_dict(error.to_dict())
    assert type(again) is ConfigurationError
    assert str(again) == str(error)


def test_an_error_of_a_class_that_is_gone_comes_back_as_the_root():
    data = ConfigurationError("It broke. Mend it.").to_dict() | {"type": "VanishedError"}
    assert type(LLMManagerError.from_dict(data)) is LLMManagerError


def test_a_failure_survives_json_with_all_of_its_members():
    failure = Failure(FailureKind.STREAM, "modelStreamErrorException", "no", None, "r-1", 1.5, 500, 0.25)
    attempt = RequestAttempt("m", "m", "us-east-1", "direct", 0.25, "stream_broken", failure, request_id="r-1")
    again = BedrockResponse.from_dict(BedrockResponse(success=False, attempts=(attempt,)).to_dict())
    assert again.attempts == (attempt,)
