"""Each failure says its cause and its remedy, and keeps what AWS support asks for."""

import pytest
from harness.routes import make_route

from airflow_provider_bedrock_llm.core.config import RetryConfig
from airflow_provider_bedrock_llm.core.diagnosis import Setting, error_for
from airflow_provider_bedrock_llm.core.errors import (
    AuthenticationError,
    ContextTooLongError,
    LLMManagerError,
    ModelAccessError,
    QuotaExhaustedError,
    RequestTimeoutError,
    RequestValidationError,
    ResponseValidationError,
    RetryExhaustedError,
)
from airflow_provider_bedrock_llm.core.failover import GiveUp, Reason
from airflow_provider_bedrock_llm.core.faults import Fault, Reaction
from airflow_provider_bedrock_llm.core.response import RequestAttempt, Usage
from airflow_provider_bedrock_llm.core.transport import Failure, FailureKind

CONNECTION = "the Airflow connection 'bedrock_llm_default'"
RETRY = RetryConfig(max_retries=4, deadline_seconds=45, max_attempts_total=7, max_timeout_retries=1)
SETTING = Setting(connection=CONNECTION, read_timeout_seconds=120, suggest=lambda model: f"Near {model}: claude-x.")

BY_FAULT = [
    (
        Reason.FAULT,
        Fault.BAD_CREDENTIALS,
        AuthenticationError,
        ["login and password", CONNECTION, "aws_conn_id", "IAM role"],
    ),
    (Reason.FAULT, Fault.EXPIRED_CREDENTIALS, AuthenticationError, ["expired", CONNECTION]),
    (Reason.FAULT, Fault.DENIED, ModelAccessError, ["m in us-east-1", "bedrock:InvokeModel", "Model access"]),
    (Reason.FAULT, Fault.CONTEXT_TOO_LONG, ContextTooLongError, ["does not fit", "Shorten"]),
    (Reason.FAULT, Fault.BAD_INPUT, RequestValidationError, ["malformed", "Correct"]),
    (
        Reason.FAULT,
        Fault.UNSUPPORTED_FEATURE,
        RequestValidationError,
        ["m in us-east-1 does not take", "`droppable_features` (now none)"],
    ),
    (Reason.FAULT, Fault.UNKNOWN, LLMManagerError, ["m in us-east-1", "`retryable_errors`"]),
    (Reason.ROUTES, Fault.SERVICE_REFUSED, AuthenticationError, ["password", "`conn_id`", "API_KEYS"]),
    (Reason.ROUTES, Fault.NEEDS_PROFILE, ModelAccessError, ["inference profile", "global.", "Near m: claude-x."]),
    (
        Reason.ROUTES,
        Fault.NOT_IN_REGION,
        ModelAccessError,
        ["us-east-1 does not know the model m", "Near m: claude-x."],
    ),
    (Reason.ROUTES, Fault.END_OF_LIFE, ModelAccessError, ["retired", "current model", "airflow bedrock-llm models"]),
    (Reason.ROUTES, Fault.DAILY_QUOTA, QuotaExhaustedError, ["today", "tomorrow", "more regions"]),
    (
        Reason.TIMEOUTS,
        Fault.READ_TIMEOUT,
        RequestTimeoutError,
        ["120 seconds", "`read_timeout` (now 120)", CONNECTION, "`max_timeout_retries` (now 1)"],
    ),
    (Reason.RETRIES, Fault.READ_TIMEOUT, RequestTimeoutError, ["`read_timeout` (now 120)", "`max_retries` (now 4)"]),
    (
        Reason.DEADLINE,
        Fault.THROTTLED,
        RequestTimeoutError,
        ["45 seconds", "`deadline_seconds`", "`request_timeout_seconds`"],
    ),
    (Reason.DEADLINE, Fault.INVALID_ANSWER, RequestTimeoutError, ["45 seconds"]),
    (Reason.DEADLINE, Fault.DEADLINE, RequestTimeoutError, ["45 seconds", "billed"]),
    (
        Reason.RETRIES,
        Fault.THROTTLED,
        RetryExhaustedError,
        ["throttling", "`max_retries` (now 4)", "`max_concurrent_requests`"],
    ),
    (Reason.RETRIES, Fault.CONNECTION_FAILED, RetryExhaustedError, ["`endpoint_url`", "`max_retries` (now 4)"]),
    (Reason.ATTEMPTS, Fault.THROTTLED, RetryExhaustedError, ["throttling", "`max_attempts_total` (now 7)"]),
    (Reason.ATTEMPTS, Fault.NEEDS_PROFILE, RetryExhaustedError, ["needs profile", "`max_attempts_total` (now 7)"]),
    (Reason.ATTEMPTS, Fault.EXPIRED_CREDENTIALS, RetryExhaustedError, ["`max_attempts_total` (now 7)"]),
    (Reason.ATTEMPTS, Fault.INVALID_ANSWER, ResponseValidationError, ["rejected", "`max_attempts_total` (now 7)"]),
    (Reason.ANSWERS, Fault.INVALID_ANSWER, ResponseValidationError, ["paid for and rejected", "clearer"]),
]


