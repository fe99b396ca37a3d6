"""The examples of seeds 002 and 003 that call a model, adapted to the hook. Where a seed's own example is wrong, the
test says how ours differs. (Messages, streaming, tools and caching have theirs beside their own tests.)
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_provider_bedrock_llm import (
    BedrockConverseRequest,
    BedrockLLMHook,
    ConfigurationError,
    FailureHandlingStrategy,
    LLMManagerError,
    LoadBalancingStrategy,
    ParallelProcessingConfig,
    RequestValidationError,
    ResponseValidationConfig,
    RetryConfig,
    RetryExhaustedError,
    RetryStrategy,
    ValidationResult,
    create_assistant_message,
    create_user_message,
)

DATA = Path(__file__).parents[2] / "dags_examples" / "data"
MODELS = ["Claude 3 Haiku", "Nova Lite"]
REGIONS = ["us-east-1", "us-west-2"]


@pytest.fixture
def hook(connected):
    return BedrockLLMHook(models=MODELS, regions=REGIONS)


def user(text):
    return {"role": "user", "content": [{"text": text}]}


def test_quick_start(connected):
    hook = BedrockLLMHook(models=["Claude 3 Haiku"], regions=["us-east-1"])
    message = create_user_message().add_text("Explain quantum computing").build()
    response = hook.converse(messages=[message])
    assert response.get_content()


def test_basic_single_request(hook):
    """0.9.0's `model_used` is the friendly name; ours is the id that was really sent, which is what AWS bills by."""
    response = hook.converse(messages=[user("Hello, how are you?")])
    assert response.success
    assert response.get_content()
    assert response.model_used == "anthropic.claude-3-haiku-20240307-v1:0"
    assert response.region_used == "us-east-1"
    assert response.total_duration_ms > 0
    assert response.get_usage()["inputTokens"] > 0
    assert response.get_metrics()["latencyMs"] >= 0
    assert response.get_stop_reason() == "end_turn"
    assert response.get_warnings() == []
    assert len(response.attempts) == 1
    assert not response.had_validation_failures()
    assert response.get_validation_errors() == []
    assert json.loads(response.to_json(indent=2)) == response.to_dict()


def test_parallel_processing_and_its_success_rate(hook):
    """The seed prints `get_success_rate():.1%`; with 0.9.0's value of 0 to 100 that reads 10000.0%."""
    requests = [
        BedrockConverseRequest(request_id="req-1", messages=[user("What is AI?")]),
        BedrockConverseRequest(request_id="req-2", messages=[user("Explain machine learning")]),
    ]
    response = hook.converse_parallel(requests=requests)
    assert f"{response.get_success_rate():.1%}" == "100.0%"
    assert response.total_duration_ms > 0
    assert response.request_responses.keys() == {"req-1", "req-2"}
    assert response.get_successful_responses().keys() == {"req-1", "req-2"}
    assert response.failed_requests == []
    stats = response.parallel_execution_stats
    assert stats.total_requests == stats.successful_requests == 2
    assert stats.average_request_duration_ms > 0
    assert sum(stats.region_distribution.values()) == 2


def test_an_image_beside_a_question(connected):
    hook = BedrockLLMHook(models=["Nova Lite"], regions=["us-east-1"])
    image = (DATA / "units_sold.png").read_bytes()
    content = [{"text": "What's in this image?"}, {"image": {"format": "png", "source": {"bytes": image}}}]
    assert hook.converse(messages=[{"role": "user", "content": content}]).success


def test_a_document_by_the_builder_with_everything_that_the_seed_reads(hook):
    """The seed's raw message names its document `document.pdf`, which Bedrock refuses for its dot; ours has none."""
    message = (
        create_user_message()
        .add_text("Analyze this document:")
        .add_local_document(str(DATA / "third_quarter.pdf"))
        .build()
    )
    response = hook.converse(messages=[message])
    assert response.success
    assert "." not in message["content"][1]["document"]["name"]


