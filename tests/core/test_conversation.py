"""One request from first call to response, through the real loop and a fake transport."""

import pytest
from harness.answers import answer_of
from harness.engines import QUESTION, Talk
from harness.routes import direct_or_profile
from pydantic import BaseModel

from airflow_provider_bedrock_llm.core.config import ResponseValidationConfig, ValidationResult
from airflow_provider_bedrock_llm.core.errors import (
    AuthenticationError,
    ConfigurationError,
    QuotaExhaustedError,
    RequestTimeoutError,
    RequestValidationError,
    ResponseValidationError,
    RetryExhaustedError,
)
from airflow_provider_bedrock_llm.core.pricing import Prices, TokenPrices
from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest, text_message
from airflow_provider_bedrock_llm.core.response import Usage
from airflow_provider_bedrock_llm.core.routes import ModelChoice
from airflow_provider_bedrock_llm.core.schema import OutputSchema
from airflow_provider_bedrock_llm.core.transport import Failure, FailureKind
from airflow_provider_bedrock_llm.testing import answer, failure, throttled

SCHEMA = OutputSchema.of({"type": "object", "properties": {"score": {"type": "integer"}}, "required": ["score"]})
GOOD, BAD = '{"score": 3}', "a good one"
GUARDRAIL = {"guardrailIdentifier": "g", "guardrailVersion": "1"}
DOLLAR_A_TOKEN = Prices(TokenPrices(input=1_000_000.0, output=1_000_000.0))
NEEDS_PROFILE = failure("ValidationException", "Invocation of model ID m with on-demand throughput isn't supported.")
TIMED_OUT = Failure(FailureKind.READ_TIMEOUT, "ReadTimeoutError")


def native(**policy):
    return {"schema": SCHEMA, "takes_output_config": lambda _: True, **policy}


def validated_by(function, **settings):
    return {"validation": ResponseValidationConfig(function, **settings)}


def refuse(response):
    return ValidationResult(False, "too short")


def accept(response):
    return ValidationResult(True)


def test_an_answer_says_who_gave_it_and_what_it_took():
    talk = Talk("hello")
    response = talk.ask(BedrockConverseRequest(QUESTION.messages, request_id="mine"))
    assert response.success
    assert response.error is None
    assert response.get_content() == "hello"
    assert (response.model_used, response.region_used, response.access) == ("m", "us-east-1", "direct")
    assert response.request_id == "mine"
    assert response.usage == Usage(10, 5)
    assert [attempt.request_id for attempt in response.attempts] == ["fake-1"]
    assert response.warnings == ()
    assert talk.transport.requests[0].operation == "converse"


def test_every_attempt_is_told_with_its_cause():
    talk = Talk(throttled(), NEEDS_PROFILE, "hello", regions=["us-east-1", "eu-west-1"], options=direct_or_profile)
    response = talk.ask()
    assert talk.routes == [("m", "us-east-1"), ("m", "eu-west-1"), ("us.m", "us-east-1")]
    assert [attempt.fault for attempt in response.attempts] == ["throttled", "needs_profile", None]
    assert response.attempts[0].failure.code == "ThrottlingException"
    assert (response.model_used, response.region_used) == ("us.m", "us-east-1")


def test_a_profile_that_answered_is_named_as_what_was_sent():
    response = Talk(NEEDS_PROFILE, "hello", models=["m"], options=direct_or_profile).ask()
    assert (response.model_used, response.access) == ("us.m", "regional_profile")
    assert response.attempts[-1].model == "m"


def test_waits_are_part_of_the_duration():
    talk = Talk(throttled(), throttled(), "hello")
    assert talk.ask().total_duration_ms == 1500
    assert talk.clock.sleeps == [0.5, 1.0]


def test_what_the_server_asks_for_is_waited():
    talk = Talk(failure("ThrottlingException", "", 429, retry_after_seconds=7.0), "hello")
    talk.ask()
    assert talk.clock.sleeps == [7]


