"""Every row of the tables of what Bedrock answers, as recorded or reported, and what is made of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_bedrock_llm.core.faults import TEXTS, Fault, Reaction, classify
from airflow_provider_bedrock_llm.core.transport import Failure, FailureKind

ERRORS = [
    ("ThrottlingException", 429, Fault.THROTTLED),
    ("ModelNotReadyException", 429, Fault.NOT_READY),
    ("ServiceUnavailableException", 503, Fault.OVERLOADED),
    ("InternalServerException", 500, Fault.OVERLOADED),
    ("ModelTimeoutException", 408, Fault.MODEL_TIMEOUT),
    ("ModelErrorException", 424, Fault.MODEL_ERROR),
    ("ModelStreamErrorException", 424, Fault.STREAM_BROKEN),
    ("ServiceQuotaExceededException", 400, Fault.THROTTLED),
    ("ValidationException", 400, Fault.BAD_INPUT),
    ("ConflictException", 400, Fault.BAD_INPUT),
    ("AccessDeniedException", 403, Fault.DENIED),
    ("ResourceNotFoundException", 404, Fault.NOT_IN_REGION),
    ("ExpiredTokenException", 403, Fault.EXPIRED_CREDENTIALS),
    ("UnrecognizedClientException", 403, Fault.BAD_CREDENTIALS),
    ("500", 500, Fault.OVERLOADED),
    ("502", 502, Fault.OVERLOADED),
    ("503", 503, Fault.OVERLOADED),
    ("504", 504, Fault.OVERLOADED),
    ("429", 429, Fault.THROTTLED),
    ("408", 408, Fault.MODEL_TIMEOUT),
    ("424", 424, Fault.MODEL_ERROR),
]

TEXTS_SEEN = [
    ("ThrottlingException", 429, "Too many requests, please wait before trying again.", Fault.THROTTLED),
    (
        "ThrottlingException",
        429,
        (
            "Too many requests, please wait before trying again. You have sent too many requests.  "
            "Wait before trying again."
        ),
        Fault.THROTTLED,
    ),
    ("ThrottlingException", 429, "Too many tokens, please wait before trying again.", Fault.THROTTLED),
    ("ThrottlingException", 429, "Too many tokens per day, please wait before trying again.", Fault.DAILY_QUOTA),
    ("ServiceUnavailableException", 503, "Too many connections, please wait before trying again.", Fault.OVERLOADED),
    ("ServiceUnavailableException", 503, "Bedrock is unable to process your request.", Fault.OVERLOADED),
    (
        "InternalServerException",
        500,
        "The system encountered an unexpected error during processing. Try your request again.",
        Fault.OVERLOADED,
    ),
    (
        "ValidationException",
        400,
        (
            "Invocation of model ID anthropic.claude-sonnet-4-6 with on-demand throughput "
            "isn\N{RIGHT SINGLE QUOTATION MARK}t supported. "
            "Retry your request with the ID or ARN of an inference profile that contains this model."
        ),
        Fault.NEEDS_PROFILE,
    ),
    ("ValidationException", 400, "The provided model doesn't support on-demand throughput.", Fault.NEEDS_PROFILE),
    ("ValidationException", 400, "The provided model identifier is invalid.", Fault.NOT_IN_REGION),
    (
        "ValidationException",
        400,
        (
            "1 validation error detected: Value 'x y' at 'modelId' failed to satisfy constraint: "
            "Member must satisfy regular expression pattern: (arn:aws"
        ),
        Fault.BAD_INPUT,
    ),
    (
        "ValidationException",
        400,
        "The model returned the following errors: prompt is too long: 200049 tokens > 200000 maximum",
        Fault.CONTEXT_TOO_LONG,
    ),
    ("AuthenticationError", 401, "Incorrect API key provided.", Fault.SERVICE_REFUSED),
    ("PermissionDeniedError", 403, "no", Fault.SERVICE_REFUSED),
    ("ContextWindowExceededError", 400, "too long", Fault.CONTEXT_TOO_LONG),
    ("RateLimitError", 429, "You exceeded your current quota: insufficient_quota", Fault.DAILY_QUOTA),
    ("RateLimitError", 429, "slow down", Fault.THROTTLED),
    ("ValidationException", 400, "Input is too long for requested model.", Fault.CONTEXT_TOO_LONG),
    (
        "ValidationException",
        400,
        (
            "The model returned the following errors: Malformed input request: #/messages/2/content/0: extraneous key "
            "[toolResult] is not permitted, please reformat your input and try again."
        ),
        Fault.BAD_INPUT,
    ),
    (
        "ValidationException",
        400,
        "This model doesn't support the video content block that you provided. Update the content block and try again.",
        Fault.BAD_INPUT,
    ),
    (
        "ValidationException",
        400,
        "This model doesn't support the s3Uri field. Remove s3Uri and try again.",
        Fault.BAD_INPUT,
    ),
    ("ValidationException", 400, "The provided model doesn't support counting tokens.", Fault.BAD_INPUT),
    *[
        (
            "ResourceNotFoundException",
            404,
            (
                "Access denied. This Model is marked by provider as Legacy and you have not been actively using the "
                f"model in the last {days} days. Please upgrade to an active model on Amazon Bedrock"
            ),
            Fault.END_OF_LIFE,
        )
        for days in (15, 30)
    ],
    (
        "ResourceNotFoundException",
        404,
        "This model version has reached the end of its life. Please refer to the AWS documentation for more details.",
        Fault.END_OF_LIFE,
    ),
    (
        "ResourceNotFoundException",
        404,
        (
            "Model use case details have not been submitted for this account. Fill out the Anthropic use case details "
            "form before using the model. If you have already filled out the form, try again in 15 minutes."
        ),
        Fault.DENIED,
    ),
    ("AccessDeniedException", 403, "You don't have access to the model with the specified model ID.", Fault.DENIED),
    (
        "AccessDeniedException",
        403,
        (
            "Model access is denied due to IAM user or service role is not authorized to perform the required AWS "
            "Marketplace actions (aws-marketplace:ViewSubscriptions, aws-marketplace:Subscribe) to enable access to "
            "this model. Refer to the Amazon Bedrock documentation for further details. Your AWS Marketplace "
            "subscription for this model cannot be completed at this time. "
            "If you recently fixed this issue, try again after 2 minutes."
        ),
        Fault.DENIED,
    ),
    (
        "AccessDeniedException",
        403,
        (
            "User: arn:aws:iam::123456789012:user/u is not authorized to perform: bedrock:InvokeModel on resource: "
            "arn:aws:bedrock:::foundation-model/m with an explicit deny in a service control policy"
        ),
        Fault.DENIED,
    ),
    (
        "AccessDeniedException",
        403,
        (
            "User: arn:aws:iam::123456789012:user/u is not authorized to perform: bedrock:InvokeModel on resource: "
            "arn:aws:bedrock:us-east-1::foundation-model/m because no identity-based policy allows the "
            "bedrock:InvokeModel action"
        ),
        Fault.DENIED,
    ),
    (
        "UnrecognizedClientException",
        403,
        "The security token included in the request is invalid.",
        Fault.BAD_CREDENTIALS,
    ),
    ("ExpiredTokenException", 403, "The security token included in the request is expired", Fault.EXPIRED_CREDENTIALS),
    ("403", 403, "Authentication failed: Please make sure your API Key is valid.", Fault.BAD_CREDENTIALS),
    (
        "AccessDeniedException",
        403,
        "Authentication failed: Please make sure your API Key is valid.",
        Fault.BAD_CREDENTIALS,
    ),
    ("404", 404, "", Fault.NOT_IN_REGION),
    ("UnknownOperationException", 404, "", Fault.NOT_IN_REGION),
]

REACTIONS = {
    Reaction.RETRY: {
        Fault.THROTTLED,
        Fault.OVERLOADED,
        Fault.NOT_READY,
        Fault.MODEL_TIMEOUT,
        Fault.MODEL_ERROR,
        Fault.CONNECTION_FAILED,
        Fault.CONNECTION_LOST,
        Fault.READ_TIMEOUT,
        Fault.STREAM_BROKEN,
        Fault.INVALID_ANSWER,
        Fault.LISTED,
    },
    Reaction.MOVE_ON: {
        Fault.DAILY_QUOTA,
        Fault.SERVICE_REFUSED,
        Fault.NEEDS_PROFILE,
        Fault.NOT_IN_REGION,
        Fault.END_OF_LIFE,
    },
    Reaction.REFRESH: {Fault.EXPIRED_CREDENTIALS},
    Reaction.STOP: {
        Fault.BAD_CREDENTIALS,
        Fault.DENIED,
        Fault.CONTEXT_TOO_LONG,
        Fault.BAD_INPUT,
        Fault.UNSUPPORTED_FEATURE,
        Fault.DEADLINE,
        Fault.UNKNOWN,
    },
}


def service(code, message="", status=None, **details):
    return Failure(FailureKind.SERVICE, code, message, status, **details)


@pytest.mark.parametrize(("code", "status", "fault"), ERRORS, ids=[f"{row[0]}-{row[1]}" for row in ERRORS])
def test_each_error_of_the_service_has_its_fault(code, status, fault):
    assert classify(service(code, "", status)) is fault


@pytest.mark.parametrize(("code", "status", "text", "fault"), TEXTS_SEEN)
def test_each_text_that_was_seen_has_its_fault(code, status, text, fault):
    assert classify(service(code, text, status)) is fault


@pytest.mark.parametrize(("code", "status", "text", "fault"), TEXTS_SEEN)
def test_case_of_code_and_text_does_not_matter(code, status, text, fault):
    assert classify(service(code.upper(), text.upper(), status)) is fault
    assert classify(service(code.lower(), text.lower(), status)) is fault


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("throttlingException", Fault.THROTTLED),
        ("serviceUnavailableException", Fault.OVERLOADED),
        ("internalServerException", Fault.OVERLOADED),
        ("modelTimeoutException", Fault.MODEL_TIMEOUT),
        ("modelStreamErrorException", Fault.STREAM_BROKEN),
        ("validationException", Fault.BAD_INPUT),
        ("", Fault.STREAM_BROKEN),
        ("somethingNewException", Fault.STREAM_BROKEN),
    ],
)
def test_an_error_in_the_middle_of_a_stream_has_its_fault_without_a_status(code, fault):
    assert classify(Failure(FailureKind.STREAM, code)) is fault


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        (FailureKind.READ_TIMEOUT, Fault.READ_TIMEOUT),
        (FailureKind.CONNECTION_LOST, Fault.CONNECTION_LOST),
        (FailureKind.CONNECTION_FAILED, Fault.CONNECTION_FAILED),
        (FailureKind.CREDENTIALS, Fault.BAD_CREDENTIALS),
        (FailureKind.REJECTED, Fault.BAD_INPUT),
        (FailureKind.DEADLINE, Fault.DEADLINE),
    ],
)
def test_each_way_to_fail_without_an_answer_has_its_fault(kind, fault):
    assert classify(Failure(kind, "SomeError", "a text")) is fault


@pytest.mark.parametrize(
    ("original", "fault"),
    [
        (429, Fault.THROTTLED),
        (500, Fault.MODEL_ERROR),
        (503, Fault.MODEL_ERROR),
        (400, Fault.BAD_INPUT),
        (408, Fault.MODEL_TIMEOUT),
        (None, Fault.MODEL_ERROR),
    ],
)
def test_an_error_inside_the_model_goes_by_the_models_own_status(original, fault):
    assert classify(service("ModelErrorException", "", 424, original_status=original)) is fault


@pytest.mark.parametrize(("code", "status"), [("NewException", 418), ("NewException", None), ("413", 413), ("", None)])
def test_what_nobody_knows_is_never_retried(code, status):
    assert classify(service(code, "", status)) is Fault.UNKNOWN
    assert Fault.UNKNOWN.reaction is Reaction.STOP


def test_an_unknown_error_with_a_server_status_is_the_servers():
    assert classify(service("NewException", "", 599)) is Fault.OVERLOADED


def test_throttling_by_sts_while_credentials_are_fetched_is_throttling():
    assert classify(service("Throttling", "Rate exceeded", 400)) is Fault.THROTTLED


def test_every_fault_has_the_reaction_that_helps():
    assert {fault: fault.reaction for fault in Fault} == {
        fault: reaction for reaction, faults in REACTIONS.items() for fault in faults
    }


def test_only_calls_that_reached_a_model_may_have_cost():
    assert {fault for fault in Fault if fault.may_have_cost} == {
        Fault.MODEL_TIMEOUT,
        Fault.MODEL_ERROR,
        Fault.CONNECTION_LOST,
        Fault.READ_TIMEOUT,
        Fault.STREAM_BROKEN,
        Fault.DEADLINE,
        Fault.INVALID_ANSWER,
        Fault.LISTED,
        Fault.UNKNOWN,
    }


def test_fault_names_are_distinct():
    assert len({str(fault) for fault in Fault}) == len(Fault)


def test_the_callers_own_codes_are_retried():
    failure = service("ValidationException", "odd", 400)
    assert classify(failure).reaction is Reaction.STOP
    assert classify(failure, {"validationexception"}) is Fault.LISTED


@pytest.mark.parametrize("kind", [FailureKind.CREDENTIALS, FailureKind.REJECTED])
def test_exceptions_of_the_callers_list_are_retried_wherever_they_come_from(kind):
    failure = Failure(kind, "CredentialRetrievalError", "the metadata service is busy")
    assert classify(failure, {"credentialretrievalerror"}) is Fault.LISTED


def test_an_error_that_only_the_caller_retries_does_not_close_the_route_for_others():
    assert not Fault.LISTED.is_capacity


def test_the_callers_list_cannot_undo_a_deadline_or_a_full_day():
    assert classify(Failure(FailureKind.DEADLINE, "Timeout"), {"timeout"}) is Fault.DEADLINE
    daily = service("ThrottlingException", "Too many tokens per day, please wait", 429)
    assert classify(daily, {"throttlingexception"}) is Fault.DAILY_QUOTA


def test_texts_are_written_as_they_are_compared():
    assert [row for row in TEXTS if row[0] != row[0].lower() or row[1] != row[1].lower()] == []


def test_no_text_hides_a_later_one():
    for index, (code, part, fault) in enumerate(TEXTS):
        hidden = [later for later in TEXTS[index + 1 :] if later[0] == code and part in later[1] and later[2] != fault]
        assert hidden == []


@given(
    st.sampled_from(FailureKind),
    st.text(max_size=30),
    st.text(max_size=80),
    st.none() | st.integers(100, 999),
    st.none() | st.integers(100, 599),
)
def test_any_failure_has_a_fault(kind, code, message, status, original):
    assert classify(Failure(kind, code, message, status, original_status=original)) in Fault


@given(st.sampled_from(TEXTS_SEEN), st.text(max_size=40))
def test_a_text_that_is_wrapped_in_another_keeps_its_meaning(row, around):
    code, status, text, fault = row
    if not any(part in around.lower() for _, part, _ in TEXTS):
        assert classify(service(code, f"{around} {text} {around}", status)) is fault
