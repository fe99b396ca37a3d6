"""What bestehorn-llmmanager 0.9.0 gets wrong, one test per numbered defect of its inventory, engine and clients.

Numbers and measurements are those of the project's inventory of that package; here the same experiment runs on ours,
over HTTP. Defects 10, 15, 18 and 21 to 28 are about the hook and its parallel verbs: tests/airflow. Of defect 8 the
memory has no test of its own, because it came from 250 sessions, and there is one. Of defect 20 the missing rate
limiter and circuit breaker are proved in tests/core/test_limiter.py and tests/aws/test_parallel.py.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import boto3
import botocore.session
import pytest
from harness.endpoint import HAIKU, KEYS, NOVA, say
from harness.live_engine import HELLO, LOOPS, LiveEngine, calls_seen
from harness.routes import direct_or_profile, make_plan

from airflow_provider_bedrock_llm.aws.clients import Clients, ClientSettings
from airflow_provider_bedrock_llm.aws.converse import Engine
from airflow_provider_bedrock_llm.aws.transport import BotoTransport
from airflow_provider_bedrock_llm.core.config import Boto3Config, ResponseValidationConfig, ValidationResult
from airflow_provider_bedrock_llm.core.conversation import ConversePolicy
from airflow_provider_bedrock_llm.core.errors import RequestValidationError, RetryExhaustedError
from airflow_provider_bedrock_llm.core.faults import Fault, classify
from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest
from airflow_provider_bedrock_llm.core.routes import ModelChoice
from airflow_provider_bedrock_llm.core.transport import Failure, FailureKind
from airflow_provider_bedrock_llm.local import ErrorReply

REGIONS = ("us-east-1", "us-west-2", "eu-west-1")
MICRO = "amazon.nova-micro-v1:0"
GUARDRAIL = {"guardrailIdentifier": "abc123", "guardrailVersion": "1"}
NO_TEMPERATURE = ErrorReply(
    "ValidationException", 400, "This model doesn't support the temperature field. Remove temperature and try again."
)
NO_LATENCY = ErrorReply(
    "ValidationException", 400, "Latency performance configuration is not supported for {model} in {region}"
)

in_both_loops = pytest.mark.parametrize("loop", LOOPS)


class CountedSession(boto3.session.Session):
    """Notes which clients are made of it."""

    made: list[tuple[str, str]]

    def client(self, service_name, region_name=None, **settings):
        self.made.append((service_name, region_name))
        return super().client(service_name, region_name=region_name, **settings)


class Account:
    """Opens sessions, and counts them and their clients."""

    def __init__(self):
        self.sessions = 0
        self.clients = []

    def open_session(self):
        self.sessions += 1
        session = CountedSession(**KEYS)
        session.made = self.clients
        return session


def ask_from_threads(endpoint, count, *, at_once, regions=REGIONS[:1], **boto3_config):
    account = Account()
    settings = ClientSettings(
        account.open_session, Boto3Config(**boto3_config), endpoint_url=endpoint.url, keys_first=True
    )
    clients = Clients(settings)
    engines = [Engine(BotoTransport(clients), ConversePolicy(), make_plan([NOVA], [region])) for region in regions]
    try:
        with ThreadPoolExecutor(at_once) as pool:
            responses = list(pool.map(lambda number: engines[number % len(engines)].ask(HELLO), range(count)))
    finally:
        for client in clients._clients.values():
            client.close()
    assert all(response.success for response in responses)
    return account


class Flaky:
    """A validation function that says no a few times."""

    def __init__(self, noes):
        self.noes = noes
        self.seen = []

    def __call__(self, response):
        self.seen.append(response)
        return ValidationResult(len(self.seen) > self.noes, "say it better")


def validated(live, function, **settings):
    live.policy = replace(live.policy, validation=ResponseValidationConfig(function, **settings))
    return live


def test_defect_07_twenty_calls_are_one_client_and_two_regions_are_two(endpoint):
    assert ask_from_threads(endpoint, 20, at_once=1).clients == [("bedrock-runtime", "us-east-1")]
    account = ask_from_threads(endpoint, 20, at_once=1, regions=REGIONS[:2])
    assert account.sessions == 1
    assert sorted(account.clients) == [("bedrock-runtime", "us-east-1"), ("bedrock-runtime", "us-west-2")]


def test_defect_07_the_connection_pool_is_as_large_as_the_boto3_config_says(endpoint):
    settings = ClientSettings(Account().open_session, Boto3Config(max_pool_connections=7), endpoint_url=endpoint.url)
    client = Clients(settings).engine_client("bedrock-runtime", "us-east-1")
    assert client.meta.config.max_pool_connections == 7
    client.close()


def test_defect_08_two_hundred_requests_from_fifty_threads_are_one_session_and_one_client(endpoint):
    account = ask_from_threads(endpoint, 200, at_once=50, max_pool_connections=50)
    assert account.sessions == 1
    assert len(account.clients) == 1


def test_defect_09_sts_is_never_asked(endpoint):
    account = ask_from_threads(endpoint, 10, at_once=5)
    assert {service for service, _ in account.clients} == {"bedrock-runtime"}
    assert set(endpoint.control.stats().by_operation) == {"Converse"}


@in_both_loops
async def test_defect_11_max_retries_is_the_number_of_retries(loop, endpoint):
    endpoint.control.throttle()
    (response,) = await LiveEngine(loop, endpoint.url, max_retries=5).ask(HELLO)
    assert isinstance(response.error, RetryExhaustedError)
    assert len(response.attempts) == len(calls_seen(endpoint.control)) == 6


@in_both_loops
async def test_defect_11_what_no_retry_helps_is_sent_once_whatever_the_regions(loop, endpoint):
    endpoint.control.fail("input_too_long")
    await LiveEngine(loop, endpoint.url, regions=REGIONS, max_retries=0).ask(HELLO)
    assert len(calls_seen(endpoint.control)) == 1


def test_defect_12_every_error_that_converse_has_is_classified():
    model = botocore.session.Session().get_service_model("bedrock-runtime")
    errors = {
        shape.name: shape.metadata["error"]["httpStatusCode"]
        for operation in ("Converse", "ConverseStream")
        for shape in model.operation_model(operation).error_shapes
    }
    assert len(errors) >= 9
    faults = {name: classify(Failure(FailureKind.SERVICE, name, "", status)) for name, status in errors.items()}
    assert Fault.UNKNOWN not in faults.values()
    assert faults["InternalServerException"] is Fault.OVERLOADED
    assert faults["ModelErrorException"] is Fault.MODEL_ERROR
    assert faults["ModelNotReadyException"] is Fault.NOT_READY


@in_both_loops
async def test_defect_13_a_guardrail_that_does_not_exist_is_an_error_and_not_a_request_without_it(loop, endpoint):
    endpoint.control.keep_bodies(10)
    request = replace(HELLO, guardrail_config=GUARDRAIL)
    (response,) = await LiveEngine(loop, endpoint.url, max_retries=3).ask(request)
    assert isinstance(response.error, RequestValidationError)
    assert [record["body"]["guardrailConfig"] for record in endpoint.control.bodies()] == [GUARDRAIL]


@in_both_loops
async def test_defect_13_a_throttled_guardrail_is_sent_again_and_words_in_an_error_drop_nothing(loop, endpoint):
    endpoint.control.keep_bodies(10)
    endpoint.control.guardrail("abc123", ["forbidden"], version="1")
    text = "guardrail content filter: the tool, the image and the document of this function were throttled"
    endpoint.control.fail(ErrorReply("ThrottlingException", 429, text), first=2)
    request = replace(HELLO, guardrail_config=GUARDRAIL)
    (response,) = await LiveEngine(loop, endpoint.url, droppable_features=("image", "toolConfig")).ask(request)
    assert response.success
    assert [record["body"]["guardrailConfig"] for record in endpoint.control.bodies()] == [GUARDRAIL] * 3
    assert response.features_disabled == ()


@in_both_loops
async def test_defect_14_the_second_identical_call_works_and_both_say_what_was_left_out(loop, endpoint):
    endpoint.control.fail(NO_TEMPERATURE, first=1)
    live = LiveEngine(loop, endpoint.url, droppable_features=("temperature",))
    request = replace(HELLO, inference_config={"temperature": 0.5, "maxTokens": 50})
    responses = [(await live.ask(request))[0] for _ in range(2)]
    assert [response.success for response in responses] == [True, True]
    assert [response.features_disabled for response in responses] == [("temperature",)] * 2
    assert [len(response.attempts) for response in responses] == [2, 1]


@in_both_loops
async def test_defect_14_of_the_additional_fields_only_the_refused_one_goes(loop, endpoint):
    endpoint.control.keep_bodies(10)
    text = "The model returned the following errors: thinking: Extra inputs are not permitted"
    endpoint.control.fail(ErrorReply("ValidationException", 400, text), first=1)
    live = LiveEngine(loop, endpoint.url, droppable_features=("additionalModelRequestFields.thinking",))
    (response,) = await live.ask(replace(HELLO, additional_model_request_fields={"top_k": 5, "thinking": {"a": 1}}))
    assert response.success
    last = endpoint.control.bodies()[-1]["body"]
    assert last["additionalModelRequestFields"] == {"top_k": 5}


@in_both_loops
async def test_defect_16_model_used_is_the_id_that_was_sent(loop, endpoint):
    base = HAIKU.removeprefix("us.")
    (response,) = await LiveEngine(loop, endpoint.url, models=[base], options=direct_or_profile).ask(HELLO)
    asked = [model for model, _, _ in calls_seen(endpoint.control)]
    assert asked == [attempt.model_used for attempt in response.attempts] == [base, HAIKU]
    assert (response.model_used, response.access) == (HAIKU, "regional_profile")
    assert response.attempts[-1].model == base


@in_both_loops
async def test_defect_17_each_validation_retry_asks_the_model_again_and_is_on_the_response(loop, endpoint):
    function = Flaky(noes=2)
    live = validated(LiveEngine(loop, endpoint.url), function, response_validation_retries=3)
    (response,) = await live.ask(HELLO)
    assert response.success
    assert len(calls_seen(endpoint.control)) == len(function.seen) == 3
    assert len({seen.attempts[-1].request_id for seen in function.seen}) == 3
    assert response.had_validation_failures()
    assert [error["error_message"] for error in response.get_validation_errors()] == ["say it better"] * 2
    assert response.usage.output_tokens > response.attempts[-1].usage.output_tokens


@in_both_loops
async def test_defect_17_without_validation_retries_a_good_answer_is_good(loop, endpoint):
    live = validated(LiveEngine(loop, endpoint.url), Flaky(noes=0), response_validation_retries=0)
    (response,) = await live.ask(HELLO)
    assert response.success
    assert not response.had_validation_failures()


@in_both_loops
async def test_defect_17_with_validation_profiles_backoff_and_features_work_as_without(loop, endpoint):
    endpoint.control.throttle(1)
    endpoint.control.fail(NO_LATENCY, first=1)
    base = HAIKU.removeprefix("us.")
    live = LiveEngine(loop, endpoint.url, models=[base], options=direct_or_profile)
    (response,) = await validated(live, Flaky(noes=1)).ask(replace(HELLO, performance_config={"latency": "optimized"}))
    faults = [attempt.fault for attempt in response.attempts]
    assert faults == ["needs_profile", "throttled", "unsupported_feature", "invalid_answer", None]
    assert response.model_used == HAIKU
    assert response.features_disabled == ("performanceConfig",)


@in_both_loops
async def test_defect_19_each_model_gets_its_own_settings(loop, endpoint):
    endpoint.control.keep_bodies(10)
    endpoint.control.fail("unavailable", model=NOVA)
    choices = [
        ModelChoice(NOVA, inference_config={"maxTokens": 11}),
        ModelChoice(MICRO, inference_config={"maxTokens": 22}),
    ]
    (response,) = await LiveEngine(loop, endpoint.url, models=choices).ask(
        BedrockConverseRequest(say("Hello."), inference_config={"maxTokens": 50, "temperature": 0.1})
    )
    assert response.model_used == MICRO
    sent = [record["body"]["inferenceConfig"] for record in endpoint.control.bodies()]
    assert sent == [{"maxTokens": 11, "temperature": 0.1}, {"maxTokens": 22, "temperature": 0.1}]


@in_both_loops
async def test_defect_20_one_request_over_two_models_and_three_regions_makes_one_call_more_than_its_retries(
    loop, endpoint
):
    endpoint.control.throttle()
    settings = {"models": [NOVA, MICRO], "regions": REGIONS}
    await LiveEngine(loop, endpoint.url, **settings, max_retries=3).ask(HELLO)
    assert len(calls_seen(endpoint.control)) == 4
    endpoint.control.reset()
    endpoint.control.throttle()
    await LiveEngine(loop, endpoint.url, **settings, max_retries=9, max_attempts_total=3).ask(HELLO)
    assert len(calls_seen(endpoint.control)) == 3


@in_both_loops
async def test_defect_20_one_deadline_holds_for_all_routes_and_waits(loop, endpoint):
    endpoint.control.throttle()
    live = LiveEngine(loop, endpoint.url, regions=REGIONS, max_retries=1000, retry_delay=0.05, deadline_seconds=0.5)
    (response,) = await live.ask(HELLO)
    assert "deadline of 0.5 seconds" in response.error.message
    assert len(response.attempts) == len(calls_seen(endpoint.control))


@in_both_loops
async def test_read_timeouts_below_one_answer_in_ten_pay_no_request_twice_unless_allowed_and_are_counted(
    loop, endpoint
):
    endpoint.control.fail(action="slow", delay_seconds=2.5, every=10)
    hasty = Boto3Config(read_timeout=1.0, max_pool_connections=20)
    live = LiveEngine(loop, endpoint.url, boto3_config=hasty, max_retries=5)
    requests = [replace(HELLO, request_metadata={"record": f"r{number}"}) for number in range(20)]
    responses = await live.ask(*requests)
    assert endpoint.control.calls_by("record") == {f"r{number}": 1 for number in range(20)}
    late = [response for response in responses if not response.success]
    assert [attempt.fault for response in late for attempt in response.attempts] == ["read_timeout"] * 2
    for response in late:
        assert response.error.may_have_cost
        assert response.warnings == ("1 call(s) ended without an answer and may be billed all the same",)
    endpoint.control.reset()
    endpoint.control.fail(action="slow", delay_seconds=2.5, first=1)
    allowed = LiveEngine(loop, endpoint.url, boto3_config=hasty, max_timeout_retries=1)
    (response,) = await allowed.ask(HELLO)
    assert response.success
    assert [attempt.fault for attempt in response.attempts] == ["read_timeout", None]
    assert len(response.warnings) == 1