def attempt(fault=Fault.THROTTLED, region="us-east-1", *, text="said so", request_id="req-1"):
    failure = Failure(FailureKind.SERVICE, "SomeException", text, 400, request_id)
    return RequestAttempt(
        "m", "m", region, "direct", 0.1, str(fault), failure, request_id=request_id, may_have_cost=fault.may_have_cost
    )


def rejected(why="score: not a number"):
    return RequestAttempt(
        "m", "m", "us-east-1", "direct", 0.1, "invalid_answer", None, why, Usage(10, 5), 0.01, "req-2"
    )


def diagnose(reason, fault, attempts=None):
    made = [rejected() if fault is Fault.INVALID_ANSWER else attempt(fault)] if attempts is None else attempts
    return error_for(GiveUp(reason, fault), make_route(), made, RETRY, SETTING)


@pytest.mark.parametrize(("reason", "fault", "kind", "named"), BY_FAULT)
def test_each_end_has_its_error_and_names_what_to_change(reason, fault, kind, named):
    error = diagnose(reason, fault)
    assert type(error) is kind
    assert [part for part in named if part not in error.message] == []


@pytest.mark.parametrize(("reason", "fault", "kind", "named"), BY_FAULT)
def test_each_text_is_whole_sentences_of_cause_and_remedy(reason, fault, kind, named):
    text = diagnose(reason, fault).message
    assert text.count(". ") >= 1
    assert text.endswith(".")
    assert "{" not in text
    assert ".." not in text
    assert "  " not in text


@pytest.mark.parametrize(
    "fault", [fault for fault in Fault if fault.reaction is Reaction.STOP and fault is not Fault.DEADLINE]
)
def test_every_final_fault_has_a_row(fault):
    assert (Reason.FAULT, fault) in [row[:2] for row in BY_FAULT]


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault.reaction is Reaction.MOVE_ON])
def test_every_fault_that_can_use_up_the_routes_has_a_row(fault):
    assert (Reason.ROUTES, fault) in [row[:2] for row in BY_FAULT]


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault.reaction is Reaction.RETRY])
def test_every_fault_that_is_retried_can_be_said_in_words(fault):
    if fault not in {Fault.INVALID_ANSWER, Fault.READ_TIMEOUT}:
        assert f" {fault}." not in diagnose(Reason.RETRIES, fault).message
        assert diagnose(Reason.RETRIES, fault).retry_helps


@pytest.mark.parametrize(("reason", "fault"), [row[:2] for row in BY_FAULT if row[1] is not Fault.INVALID_ANSWER])
def test_what_aws_said_is_kept(reason, fault):
    error = diagnose(reason, fault)
    assert (error.aws_code, error.aws_message, error.request_id) == ("SomeException", "said so", "req-1")
    assert "AWS said: SomeException (said so). Request id: req-1." in str(error)


def test_a_rejected_answer_keeps_its_request_id():
    assert diagnose(Reason.ANSWERS, Fault.INVALID_ANSWER).request_id == "req-2"


def test_only_rejected_answers_are_counted_as_answers():
    error = diagnose(Reason.ANSWERS, Fault.INVALID_ANSWER, [attempt(), rejected("first"), attempt(), rejected("last")])
    assert error.message.startswith("2 answers of m in us-east-1 were paid for and rejected")
    assert "last" in error.message
    assert "first" not in error.message


