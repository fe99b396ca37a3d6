"""What a call costs of a quota on tokens is counted as Bedrock counts it."""

import pytest

from airflow_provider_bedrock_llm.core.token_budget import estimate_input_tokens, output_burndown, used_tokens


@pytest.mark.parametrize(
    ("model_id", "factor"),
    [
        ("us.anthropic.claude-haiku-4-5-20251001-v1:0", 5),
        ("anthropic.claude-3-7-sonnet-20250219-v1:0", 5),
        ("anthropic.claude-3-haiku-20240307-v1:0", 1),
        ("amazon.nova-lite-v1:0", 1),
    ],
)
def test_output_of_claude_3_7_to_4_7_burns_fivefold(model_id, factor):
    assert output_burndown(model_id) == factor


def test_the_factors_are_a_parameter():
    assert output_burndown("vendor.model", (("vendor", 15.0),)) == 15


def test_cache_reads_are_free_and_cache_writes_count_as_input():
    usage = {"inputTokens": 10, "outputTokens": 4, "cacheReadInputTokens": 900, "cacheWriteInputTokens": 100}
    assert used_tokens(usage, 5.0) == 130


def test_an_answer_without_usage_says_nothing():
    assert used_tokens({}, 5.0) is None


def test_four_characters_of_text_are_a_token_wherever_they_stand():
    messages = [
        {"role": "user", "content": [{"text": "a" * 400}, {"toolResult": {"content": [{"json": {"k": "b" * 40}}]}}]}
    ]
    assert 110 <= estimate_input_tokens(messages) <= 112


def test_an_image_counts_by_its_kind_and_not_by_its_bytes():
    assert estimate_input_tokens([{"image": {"format": "png", "source": {"bytes": b"x" * 10**6}}}]) == 1_600