@pytest.mark.parametrize(
    ("answers", "kind", "calls"),
    [
        ([failure("ValidationException", "bad")], RequestValidationError, 1),
        ([throttled()], RetryExhaustedError, 4),
        ([failure("ThrottlingException", "Too many tokens per day", 429)], QuotaExhaustedError, 1),
        ([failure("ExpiredTokenException", "expired", 403)], AuthenticationError, 2),
        ([TIMED_OUT], RequestTimeoutError, 1),
        ([Failure(FailureKind.CREDENTIALS, "NoCredentialsError")], AuthenticationError, 1),
        ([Failure(FailureKind.REJECTED, "ParamValidationError")], RequestValidationError, 1),
    ],
)
def test_a_failure_is_a_response_with_its_error_and_nothing_is_sent_after_it(answers, kind, calls):
    talk = Talk(*answers)
    response = talk.ask()
    assert not response.success
    assert type(response.error) is kind
    assert len(talk.sent) == calls
    assert response.error.attempts == response.attempts
    assert len(response.attempts) == calls


def test_expired_credentials_are_refreshed_once_and_the_request_goes_on():
    talk = Talk(failure("ExpiredTokenException", "expired", 403), "hello")
    assert talk.ask().success
    assert talk.transport.refreshes == 1


def test_a_call_without_an_answer_that_may_be_billed_is_warned_of():
    response = Talk(TIMED_OUT, "hello", max_timeout_retries=1).ask()
    assert response.success
    assert "1 call(s)" in response.get_warnings()[0]
    assert response.attempts[0].may_have_cost


def test_what_a_stream_had_generated_when_it_was_throttled_may_be_billed():
    response = Talk(Failure(FailureKind.STREAM, "throttlingException"), "hello").ask()
    assert response.attempts[0].may_have_cost


def test_a_schema_is_asked_for_natively_where_the_model_can():
    talk = Talk(GOOD, policy=native())
    response = talk.ask()
    assert response.structured_output == {"score": 3}
    assert "outputConfig" in talk.sent[0]
    assert "toolConfig" not in talk.sent[0]


def test_a_schema_is_asked_for_as_a_forced_tool_where_the_model_cannot():
    use = {"toolUse": {"toolUseId": "t", "name": "answer", "input": {"score": 3}}}
    talk = Talk(answer_of(use, stop_reason="tool_use"), policy={"schema": SCHEMA})
    assert talk.ask().structured_output == {"score": 3}
    assert talk.sent[0]["toolConfig"]["toolChoice"] == {"tool": {"name": "answer"}}


def test_an_answer_that_breaks_the_schema_is_asked_for_again_with_the_error_told():
    talk = Talk(BAD, GOOD, policy=native())
    response = talk.ask()
    assert response.success
    assert response.structured_output == {"score": 3}
    first, second = talk.sent
    assert len(first["messages"]) == 1
    assert [message["role"] for message in second["messages"]] == ["user", "assistant", "user"]
    assert second["messages"][1]["content"] == [{"text": BAD}]
    assert "not JSON" in second["messages"][2]["content"][0]["text"]
    assert response.had_validation_failures()


def test_each_new_question_shows_all_answers_so_far():
    talk = Talk(BAD, "worse", GOOD, policy=native())
    talk.ask()
    assert [len(sent["messages"]) for sent in talk.sent] == [1, 3, 5]


def test_answers_that_never_fit_are_an_error_with_every_attempt_and_its_cost():
    talk = Talk(BAD, policy=native(schema_retries=2, prices_for=lambda *_: DOLLAR_A_TOKEN))
    response = talk.ask()
    assert type(response.error) is ResponseValidationError
    assert response.error.may_have_cost
    assert len(talk.sent) == 3
    assert [attempt.fault for attempt in response.attempts] == ["invalid_answer"] * 3
    assert all("not JSON" in attempt.validation_error for attempt in response.attempts)
    assert response.cost_usd == 45
    assert response.usage == Usage(30, 15)