@pytest.mark.parametrize(
    ("reason", "fault", "attempts", "may_have_cost"),
    [
        (Reason.RETRIES, Fault.THROTTLED, [attempt()], False),
        (Reason.RETRIES, Fault.THROTTLED, [rejected(), attempt()], True),
        (Reason.RETRIES, Fault.THROTTLED, [attempt(Fault.CONNECTION_LOST), attempt()], True),
        (Reason.TIMEOUTS, Fault.READ_TIMEOUT, [attempt(Fault.READ_TIMEOUT)], True),
        (Reason.DEADLINE, Fault.DEADLINE, [attempt(Fault.DEADLINE)], True),
        (Reason.DEADLINE, Fault.THROTTLED, [attempt()], False),
        (Reason.DEADLINE, Fault.UNKNOWN, [], False),
        (Reason.ANSWERS, Fault.INVALID_ANSWER, [rejected()], True),
    ],
)
def test_may_have_cost_is_what_the_attempts_say(reason, fault, attempts, may_have_cost):
    assert diagnose(reason, fault, attempts).may_have_cost is may_have_cost


def test_attempts_are_kept_on_the_error():
    made = [attempt(region="us-east-1"), attempt(region="eu-west-1")]
    error = diagnose(Reason.RETRIES, Fault.THROTTLED, made)
    assert error.attempts == tuple(made)
    assert error.regions_tried == ["us-east-1", "eu-west-1"]
    assert "2 calls failed" in error.message


def test_routes_that_failed_for_other_causes_are_told():
    made = [attempt(Fault.END_OF_LIFE, "eu-west-1"), attempt(Fault.NEEDS_PROFILE)]
    error = diagnose(Reason.ROUTES, Fault.NEEDS_PROFILE, made)
    assert "Elsewhere: m in eu-west-1 end_of_life." in error.message
    assert "Elsewhere" not in diagnose(Reason.ROUTES, Fault.NEEDS_PROFILE).message


def test_a_day_that_is_used_up_is_the_cause_whichever_route_was_tried_last():
    made = [attempt(Fault.DAILY_QUOTA, "eu-west-1", text="per day"), attempt(Fault.NEEDS_PROFILE)]
    error = diagnose(Reason.ROUTES, Fault.NEEDS_PROFILE, made)
    assert type(error) is QuotaExhaustedError
    assert "used up for m in eu-west-1" in error.message
    assert "Elsewhere: m in us-east-1 needs_profile." in error.message
    assert error.aws_message == "per day"


@pytest.mark.parametrize(
    ("fault", "text", "named"),
    [
        (Fault.DENIED, "Model use case details have not been submitted", ["use case form", "15 minutes"]),
        (Fault.DENIED, "the required AWS Marketplace actions", ["`aws-marketplace:Subscribe`", CONNECTION]),
        (Fault.DENIED, "an explicit deny in a service control policy", ["organization", "`access_method_preference`"]),
        (
            Fault.BAD_CREDENTIALS,
            "The security token included in the request is invalid.",
            ["`aws_session_token`", CONNECTION],
        ),
        (
            Fault.BAD_CREDENTIALS,
            "The request signature we calculated does not match the signature",
            ["secret key does not fit", CONNECTION],
        ),
        (
            Fault.BAD_CREDENTIALS,
            "Authentication failed: Please make sure your API Key is valid.",
            ["AWS_BEARER_TOKEN_BEDROCK", CONNECTION],
        ),
    ],
)
def test_where_aws_tells_more_the_remedy_is_for_that(fault, text, named):
    message = diagnose(Reason.FAULT, fault, [attempt(fault, text=text)]).message
    assert [part for part in named if part not in message] == []
    assert message != diagnose(Reason.FAULT, fault).message
    assert "{" not in message
    assert message.endswith(".")


def test_missing_credentials_are_not_called_wrong_and_the_connection_is_named_first():
    failure = Failure(FailureKind.CREDENTIALS, "NoCredentialsError", "Unable to locate credentials")
    made = [RequestAttempt("m", "m", "us-east-1", "direct", 0.0, "bad_credentials", failure)]
    message = diagnose(Reason.FAULT, Fault.BAD_CREDENTIALS, made).message
    assert message.startswith(
        "No usable AWS credentials were found. Set access key and secret key as login and password"
    )
    assert message.index(CONNECTION) < message.index("IAM role")


def test_text_of_aws_with_braces_does_no_harm():
    assert "{route}" in str(diagnose(Reason.FAULT, Fault.BAD_INPUT, [attempt(Fault.BAD_INPUT, text="{route}")]))