def test_a_conversation_of_three_turns(hook):
    conversation = [
        create_user_message().add_text("What is in the picture?").build(),
        create_assistant_message().add_text("Mountains and a lake.").build(),
        create_user_message().add_text("What time of day is it?").build(),
    ]
    assert hook.converse(messages=conversation).success


def test_many_documents_each_with_its_own_name(hook):
    requests = [
        BedrockConverseRequest(
            request_id=f"doc-analysis-{path.stem}",
            messages=[
                create_user_message()
                .add_text("Please provide a comprehensive analysis of this document.")
                .add_local_document(str(path), name=path.stem.replace("_", " "))
                .build()
            ],
        )
        for path in sorted(DATA.glob("*.pdf"))
    ]
    assert hook.converse_parallel(requests=requests).get_success_rate() == 1.0


def test_validation_asks_the_model_again_and_says_why(connected):
    """0.9.0 calls the function again on the same answer; asking the model again is what the seed describes."""
    seen = []

    def at_least_the_second(response):
        seen.append(response.get_content())
        if len(seen) < 2:
            return ValidationResult(success=False, error_message="Response too short or empty")
        return ValidationResult(success=True)

    config = ResponseValidationConfig(
        response_validation_function=at_least_the_second, response_validation_retries=3, response_validation_delay=0.0
    )
    hook = BedrockLLMHook(models=MODELS, regions=REGIONS, response_validation_config=config)
    response = hook.converse(messages=[create_user_message().add_text("Tell me about AI safety").build()])
    assert response.had_validation_failures()
    assert [error["error_message"] for error in response.get_validation_errors()] == ["Response too short or empty"]
    assert connected.control.stats().calls == 2


def test_custom_retries_and_parallel_settings(connected):
    hook = BedrockLLMHook(
        models=["Claude 3 Haiku", "Nova Lite"],
        regions=REGIONS,
        retry_config=RetryConfig(
            max_retries=5, retry_delay=0.0, backoff_multiplier=1.5, retry_strategy=RetryStrategy.MODEL_FIRST
        ),
        parallel_config=ParallelProcessingConfig(
            max_concurrent_requests=10,
            request_timeout_seconds=120,
            failure_handling_strategy=FailureHandlingStrategy.CONTINUE_ON_FAILURE,
            failure_threshold=0.5,
            load_balancing_strategy=LoadBalancingStrategy.ROUND_ROBIN,
            enable_request_prioritization=False,
        ),
    )
    connected.control.fail("unavailable", model="anthropic.claude-3-haiku-20240307-v1:0")
    assert hook.converse(messages=[user("Hello")]).model_used == "amazon.nova-lite-v1:0"


@pytest.mark.parametrize(
    ("fault", "expected"),
    [("input_too_long", RequestValidationError), ("unavailable", RetryExhaustedError), (None, ConfigurationError)],
)
def test_errors_are_caught_as_the_seeds_catch_them(connected, fault, expected):
    """The seed also tests `response.success` after `converse`; it never is False there, in 0.9.0 as here: it raises."""
    hook = BedrockLLMHook(
        models=["Nova Lite"] if fault else [], retry_config=RetryConfig(max_retries=1, retry_delay=0.0)
    )
    if fault:
        connected.control.fail(fault)
    with pytest.raises(LLMManagerError) as caught:
        hook.converse(messages=[user("Hello")])
    assert isinstance(caught.value, expected)


def test_model_and_region_questions(hook):
    """0.9.0's `access_info` is a dict with a list `access_methods`; ours says which id is sent, and by which method."""
    assert hook.get_available_models() == MODELS
    assert hook.get_available_regions() == REGIONS
    info = hook.model_catalog.get_model_info("Claude 3 Haiku", "us-east-1")
    assert info.model_id == "anthropic.claude-3-haiku-20240307-v1:0"
    assert hook.model_catalog.is_model_available("Claude 3 Haiku", "us-east-1")
    assert len(hook.model_catalog.list_models(region="us-east-1", provider="Anthropic")) > 0
