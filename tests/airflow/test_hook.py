"""The hook: from an Airflow connection to answers, over HTTP to the local endpoint."""

from __future__ import annotations

import pytest
from harness.task import connect

from airflow_provider_bedrock_llm.core.config import (
    Boto3Config,
    FailureHandlingStrategy,
    ParallelProcessingConfig,
    RetryConfig,
)
from airflow_provider_bedrock_llm.core.errors import (
    AuthenticationError,
    ConfigurationError,
    ModelAccessError,
    ParallelExecutionError,
    RequestValidationError,
    UnknownModelError,
)
from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest, text_message
from airflow_provider_bedrock_llm.hooks.bedrock_llm import BedrockLLMHook

HELLO = [text_message("Hello there.")]
NOVA = "amazon.nova-lite-v1:0"
QUICK = RetryConfig(max_retries=1, retry_delay=0.0)


def test_one_prompt_is_answered_priced_and_accounted_for(connected):
    response = BedrockLLMHook(models=[NOVA]).converse(HELLO)
    assert response.success
    assert response.get_content()
    assert (response.model_used, response.region_used) == (NOVA, "us-east-1")
    assert response.cost_usd is not None
    assert response.cost_usd > 0
    assert len(response.attempts) == 1
    assert connected.control.stats().calls == 1


def test_a_friendly_name_becomes_the_id_that_works_in_the_region(connected):
    response = BedrockLLMHook(models=["Claude Sonnet 4.5"]).converse(HELLO)
    assert response.model_used == "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
    assert response.access == "regional_profile"


def test_models_of_the_connection_are_asked_where_nobody_names_others(endpoint, monkeypatch):
    connect(monkeypatch, extra={"endpoint_url": endpoint.url, "region_name": "us-east-1", "models": ["Nova Lite"]})
    assert BedrockLLMHook().converse(HELLO).model_used == NOVA


def test_a_request_may_name_its_own_models(connected):
    hook = BedrockLLMHook(models=[NOVA])
    assert hook.converse(HELLO, models=["Claude Sonnet 4.5"]).model_used.startswith("us.anthropic.claude-sonnet-4-5")
    assert hook.converse(HELLO).model_used == NOVA
    with pytest.raises(UnknownModelError):
        hook.converse(HELLO, models=["Claude Sonet 4.5"])
    assert connected.control.stats().calls == 2


def test_the_next_region_answers_when_the_first_is_dead(connected):
    connected.control.fail("unavailable", region="us-east-1")
    hook = BedrockLLMHook(models=[NOVA], regions=["us-east-1", "us-west-2"], retry_config=QUICK)
    response = hook.converse(HELLO)
    assert response.region_used == "us-west-2"
    assert [attempt.fault for attempt in response.attempts] == ["overloaded", None]


def test_an_unknown_name_is_an_error_with_suggestions_and_costs_nothing(connected):
    with pytest.raises(UnknownModelError) as caught:
        BedrockLLMHook(models=["Claude Sonet 4.5"]).converse(HELLO)
    assert "Claude Sonnet 4.5" in caught.value.suggestions
    assert connected.control.stats().calls == 0


def test_an_id_that_aws_does_not_know_names_near_ones(connected):
    with pytest.raises(ModelAccessError) as caught:
        BedrockLLMHook(models=["amazon.nova-litee-v1:0"]).converse(HELLO)
    text = str(caught.value)
    assert "us-east-1 does not know the model amazon.nova-litee-v1:0" in text
    assert "Nova Lite" in text
    assert caught.value.aws_code == "ValidationException"
    assert caught.value.request_id


def test_a_malformed_request_is_called_once_and_keeps_what_aws_said(connected):
    hook = BedrockLLMHook(models=[NOVA], regions=["us-east-1", "us-west-2"])
    with pytest.raises(RequestValidationError) as caught:
        hook.converse(HELLO, inference_config={"temperature": 7.0})
    assert caught.value.aws_code == "ValidationException"
    assert connected.control.stats().calls == 1


def test_wrong_keys_are_explained_by_the_connection(connected):
    connected.control.credential("AKIDLOCALEXAMPLE", error="unknown_token")
    with pytest.raises(AuthenticationError, match="connection 'bedrock_llm_default'"):
        BedrockLLMHook(models=[NOVA]).converse(HELLO)


@pytest.mark.parametrize(
    ("argument", "value", "expected"),
    [
        ("boto3_config", {"read_timeout": 5}, "Boto3Config"),
        ("retry_config", "often", "RetryConfig"),
        ("parallel_config", 5, "ParallelProcessingConfig"),
        ("models", "Nova Lite", "list"),
        ("regions", "us-east-1", "list"),
    ],
)
def test_a_setting_of_the_wrong_type_names_the_expected_one(argument, value, expected):
    with pytest.raises(ConfigurationError, match=f"{argument} is .*{expected}"):
        BedrockLLMHook(**{argument: value})


def test_boto3_config_comes_from_the_argument_then_the_connection_then_the_defaults(monkeypatch):
    connect(monkeypatch, "tuned", extra={"region_name": "us-east-1", "read_timeout": 77})
    assert BedrockLLMHook("tuned", boto3_config=Boto3Config(5)).boto3_config == Boto3Config(5)
    assert BedrockLLMHook("tuned").boto3_config == Boto3Config(77)
    connect(monkeypatch, "plain", extra={"region_name": "us-east-1"})
    assert BedrockLLMHook("plain").boto3_config == Boto3Config()


