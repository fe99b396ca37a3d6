"""What a newcomer reads when something is not set up: the cause, and which setting to change to what."""

from __future__ import annotations

import pytest
from harness.task import connect

from airflow_provider_bedrock_llm.core.config import RetryConfig
from airflow_provider_bedrock_llm.core.errors import (
    AuthenticationError,
    ConfigurationError,
    LLMManagerError,
    ModelAccessError,
    QuotaExhaustedError,
)
from airflow_provider_bedrock_llm.core.request import text_message
from airflow_provider_bedrock_llm.hooks.bedrock_llm import BedrockLLMHook

HELLO = [text_message("Hello there.")]
NOVA = "amazon.nova-lite-v1:0"
SONNET_US = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
CONNECTION = "the Airflow connection 'bedrock_llm_default'"


def error_of(conn_id="bedrock_llm_default", *, model=NOVA, regions=None, **retry) -> LLMManagerError:
    settings = RetryConfig(**{"max_retries": 1, "retry_delay": 0.0, **retry})
    with pytest.raises(LLMManagerError) as caught:
        BedrockLLMHook(conn_id, [model], regions, retry_config=settings).converse(HELLO)
    return caught.value


@pytest.mark.parametrize(
    ("preset", "kind", "named"),
    [
        ("unknown_token", AuthenticationError, [CONNECTION, "`aws_session_token`"]),
        ("bad_signature", AuthenticationError, [CONNECTION, "secret key"]),
        ("expired_token", AuthenticationError, [CONNECTION, "Renew the session token"]),
        ("bad_api_key", AuthenticationError, [CONNECTION, "AWS_BEARER_TOKEN_BEDROCK"]),
        ("no_access", ModelAccessError, [CONNECTION, "`bedrock:InvokeModel`", "Model access", NOVA, "us-east-1"]),
        ("use_case_missing", ModelAccessError, ["use case form", "Bedrock console"]),
        ("marketplace", ModelAccessError, ["`aws-marketplace:Subscribe`"]),
        ("denied_by_scp", ModelAccessError, ["service control policy", "`access_method_preference`"]),
        ("daily_quota", QuotaExhaustedError, ["tokens for today", "tomorrow", NOVA]),
        ("end_of_life", ModelAccessError, ["retired", "`airflow bedrock-llm models`"]),
        ("unavailable", LLMManagerError, ["`max_retries` (now 1)"]),
        ("too_many_requests", LLMManagerError, ["`max_concurrent_requests`", "`max_retries` (now 1)"]),
    ],
)
def test_each_refusal_of_aws_says_what_to_change_and_keeps_what_aws_said(connected, preset, kind, named):
    connected.control.fail(preset)
    error = error_of()
    assert isinstance(error, kind)
    assert [part for part in named if part not in error.message] == []
    assert error.aws_code
    assert error.aws_message
    assert error.request_id in str(error)


def test_missing_credentials_name_the_connection_before_anything_else(endpoint, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_BEARER_TOKEN_BEDROCK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    extra = {"endpoint_url": endpoint.url, "region_name": "us-east-1"}
    connect(monkeypatch, "empty", login=None, password=None, extra=extra)
    error = error_of("empty")
    assert isinstance(error, AuthenticationError)
    assert error.message.startswith(
        "No usable AWS credentials were found. "
        "Set access key and secret key as login and password of the Airflow connection 'empty'"
    )
    assert endpoint.control.stats().calls == 0


def test_a_profile_of_another_continent_names_the_regions_that_have_it(connected):
    error = error_of(model=SONNET_US, regions=["eu-west-1"])
    assert isinstance(error, ConfigurationError)
    assert f"known to work with these settings: {SONNET_US} in " in error.message
    assert "us-west-2" in error.message
    assert "No model can be asked in eu-west-1" in error.message
    assert connected.control.stats().calls == 0


def test_a_model_that_may_not_leave_a_place_names_the_settings_and_where_it_would_work(connected):
    error = error_of(data_residency="eu", access_method_preference=("direct", "regional_profile"))
    assert "`data_residency`=eu" in error.message
    assert "(direct, regional_profile)" in error.message
    assert f"{NOVA} in eu-" in error.message
    assert connected.control.stats().calls == 0


def test_a_deadline_names_its_value_and_the_settings_that_hold_it(connected):
    connected.control.fail(action="slow", delay_seconds=2)
    error = error_of(deadline_seconds=0.4)
    assert "deadline of 0.4 seconds" in error.message
    assert "`deadline_seconds`" in error.message
    assert "`request_timeout_seconds`" in error.message
