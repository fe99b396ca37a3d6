"""Both engines over HTTP: the same scenarios, the same calls, the same responses."""

from dataclasses import dataclass, field, replace
from typing import Any

import boto3
import pytest
from harness.endpoint import HAIKU, KEYS, NOVA
from harness.live_engine import HELLO, LOOPS, LiveEngine, calls_seen, idle
from harness.routes import direct_only, direct_or_profile

from airflow_provider_bedrock_llm.core.config import Boto3Config, RetryStrategy
from airflow_provider_bedrock_llm.core.errors import (
    AuthenticationError,
    ConfigurationError,
    ContextTooLongError,
    ModelAccessError,
    QuotaExhaustedError,
    RequestTimeoutError,
    RequestValidationError,
    RetryExhaustedError,
)
from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest

EAST, WEST = "us-east-1", "us-west-2"
LITE, MICRO = NOVA, "amazon.nova-micro-v1:0"
BASE_HAIKU = HAIKU.removeprefix("us.")
IMPATIENT = Boto3Config(read_timeout=0.4)


@dataclass(frozen=True)
class Scenario:
    """Faults by script, settings, and what must come of one request."""

    faults: list[dict[str, Any]] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    calls: list[tuple[str, str, str]] = field(default_factory=list)
    error: type[Exception] | None = None


def fault(error=None, **rule):
    return {"error": error, **rule}


def ok(region=EAST, model=NOVA):
    return (model, region, "ok")


def not_ok(outcome, region=EAST, model=NOVA):
    return (model, region, outcome)


def retried(preset, outcome):
    """A failure that passes: the first call meets it, the second is answered."""
    return Scenario([fault(preset, first=1)], {}, [not_ok(outcome), ok()])


def final(preset, outcome, error):
    """A failure that nothing helps: one call, although retries, regions and models are left."""
    settings = {"max_retries": 5, "regions": [EAST, WEST], "models": [LITE, MICRO]}
    return Scenario([fault(preset)], settings, [not_ok(outcome)], error)


SCENARIOS = {
    "success": Scenario(calls=[ok()]),
    "throttled": retried("too_many_requests", "ThrottlingException"),
    "tokens throttled": retried("too_many_tokens", "ThrottlingException"),
    "not ready": retried("model_not_ready", "ModelNotReadyException"),
    "500": retried("internal", "InternalServerException"),
    "503": retried("overloaded", "ServiceUnavailableException"),
    "408": retried("model_timeout", "ModelTimeoutException"),
    "424": retried("model_error", "ModelErrorException"),
    "bare 408": retried("bare_408", "http_408"),
    "bare 429": retried("bare_429", "http_429"),
    "html 502": retried("html_502", "http_502"),
    "html 504": retried("html_504", "http_504"),
    "cut": Scenario([fault(action="cut", first=1)], {}, [not_ok("cut"), ok()]),
    "cut in the answer": Scenario([fault(action="cut_reply", first=1)], {}, [not_ok("cut_reply"), ok()]),
    "throttled for good": Scenario(
        [fault("too_many_requests")],
        {"max_retries": 2},
        [not_ok("ThrottlingException")] * 3,
        RetryExhaustedError,
    ),
    "no retries": Scenario(
        [fault("too_many_requests")], {"max_retries": 0}, [not_ok("ThrottlingException")], RetryExhaustedError
    ),
    "dead region": Scenario(
        [fault("unavailable", region=EAST)],
        {"regions": [EAST, WEST]},
        [not_ok("ServiceUnavailableException"), ok(WEST)],
    ),
    "dead model, regions first": Scenario(
        [fault("unavailable", model=LITE)],
        {"regions": [EAST, WEST], "models": [LITE, MICRO]},
        [
            not_ok("ServiceUnavailableException"),
            not_ok("ServiceUnavailableException", WEST),
            ok(EAST, MICRO),
        ],
    ),
    "dead model, models first": Scenario(
        [fault("unavailable", model=LITE)],
        {"regions": [EAST, WEST], "models": [LITE, MICRO], "retry_strategy": RetryStrategy.MODEL_FIRST},
        [not_ok("ServiceUnavailableException"), ok(EAST, MICRO)],
    ),
    "needs a profile": Scenario(
        [],
        {"models": [BASE_HAIKU], "options": direct_or_profile, "max_retries": 0},
        [not_ok("ValidationException", EAST, BASE_HAIKU), ok(EAST, HAIKU)],
    ),
    "needs a profile that nobody named": Scenario(
        [],
        {"models": [BASE_HAIKU]},
        [not_ok("ValidationException", EAST, BASE_HAIKU)],
        ModelAccessError,
    ),
    "daily quota of a region": Scenario(
        [fault("daily_quota", region=EAST)],
        {"regions": [EAST, WEST], "max_retries": 0},
        [not_ok("ThrottlingException"), ok(WEST)],
    ),
    "daily quota everywhere": Scenario(
        [fault("daily_quota")],
        {"regions": [EAST, WEST]},
        [not_ok("ThrottlingException"), not_ok("ThrottlingException", WEST)],
        QuotaExhaustedError,
    ),
    "end of life": Scenario(
        [fault("end_of_life", model=LITE)],
        {"models": [LITE, MICRO]},
        [not_ok("ResourceNotFoundException"), ok(EAST, MICRO)],
    ),
    "bad input": final("input_too_long", "ValidationException", ContextTooLongError),
    "denied": final("no_access", "AccessDeniedException", ModelAccessError),
    "use case missing": final("use_case_missing", "ResourceNotFoundException", ModelAccessError),
    "unknown token": final("unknown_token", "UnrecognizedClientException", AuthenticationError),
    "bad signature": final("bad_signature", "InvalidSignatureException", AuthenticationError),
    "bad api key": final("bad_api_key", "AccessDeniedException", AuthenticationError),
    "expired for good": Scenario(
        [fault("expired_token")],
        {"max_retries": 5},
        [not_ok("ExpiredTokenException")] * 2,
        AuthenticationError,
    ),
    "read timeout": Scenario(
        [fault(action="hang", first=1)],
        {"boto3_config": IMPATIENT, "max_retries": 5, "regions": [EAST, WEST]},
        [not_ok("hang")],
        RequestTimeoutError,
    ),
    "read timeout, allowed to pay twice": Scenario(
        [fault(action="hang", first=1)],
        {"boto3_config": IMPATIENT, "max_timeout_retries": 1},
        [not_ok("hang"), ok()],
    ),
    "hang and deadline": Scenario(
        [fault(action="hang", first=1)],
        {"boto3_config": Boto3Config(read_timeout=2), "deadline_seconds": 0.4, "max_retries": 5},
        [not_ok("hang")],
        RequestTimeoutError,
    ),
    "cap on attempts": Scenario(
        [fault("internal")],
        {"max_retries": 9, "max_attempts_total": 2, "regions": [EAST, WEST]},
        [not_ok("InternalServerException"), not_ok("InternalServerException", WEST)],
        RetryExhaustedError,
    ),
    "listed by the caller": Scenario(
        [fault("service_quota", first=1), fault("input_too_long", first=1)],
        {"retryable_errors": ("ValidationException",), "models": [LITE]},
        [not_ok("ServiceQuotaExceededException"), not_ok("ValidationException"), ok()],
    ),
}


