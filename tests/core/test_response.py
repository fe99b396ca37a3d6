"""A response tells what came and what it took, and survives JSON whole, bytes included."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from airflow_provider_bedrock_llm.core.errors import LLMManagerError, QuotaExhaustedError
from airflow_provider_bedrock_llm.core.response import BedrockResponse, RequestAttempt, Usage
from airflow_provider_bedrock_llm.core.transport import Failure, FailureKind
from airflow_provider_bedrock_llm.testing import answer

REJECTED = RequestAttempt(
    "m",
    "us.m",
    "us-east-1",
    "regional_profile",
    1.5,
    "invalid_answer",
    None,
    "no score",
    Usage(10, 5, 2, 1),
    0.25,
    "r-2",
)
FAILED = RequestAttempt(
    "m",
    "m",
    "eu-west-1",
    "direct",
    0.5,
    "throttled",
    Failure(FailureKind.SERVICE, "ThrottlingException", "Too many requests", 429, "r-1"),
    request_id="r-1",
)
ACCEPTED = RequestAttempt(
    "m", "us.m", "us-east-1", "regional_profile", 1.0, usage=Usage(10, 5), cost_usd=0.5, request_id="r-3"
)


def with_blocks(*blocks, **fields):
    data = answer("") | {"output": {"message": {"role": "assistant", "content": list(blocks)}}}
    return BedrockResponse(success=True, response_data=data, **fields)


def test_content_is_the_text_of_all_text_blocks():
    reasoning = {"reasoningContent": {"reasoningText": {"text": "hm"}}}
    tool = {"toolUse": {"toolUseId": "t", "name": "n", "input": {}}}
    assert with_blocks(reasoning, {"text": "one "}, tool, {"text": "two"}).get_content() == "one two"


@pytest.mark.parametrize("blocks", [[], [{"toolUse": {"toolUseId": "t", "name": "n", "input": {}}}]])
def test_an_answer_without_text_has_no_content(blocks):
    assert with_blocks(*blocks).get_content() is None


@pytest.mark.parametrize("data", [{}, {"output": None}, {"output": {}}, {"output": {"message": None}}])
def test_a_response_without_an_answer_has_nothing_to_read(data):
    response = BedrockResponse(success=False, response_data=data)
    assert response.get_content() is None
    assert response.get_content_blocks() == []
    assert response.get_usage() is None
    assert response.get_metrics() is None
    assert response.get_stop_reason() is None
    assert response.get_last_error() is None


def test_what_aws_reported_is_read_as_it_came():
    response = BedrockResponse(success=True, response_data=answer("x", cacheReadInputTokens=7))
    assert response.get_usage() == {"inputTokens": 10, "outputTokens": 5, "cacheReadInputTokens": 7, "totalTokens": 22}
    assert response.get_metrics() == {"latencyMs": 1}
    assert response.get_stop_reason() == "end_turn"


def test_usage_counts_every_answer_that_was_paid_for():
    response = BedrockResponse(success=True, attempts=(FAILED, REJECTED, ACCEPTED))
    assert response.usage == Usage(20, 10, 2, 1)
    assert response.usage.total_tokens == 33


def test_cached_tokens_count_beside_input_tokens_as_aws_counts_the_total():
    recorded = {"inputTokens": 4, "outputTokens": 20, "cacheReadInputTokens": 1500, "cacheWriteInputTokens": 300}
    assert Usage.from_wire(recorded).total_tokens == 1824


@pytest.mark.parametrize("wire", [None, {}, {"inputTokens": None}])
def test_usage_that_is_missing_is_zero(wire):
    assert Usage.from_wire(wire) == Usage()


def test_each_failed_attempt_is_an_error_with_what_aws_said():
    response = BedrockResponse(success=True, attempts=(FAILED, REJECTED, ACCEPTED))
    first, second = response.get_all_errors()
    assert (first.aws_code, first.aws_message, first.request_id) == ("ThrottlingException", "Too many requests", "r-1")
    assert "no score" in str(second)
    assert second.may_have_cost
    assert str(response.get_last_error()) == str(second)


def test_the_error_of_the_whole_is_the_last_error():
    error = QuotaExhaustedError("none left")
    assert BedrockResponse(success=False, attempts=(FAILED,), error=error).get_last_error() is error


def test_rejected_answers_are_told():
    response = BedrockResponse(success=True, attempts=(REJECTED, ACCEPTED))
    assert response.had_validation_failures()
    assert response.get_validation_errors() == [{"error_message": "no score", "model_used": "us.m", "cost_usd": 0.25}]
    assert not BedrockResponse(success=True, attempts=(FAILED, ACCEPTED)).had_validation_failures()


def test_the_same_response_can_go_under_another_id():
    assert BedrockResponse(success=True).with_request_id("mine").request_id == "mine"


def through_json(response):
    return BedrockResponse.from_dict(json.loads(response.to_json()))


def test_a_failed_response_survives_json():
    response = BedrockResponse(
        success=False,
        attempts=(FAILED, REJECTED),
        error=QuotaExhaustedError("None left. Come tomorrow.", aws_code="ThrottlingException", request_id="r-1"),
        warnings=("a",),
        features_disabled=("cache_point",),
        request_id="mine",
        total_duration_ms=12.5,
        cost_usd=None,
    )
    again = through_json(response)
    assert isinstance(again.error, LLMManagerError)
    assert str(again.error) == str(response.error)
    assert again.attempts == response.attempts
    assert again.to_dict() == response.to_dict()


def test_bytes_survive_json():
    blocks = ({"reasoningContent": {"redactedContent": b"\x00\xff"}}, {"image": {"source": {"bytes": bytearray(b"x")}}})
    assert through_json(with_blocks(*blocks)).get_content_blocks() == list(blocks)


@pytest.mark.parametrize(
    "value",
    [
        {"__bytes__": "not base64!"},
        {"__bytes__": {"__bytes__": 5}},
        {"\\__bytes__": 1},
        {"__bytes__": 1, "other": 2},
        [{"__bytes__": None}],
    ],
)
def test_what_a_model_says_is_never_taken_for_bytes(value):
    response = with_blocks({"toolUse": {"toolUseId": "t", "name": "n", "input": value}}, structured_output=value)
    assert through_json(response) == response


def test_a_pydantic_value_becomes_a_dict():
    class Review(BaseModel):
        score: int

    response = BedrockResponse(success=True, structured_output=Review(score=3))
    assert response.get_structured_output() == Review(score=3)
    assert through_json(response).structured_output == {"score": 3}


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.binary(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(max_size=5) | st.sampled_from(["__bytes__", "\\__bytes__", "\\\\__bytes__"]), inner, max_size=3
        )
    ),
    max_leaves=12,
)
failures = st.builds(
    Failure,
    st.sampled_from(FailureKind),
    st.text(max_size=10),
    st.text(max_size=10),
    st.none() | st.integers(400, 599),
)
attempts = st.builds(
    RequestAttempt,
    model=st.text(max_size=5),
    model_used=st.text(max_size=5),
    region_used=st.text(max_size=5),
    access=st.text(max_size=5),
    duration_seconds=st.integers(0, 10**6).map(lambda micros: micros / 10**6),
    fault=st.none() | st.text(max_size=5),
    failure=st.none() | failures,
    validation_error=st.none() | st.text(max_size=5),
    usage=st.builds(Usage, *[st.integers(0, 10**9)] * 4),
    cost_usd=st.none() | st.floats(0, 100),
    may_have_cost=st.booleans(),
)


@given(
    st.booleans(),
    st.dictionaries(st.text(max_size=5), values, max_size=4),
    st.lists(attempts, max_size=3),
    values,
    st.lists(st.text(max_size=5), max_size=2),
    st.none() | st.text(min_size=1, max_size=10),
)
def test_any_response_survives_json(success, data, tried, value, warnings, error):
    response = BedrockResponse(
        success=success,
        response_data=data,
        attempts=tuple(tried),
        structured_output=value,
        warnings=tuple(warnings),
        error=None if error is None else LLMManagerError(error),
    )
    again = through_json(response)
    assert again.response_data == response.response_data
    assert again.structured_output == response.structured_output
    assert again.attempts == response.attempts
    assert again.to_dict() == response.to_dict()
    assert str(again.error) == str(response.error)