@pytest.mark.parametrize(
    "stop_reason", ["max_tokens", "guardrail_intervened", "content_filtered", "model_context_window_exceeded"]
)
def test_an_answer_that_would_end_the_same_way_again_is_paid_for_once(stop_reason):
    talk = Talk(answer('{"sco', stop_reason=stop_reason), policy=native(schema_retries=5))
    response = talk.ask()
    assert type(response.error) is ResponseValidationError
    assert len(talk.sent) == 1


def test_without_a_schema_an_answer_that_was_cut_off_is_an_answer():
    response = Talk(answer("half an ans", stop_reason="max_tokens")).ask()
    assert response.success
    assert response.get_stop_reason() == "max_tokens"


def test_an_answer_is_not_shown_to_another_model():
    talk = Talk(BAD, throttled(), GOOD, models=["a", "b"], policy=native())
    assert talk.ask().success
    assert [model for model, _ in talk.routes] == ["a", "a", "b"]
    assert [len(sent["messages"]) for sent in talk.sent] == [1, 3, 1]


def test_an_answer_is_shown_to_the_same_model_in_another_region():
    talk = Talk(BAD, throttled(), GOOD, regions=["us-east-1", "eu-west-1"], policy=native())
    assert talk.ask().success
    assert [len(sent["messages"]) for sent in talk.sent] == [1, 3, 3]


def test_a_managed_prompt_can_be_asked_again_too():
    talk = Talk(BAD, GOOD, policy=native())
    assert talk.ask(BedrockConverseRequest(prompt_variables={"x": {"text": "y"}})).success
    assert [len(sent.get("messages", [])) for sent in talk.sent] == [0, 2]


def test_a_function_of_the_caller_accepts_an_answer():
    assert Talk("hello", policy=validated_by(accept)).ask().success


def test_a_function_of_the_caller_has_the_model_asked_again():
    seen = []

    def function(response):
        seen.append(response.get_content())
        return ValidationResult(response.get_content() == "better", "too short")

    talk = Talk("short", "better", policy=validated_by(function, response_validation_delay=2.0))
    response = talk.ask()
    assert response.success
    assert seen == ["short", "better"]
    assert talk.clock.sleeps == [2]
    assert response.attempts[0].validation_error == "too short"
    assert response.attempts[0].usage == Usage(10, 5)


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_validation_retries_are_new_answers_and_not_new_looks_at_the_old_one(retries):
    talk = Talk("short", policy=validated_by(refuse, response_validation_retries=retries))
    response = talk.ask()
    assert len(talk.sent) == retries + 1
    assert type(response.error) is ResponseValidationError
    assert "too short" in response.error.message
    assert len(response.get_validation_errors()) == retries + 1


def test_the_function_sees_the_validated_value():
    seen = []

    def function(response):
        seen.append(response.get_structured_output())
        return ValidationResult(True)

    Talk(GOOD, policy=native(**validated_by(function))).ask()
    assert seen == [{"score": 3}]


def test_a_pydantic_value_comes_back_as_its_class():
    class Review(BaseModel):
        score: int

    talk = Talk(GOOD, policy=native(schema=OutputSchema.of(Review)))
    assert talk.ask().structured_output == Review(score=3)


def raise_it(response):
    return 1 / 0


@pytest.mark.parametrize(
    ("function", "named"), [(raise_it, "ZeroDivisionError"), (lambda _: True, "bool"), (lambda _: None, "NoneType")]
)
def test_a_function_that_is_broken_costs_one_answer_and_loses_none(function, named):
    talk = Talk("hello", policy=validated_by(function))
    response = talk.ask()
    assert named in response.error.message
    assert len(talk.sent) == 1
    assert response.attempts[0].usage == Usage(10, 5)


def test_a_function_can_be_named_by_its_path():
    talk = Talk("hello", policy=validated_by("harness.validation:refuse_all", response_validation_retries=0))
    assert "refused by path" in talk.ask().error.message


def test_a_path_that_leads_nowhere_is_refused_before_anything_is_paid():
    with pytest.raises(ConfigurationError, match="response_validation_function"):
        Talk("hello", policy=validated_by("harness.validation:not_there"))