def test_the_same_boto3_config_reaches_runtime_and_control_plane_clients(monkeypatch):
    extra = {"region_name": "us-east-1", "read_timeout": 77, "connect_timeout": 7, "max_pool_connections": 3}
    connect(monkeypatch, extra=extra)
    hook = BedrockLLMHook(models=[NOVA])
    clients = [hook.get_conn(), hook.clients.client("bedrock", "us-east-1")]
    clients.append(hook.clients.engine_client("bedrock-runtime", "us-east-1"))
    for client in clients:
        config = client.meta.config
        assert (config.read_timeout, config.connect_timeout, config.max_pool_connections) == (77, 7, 3)


def test_keys_of_the_connection_win_over_a_bearer_token_in_the_environment(connected, monkeypatch):
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "a-token-of-somebody-else")
    connected.control.credential("a-token-of-somebody-else", error="bad_api_key")
    assert BedrockLLMHook(models=[NOVA]).converse(HELLO).success


def test_credentials_are_borrowed_from_another_connection(endpoint, monkeypatch):
    connect(monkeypatch, "aws_keys", conn_type="aws", login="AKIDBORROWED", password="a-long-secret")
    extra = {"endpoint_url": endpoint.url, "region_name": "us-east-1", "aws_conn_id": "aws_keys"}
    connect(monkeypatch, login=None, password=None, extra=extra)
    endpoint.control.credential("AKIDBORROWED", error="unknown_token")
    with pytest.raises(AuthenticationError):
        BedrockLLMHook(models=[NOVA]).converse(HELLO)


def test_a_connection_that_does_not_exist_is_named():
    with pytest.raises(ConfigurationError, match="'no_such_connection' does not exist"):
        BedrockLLMHook("no_such_connection", models=[NOVA]).converse(HELLO)


def test_a_missing_region_is_an_error_that_says_where_to_set_it(monkeypatch):
    connect(monkeypatch, extra={})
    with pytest.raises(ConfigurationError, match="No AWS region"):
        BedrockLLMHook(models=[NOVA]).converse(HELLO)


def test_many_requests_keep_their_order_ids_and_costs(connected):
    requests = [BedrockConverseRequest([text_message(f"Number {n}.")], request_id=f"n{n}") for n in range(20)]
    response = BedrockLLMHook(models=[NOVA]).converse_parallel(requests)
    assert response.success
    assert list(response.request_responses) == [f"n{n}" for n in range(20)]
    assert response.get_success_rate() == 1.0
    stats = response.parallel_execution_stats
    assert stats.region_distribution == {"us-east-1": 20}
    assert stats.cost_usd == pytest.approx(sum(r.cost_usd for r in response.request_responses.values()))


def test_round_robin_really_spreads_requests_over_regions(connected):
    requests = [BedrockConverseRequest([text_message(f"Number {n}.")]) for n in range(30)]
    hook = BedrockLLMHook(models=[NOVA], regions=["us-east-1", "us-west-2", "eu-west-1"])
    stats = hook.converse_parallel(requests).parallel_execution_stats
    assert stats.region_distribution == {"us-east-1": 10, "us-west-2": 10, "eu-west-1": 10}
    assert connected.control.stats().by_region == stats.region_distribution


def test_stop_on_first_failure_keeps_what_was_done(connected):
    connected.control.fail("input_too_long", text="Number 3.")
    requests = [BedrockConverseRequest([text_message(f"Number {n}.")], request_id=f"n{n}") for n in range(20)]
    config = ParallelProcessingConfig(
        max_concurrent_requests=1, failure_handling_strategy=FailureHandlingStrategy.STOP_ON_FIRST_FAILURE
    )
    with pytest.raises(ParallelExecutionError) as caught:
        BedrockLLMHook(models=[NOVA], parallel_config=config).converse_parallel(requests)
    response = caught.value.response
    assert list(response.get_successful_responses()) == ["n0", "n1", "n2"]
    assert response.failed_requests == ["n3"]
    assert len(response.not_started) == 16
    assert connected.control.stats().calls == 4


def test_two_requests_of_one_id_are_refused():
    twice = [BedrockConverseRequest(HELLO, request_id="same")] * 2
    with pytest.raises(ConfigurationError, match="'same'"):
        BedrockLLMHook(models=[NOVA]).converse_parallel(twice)


def test_the_connection_test_makes_no_paid_call_and_says_what_it_saw(connected):
    works, text = BedrockLLMHook().test_connection()
    assert works, text
    assert "us-east-1" in text
    assert set(connected.control.stats().by_operation) == {"ListFoundationModels"}


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("unknown_token", "does not accept the credentials"),
        ("expired_token", "have expired"),
        ("denied_by_policy", "may not list models"),
    ],
)
def test_the_connection_test_says_in_words_what_is_wrong(connected, error, words):
    connected.control.credential("AKIDLOCALEXAMPLE", error=error)
    works, text = BedrockLLMHook().test_connection()
    assert not works
    assert words in text


def test_the_connection_test_names_an_endpoint_that_cannot_be_reached(monkeypatch):
    connect(monkeypatch, extra={"endpoint_url": "http://127.0.0.1:9", "region_name": "us-east-1"})
    works, text = BedrockLLMHook().test_connection()
    assert not works
    assert "http://127.0.0.1:9 cannot be reached" in text


def test_the_connection_test_names_missing_credentials(endpoint, monkeypatch):
    extra = {"endpoint_url": endpoint.url, "region_name": "us-east-1"}
    connect(monkeypatch, login=None, password=None, extra=extra)
    works, text = BedrockLLMHook().test_connection()
    assert not works
    assert "no usable credentials" in text