async def play(scenario, loop, endpoint):
    control = endpoint.control
    for rule in scenario.faults:
        control.fail(**rule)
    (response,) = await LiveEngine(loop, endpoint.url, **scenario.settings).ask(HELLO)
    await idle(control)
    return response, calls_seen(control)


@pytest.mark.parametrize("name", SCENARIOS)
async def test_each_scenario_makes_the_calls_that_it_must_in_threads_and_on_event_loops_alike(name, endpoint):
    scenario = SCENARIOS[name]
    stories = []
    for loop in LOOPS:
        endpoint.control.reset()
        response, calls = await play(scenario, loop, endpoint)
        assert calls == scenario.calls
        assert type(response.error) is (scenario.error or type(None))
        assert response.success is (scenario.error is None)
        assert [(attempt.model_used, attempt.region_used) for attempt in response.attempts] == [
            call[:2] for call in scenario.calls
        ]
        if response.success:
            assert (response.model_used, response.region_used) == calls[-1][:2]
            assert response.usage.total_tokens > 0
        attempts = [(attempt.fault, attempt.may_have_cost, attempt.usage) for attempt in response.attempts]
        error = response.error and (response.error.message, response.error.aws_code, response.error.may_have_cost)
        stories.append((attempts, error, response.get_content(), response.warnings))
    assert all(story == stories[0] for story in stories)


@pytest.mark.parametrize("loop", LOOPS)
async def test_what_ended_a_hung_call_is_the_deadline_and_not_the_read_timeout(loop, endpoint):
    response, _ = await play(SCENARIOS["hang and deadline"], loop, endpoint)
    assert [attempt.fault for attempt in response.attempts] == ["deadline"]
    assert response.error.may_have_cost


@pytest.mark.parametrize("loop", LOOPS)
async def test_what_botocore_refuses_is_never_sent(loop, endpoint):
    request = BedrockConverseRequest(HELLO.messages, extra_request_fields={"topK": 5})
    (response,) = await LiveEngine(loop, endpoint.url, max_retries=5).ask(request)
    assert type(response.error) is RequestValidationError
    assert "topK" in response.error.aws_message
    assert calls_seen(endpoint.control) == []


@pytest.mark.parametrize("loop", LOOPS)
async def test_what_botocore_refuses_is_told_without_the_prompt(loop, endpoint):
    request = BedrockConverseRequest([{"role": "user", "content": [{"text": {"CANARY": 1}}]}])
    (response,) = await LiveEngine(loop, endpoint.url).ask(request)
    assert "messages[0].content[0].text" in str(response.error)
    assert "CANARY" not in str(response.error)