def test_the_guardrail_is_on_every_call_whatever_happens():
    story = [throttled(), NEEDS_PROFILE, BAD, failure("ExpiredTokenException", "", 403), TIMED_OUT, GOOD]
    talk = Talk(
        *story,
        models=["a", "b"],
        regions=["us-east-1", "eu-west-1"],
        options=direct_or_profile,
        max_retries=5,
        max_timeout_retries=1,
        policy=native(),
    )
    request = BedrockConverseRequest(QUESTION.messages, guardrail_config=GUARDRAIL)
    assert talk.ask(request).success
    assert len(talk.sent) == len(story)
    assert [sent["guardrailConfig"] for sent in talk.sent] == [GUARDRAIL] * len(story)


@pytest.mark.parametrize("text", ["guardrail g does not exist", "The guardrail is throttled", "content filter missing"])
def test_trouble_with_the_guardrail_never_drops_it(text):
    talk = Talk(failure("ValidationException", text))
    response = talk.ask(BedrockConverseRequest(QUESTION.messages, guardrail_config=GUARDRAIL))
    assert not response.success
    assert [sent["guardrailConfig"] for sent in talk.sent] == [GUARDRAIL]


def test_the_second_request_is_not_poisoned_by_the_first():
    talk = Talk(failure("ValidationException", "unsupported parameter top_k"))
    assert not talk.ask().success
    talk.transport._respond = lambda _: "hello"
    assert talk.ask().success


def test_inference_settings_come_from_policy_request_and_model_the_last_winning():
    talk = Talk(
        throttled(),
        "hello",
        models=["a", ModelChoice("b", None, {"temperature": 0.9})],
        policy={"inference_config": {"maxTokens": 100, "topP": 0.5, "temperature": 0.1}},
    )
    talk.ask(BedrockConverseRequest(QUESTION.messages, inference_config={"temperature": 0.3, "topP": 0.7}))
    assert [sent["inferenceConfig"] for sent in talk.sent] == [
        {"maxTokens": 100, "topP": 0.7, "temperature": 0.3},
        {"maxTokens": 100, "topP": 0.7, "temperature": 0.9},
    ]


def test_the_cost_counts_rejected_answers_and_is_unknown_where_a_price_is():
    prices = {"a": DOLLAR_A_TOKEN, "b": None}
    story = {"models": ["a", "b"], "policy": native(prices_for=lambda model, _: prices[model])}
    assert Talk(BAD, GOOD, **story).ask().cost_usd == 30
    assert Talk(BAD, throttled(), GOOD, **story).ask().cost_usd is None
    assert Talk(throttled(), GOOD, **story).ask().cost_usd is None


def test_a_request_that_was_never_answered_cost_nothing_that_is_known():
    response = Talk(throttled()).ask()
    assert response.cost_usd == 0
    assert response.usage == Usage()


def test_a_request_is_left_as_it_was():
    messages = [text_message("a question")]
    request = BedrockConverseRequest(messages, inference_config={"maxTokens": 5})
    before = repr(request)
    Talk(BAD, throttled(), GOOD, policy=native()).ask(request)
    assert repr(request) == before


@pytest.mark.parametrize(
    "story",
    [
        ["hello"],
        [throttled(), "hello"],
        [throttled()],
        [TIMED_OUT],
        [NEEDS_PROFILE, throttled(), "hello"],
        [failure("ExpiredTokenException", "", 403), "hello"],
        [failure("ValidationException", "bad")],
    ],
)
async def test_threads_and_event_loop_tell_the_same_story(story):
    def talk():
        return Talk(*story, regions=["us-east-1", "eu-west-1"], options=direct_or_profile)

    in_thread, on_loop = talk(), talk()
    one, other = in_thread.ask(), await on_loop.ask_async()
    assert in_thread.sent == on_loop.sent
    assert in_thread.routes == on_loop.routes
    assert in_thread.clock.sleeps == on_loop.clock.sleeps
    assert in_thread.transport.refreshes == on_loop.transport.refreshes
    assert one.to_dict() == other.to_dict()
