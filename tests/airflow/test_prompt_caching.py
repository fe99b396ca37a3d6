"""The caching example of seed 003 through the hook: written once, read by every later request, and paid accordingly."""

import pytest
from harness.media_files import make_jpeg

from airflow_provider_bedrock_llm.core.config import ParallelProcessingConfig
from airflow_provider_bedrock_llm.core.errors import ConfigurationError, RequestValidationError
from airflow_provider_bedrock_llm.core.messages import create_user_message
from airflow_provider_bedrock_llm.core.prompt_cache import CacheConfig
from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest, text_message
from airflow_provider_bedrock_llm.hooks.bedrock_llm import BedrockLLMHook

SONNET = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
CACHED = CacheConfig(enabled=True)
HANDBOOK = "Every building has a style. " * 300
SYSTEM = [{"text": HANDBOOK}]


@pytest.fixture
def photos(tmp_path):
    paths = [tmp_path / "building1.jpg", tmp_path / "building2.jpg"]
    for number, path in enumerate(paths, 1):
        path.write_bytes(make_jpeg(number, number))
    return paths


def test_ten_questions_about_the_same_images_pay_for_the_images_once(connected, photos):
    """The seed asks Claude 3 Haiku, which has no prompt caching; ours asks a model that has."""
    hook = BedrockLLMHook(models=[SONNET], cache_config=CACHED)
    answers = []
    for number in range(10):
        message = create_user_message().add_text("Analyze these architectural images...")
        for photo in photos:
            message.add_local_image(photo)
        message.add_cache_point().add_text(f"Focus on aspect {number}")
        answers.append(hook.converse([message.build()]))
    first, *later = (answer.get_cache_efficiency() for answer in answers)
    assert (first["cache_hit_ratio"], first["cache_read_tokens"]) == (0.0, 0)
    assert first["cache_savings_usd"] < 0 < first["cache_write_tokens"]
    for found in later:
        assert found["cache_hit_ratio"] > 0.9
        assert found["cache_write_tokens"] == 0
        assert found["cache_savings_usd"] > 0
    assert later[0]["cache_savings_usd"] > -first["cache_savings_usd"]
    assert answers[1].cost_usd < answers[0].cost_usd


def test_a_long_system_prompt_is_cached_without_a_word_in_the_request(connected):
    hook = BedrockLLMHook(models=[SONNET], cache_config=CACHED)
    efficiency = [
        hook.converse([text_message(f"Question {number}")], system=SYSTEM).get_cache_efficiency() for number in range(2)
    ]
    assert efficiency[0]["cache_write_tokens"] == efficiency[1]["cache_read_tokens"] > 1_000


def test_without_the_setting_nothing_is_cached(connected):
    hook = BedrockLLMHook(models=[SONNET])
    hook.converse([text_message("Question")], system=SYSTEM)
    found = hook.converse([text_message("Question")], system=SYSTEM).get_cache_efficiency()
    assert (found["cache_read_tokens"], found["cache_write_tokens"], found["cache_savings_usd"]) == (0, 0, 0.0)


def test_parallel_requests_share_the_cache(connected):
    requests = [BedrockConverseRequest([text_message(f"Question {number}")], system=SYSTEM) for number in range(6)]
    hook = BedrockLLMHook(
        models=[SONNET], cache_config=CACHED, parallel_config=ParallelProcessingConfig(max_concurrent_requests=1)
    )
    found = [answer.get_cache_efficiency() for answer in hook.converse_parallel(requests).request_responses.values()]
    assert sum(one["cache_write_tokens"] > 0 for one in found) == 1
    assert sum(one["cache_read_tokens"] > 0 for one in found) == 5


def test_a_setting_of_another_type_is_refused():
    with pytest.raises(ConfigurationError, match="cache_config is dict"):
        BedrockLLMHook(models=[SONNET], cache_config={"enabled": True})


def test_what_the_catalog_knows_that_a_model_refuses_costs_no_call(connected):
    hook = BedrockLLMHook(models=["Claude Sonnet 4.5"])
    with pytest.raises(RequestValidationError, match="takes temperature or topP, not both"):
        hook.converse([text_message("Question")], inference_config={"temperature": 0, "topP": 0.5})
    assert connected.control.stats().calls == 0
