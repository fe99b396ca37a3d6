"""The endpoint refuses a cache point as AWS does, and the hook goes on without it, once and for all its verbs."""

from __future__ import annotations

import pytest

from airflow_provider_bedrock_llm.core.config import RetryConfig
from airflow_provider_bedrock_llm.core.errors import RequestValidationError
from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest
from airflow_provider_bedrock_llm.hooks.bedrock_llm import BedrockLLMHook

WITHOUT_CACHE = "us.meta.llama3-3-70b-instruct-v1:0"
CACHED = [{"role": "user", "content": [{"text": "Hello there."}, {"cachePoint": {"type": "default"}}]}]


def test_a_model_without_prompt_caching_answers_all_the_same_and_is_asked_in_vain_only_once(connected):
    hook = BedrockLLMHook(models=[WITHOUT_CACHE])
    first, second = hook.converse(CACHED), hook.converse(CACHED)
    (third,) = hook.converse_parallel([BedrockConverseRequest(CACHED)]).request_responses.values()
    assert [response.features_disabled for response in (first, second, third)] == [("cachePoint",)] * 3
    assert [len(response.attempts) for response in (first, second, third)] == [2, 1, 1]
    assert connected.control.stats().calls == 4
    assert "did not allow prompt caching" in first.get_warnings()[0]
    assert hook.get_retry_stats()["features_disabled"] == {"cachePoint": 3}


def test_where_nothing_may_be_dropped_the_error_says_what_and_how_it_could(connected):
    hook = BedrockLLMHook(models=[WITHOUT_CACHE], retry_config=RetryConfig(enable_feature_fallback=False))
    with pytest.raises(RequestValidationError) as caught:
        hook.converse(CACHED)
    assert "does not take cachePoint of this request" in caught.value.message
    assert "`enable_feature_fallback` (now False)" in caught.value.message
    assert connected.control.stats().calls == 1