@pytest.mark.parametrize("loop", LOOPS)
async def test_an_endpoint_that_is_not_there_is_retried_and_named(loop):
    (response,) = await LiveEngine(loop, "http://127.0.0.1:9", max_retries=1).ask(HELLO)
    assert type(response.error) is RetryExhaustedError
    assert [attempt.fault for attempt in response.attempts] == ["connection_failed"] * 2
    assert not response.error.may_have_cost
    assert "`endpoint_url`" in response.error.message


@pytest.mark.parametrize("loop", LOOPS)
async def test_a_wave_of_requests_refreshes_expired_credentials_once(loop, endpoint):
    endpoint.control.credential("AKIDOLD", error="expired_token")
    opened = []

    def open_session():
        opened.append(1)
        keys = KEYS if len(opened) > 1 else {**KEYS, "aws_access_key_id": "AKIDOLD"}
        return boto3.session.Session(**keys)

    endpoint.control.latency(0.1)
    live = LiveEngine(loop, endpoint.url, open_session=open_session, max_retries=0)
    responses = await live.ask(*[HELLO] * 8)
    assert [response.success for response in responses] == [True] * 8
    assert len(opened) == 2
    outcomes = [outcome for _, _, outcome in calls_seen(endpoint.control)]
    assert outcomes.count("ok") == 8
    assert outcomes.count("ExpiredTokenException") <= 8


@pytest.mark.parametrize("loop", LOOPS)
async def test_without_credentials_nothing_is_sent_and_the_error_says_where_to_set_them(loop, endpoint, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_BEARER_TOKEN_BEDROCK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    (response,) = await LiveEngine(loop, endpoint.url, open_session=boto3.session.Session).ask(HELLO)
    assert type(response.error) is AuthenticationError
    assert "login and password" in response.error.message
    assert calls_seen(endpoint.control) == []


@pytest.mark.parametrize("loop", LOOPS)
async def test_only_the_first_request_pays_a_call_to_learn_that_a_model_needs_a_profile(loop, endpoint):
    live = LiveEngine(loop, endpoint.url, models=[BASE_HAIKU], options=direct_or_profile)
    for _ in range(3):
        (response,) = await live.ask(HELLO)
        assert response.model_used == HAIKU
    assert [asked for asked, _, _ in calls_seen(endpoint.control)] == [BASE_HAIKU, HAIKU, HAIKU, HAIKU]


@pytest.mark.parametrize("loop", LOOPS)
async def test_one_failing_request_does_not_touch_the_others(loop, endpoint):
    endpoint.control.fail("input_too_long", text="too long")
    bad = BedrockConverseRequest([{"role": "user", "content": [{"text": "too long"}]}])
    responses = await LiveEngine(loop, endpoint.url, options=direct_only).ask(HELLO, bad, HELLO)
    assert [response.success for response in responses] == [True, False, True]
    assert len(calls_seen(endpoint.control)) == 3


def naming(*models, **fields):
    return replace(HELLO, models=models, **fields)


@pytest.mark.parametrize("loop", LOOPS)
async def test_a_request_that_names_models_is_asked_of_them_and_of_nobody_else(loop, endpoint):
    endpoint.control.fail("end_of_life", model=MICRO)
    live = LiveEngine(loop, endpoint.url, models=[LITE])
    (named,) = await live.ask(naming(MICRO, HAIKU, request_id="r"))
    assert (named.model_used, named.request_id) == (HAIKU, "r")
    assert [attempt.model for attempt in named.attempts] == [MICRO, HAIKU]
    assert calls_seen(endpoint.control) == [not_ok("ResourceNotFoundException", EAST, MICRO), ok(EAST, HAIKU)]
    (unnamed,) = await live.ask(HELLO)
    assert unnamed.model_used == LITE


@pytest.mark.parametrize("loop", LOOPS)
async def test_requests_that_name_different_models_go_out_at_once_each_to_its_own(loop, endpoint):
    models = [LITE, MICRO, HAIKU] * 4
    responses = await LiveEngine(loop, endpoint.url, regions=[EAST, WEST]).ask(*[naming(model) for model in models])
    assert [response.model_used for response in responses] == models


@pytest.mark.parametrize("loop", LOOPS)
async def test_settings_of_a_model_that_a_request_names_hold(loop, endpoint):
    endpoint.control.keep_bodies(1)
    choice = {"model": MICRO, "region": WEST, "inference_config": {"maxTokens": 7}}
    (response,) = await LiveEngine(loop, endpoint.url).ask(naming(choice))
    assert (response.model_used, response.region_used) == (MICRO, WEST)
    assert endpoint.control.bodies()[0]["body"]["inferenceConfig"]["maxTokens"] == 7


@pytest.mark.parametrize("loop", LOOPS)
async def test_models_that_cannot_be_planned_end_their_own_request_without_a_call(loop, endpoint):
    live = LiveEngine(loop, endpoint.url)

    def plan_for(models):
        raise ConfigurationError(f"{models[0]} is not known.")

    live.plan_for = plan_for
    refused, answered = await live.ask(naming("nonsense", request_id="r"), HELLO)
    assert (refused.success, refused.request_id, refused.attempts) == (False, "r", ())
    assert str(refused.error) == "nonsense is not known."
    assert answered.success
    assert calls_seen(endpoint.control) == [ok()]
