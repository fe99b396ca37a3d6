"""Which models the hook asks, where, under which id, and what it learns of them."""

from __future__ import annotations

from collections import Counter

import pytest
from harness.task import connect

from airflow_provider_bedrock_llm.core.config import RetryConfig
from airflow_provider_bedrock_llm.core.errors import ConfigurationError
from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest, text_message
from airflow_provider_bedrock_llm.hooks.bedrock_llm import BedrockLLMHook

SONNET = "Claude Sonnet 4.5"
HELLO = [text_message("Hello.")]


@pytest.fixture
def ask_aws(monkeypatch):
    """Let the catalog come from the account, as in production, and keep it in memory."""
    monkeypatch.setenv("AIRFLOW__BEDROCK_LLM__CATALOG_MODE", "none")


def keys(hook):
    return [route.key for route in hook.plan().routes(hook.get_available_regions())]


def test_only_the_regions_in_use_are_asked_for_their_models(connected, ask_aws):
    hook = BedrockLLMHook(models=[SONNET], regions=["us-east-1", "eu-west-1"])
    assert hook.converse(HELLO).success
    stats = connected.control.stats()
    assert set(stats.by_region) == {"us-east-1", "eu-west-1"}
    assert stats.by_operation["Converse"] == 1


def test_a_catalog_that_cannot_be_had_costs_a_warning_and_not_the_answer(connected, ask_aws):
    connected.control.fail("denied_by_policy", operation="List*")
    assert BedrockLLMHook(models=["Nova Lite"]).converse(HELLO).success


def test_an_unknown_catalog_mode_is_named(connected, monkeypatch):
    monkeypatch.setenv("AIRFLOW__BEDROCK_LLM__CATALOG_MODE", "somewhere")
    with pytest.raises(ConfigurationError, match="catalog_mode='somewhere'"):
        BedrockLLMHook(models=[SONNET]).converse(HELLO)


def test_data_that_must_stay_in_the_eu_goes_through_no_global_profile(connected):
    regions = ["us-east-1", "eu-central-1"]
    free = keys(BedrockLLMHook(models=[SONNET], regions=regions))
    kept = keys(BedrockLLMHook(models=[SONNET], regions=regions, retry_config=RetryConfig(data_residency="eu")))
    assert any(model_id.startswith("global.") for model_id, _ in free)
    assert kept == [("eu.anthropic.claude-sonnet-4-5-20250929-v1:0", "eu-central-1")]


def test_residency_can_be_set_in_the_connection(endpoint, monkeypatch):
    extra = {"endpoint_url": endpoint.url, "regions": ["us-east-1", "eu-central-1"], "data_residency": "eu"}
    connect(monkeypatch, extra=extra)
    assert {region for _, region in keys(BedrockLLMHook(models=[SONNET]))} == {"eu-central-1"}


def test_an_unknown_place_is_an_error_with_the_known_ones(connected):
    with pytest.raises(ConfigurationError, match="Give one of"):
        BedrockLLMHook(models=[SONNET], retry_config=RetryConfig(data_residency="mars")).plan()


def test_a_way_of_access_that_is_left_out_is_never_used(connected):
    retry = RetryConfig(access_method_preference=("global_profile",))
    assert keys(BedrockLLMHook(models=[SONNET], retry_config=retry)) == [
        ("global.anthropic.claude-sonnet-4-5-20250929-v1:0", "us-east-1")
    ]


def test_the_fraction_for_the_global_profile_is_kept_exactly(connected):
    hook = BedrockLLMHook(models=[SONNET], retry_config=RetryConfig(global_cris_fraction=0.25))
    response = hook.converse_parallel([BedrockConverseRequest([text_message(f"{n}")]) for n in range(40)])
    used = Counter(answer.access for answer in response.request_responses.values())
    assert used == {"global_profile": 10, "regional_profile": 30}


def test_a_model_that_wants_a_profile_gets_one_and_the_catalog_remembers(connected, monkeypatch):
    monkeypatch.setenv("AIRFLOW__BEDROCK_LLM__CATALOG_MODE", "memory")
    connected.control.fail("needs_profile", operation="Converse", first=1)
    first = BedrockLLMHook(models=["Nova Lite"])
    response = first.converse(HELLO)
    assert response.model_used == "us.amazon.nova-lite-v1:0"
    assert [attempt.fault for attempt in response.attempts] == ["needs_profile", None]
    second = BedrockLLMHook(models=["Nova Lite"])
    response = second.converse(HELLO)
    assert response.model_used == "us.amazon.nova-lite-v1:0"
    assert len(response.attempts) == 1
    second.model_catalog.clear_cache()
