"""An estimate is a range that holds what comes, or says that it does not know."""

import math

import pytest

from airflow_provider_bedrock_llm.core.estimate import (
    Estimate,
    OutputLength,
    PromptSample,
    Range,
    estimate_run,
    request_text_tokens,
    text_tokens,
)
from airflow_provider_bedrock_llm.core.pricing import Prices, TokenPrices
from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest, text_message

PRICES = Prices(TokenPrices(input=1.0, output=5.0))
"""One dollar for a million tokens in, five out."""

ENGLISH = "Rate the sentiment of this review from 1 to 5: the battery lasted two days, then it would not charge."


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        # What cl100k and Claude's public tokenizer of 2023 count, the mean of both.
        (ENGLISH, 25),
        ('{"id": 12345, "tags": ["a", "b"], "ok": true}', 22),
        ("def add(left: int, right: int) -> int:\n    return left + right\n", 20),
    ],
)
def test_ascii_texts_are_counted_within_a_fifth(text, tokens):
    assert text_tokens(text) == pytest.approx(tokens, rel=0.2)


def test_a_character_of_chinese_is_nearly_a_token_and_no_quarter_of_one():
    assert text_tokens("这个电池只用了两天") == pytest.approx(9, rel=0.2)


def test_an_empty_text_has_no_tokens():
    assert text_tokens("") == text_tokens(" \n\t") == 0


def test_system_tools_and_media_of_a_request_count():
    bare = BedrockConverseRequest([text_message(ENGLISH)])
    image = {"image": {"format": "png", "source": {"bytes": b"x" * 100_000}}}
    message = {"role": "user", "content": [{"text": ENGLISH}, image]}
    rich = BedrockConverseRequest([message], system=[{"text": ENGLISH}])

    assert request_text_tokens(rich)[0] - request_text_tokens(bare)[0] == pytest.approx(
        1_600 + text_tokens(ENGLISH), rel=0.05
    )


def estimate(prompts=None, output=None, prices=(PRICES,), rows=1_000, **more):
    prompts = prompts or PromptSample((100.0,) * 50)
    return estimate_run(rows, 0, rows, prompts, output or OutputLength(learned_tokens=40.0), prices, **more)


def test_the_likely_price_is_rows_times_tokens_times_price():
    found = estimate()

    assert found.input_tokens.likely == 100_000
    assert found.output_tokens.likely == 40_000
    assert found.usd.likely == pytest.approx(0.1 + 0.2)
    assert found.usd.low < found.usd.likely < found.usd.high


def test_only_what_is_asked_costs():
    found = estimate_run(1_000, 900, 60, PromptSample((100.0,)), OutputLength(learned_tokens=10.0), [PRICES])

    assert found.input_tokens.likely == 6_000
    assert "60 of 1,000 rows to ask (900 have an answer)" in found.line


def test_nothing_left_to_ask_costs_nothing():
    assert estimate_run(10, 10, 0, PromptSample(()), OutputLength(), [PRICES]).usd == Range(0, 0, 0)


def test_what_bedrock_counted_corrects_the_guess_and_narrows_the_range():
    guessed = estimate(PromptSample((100.0,) * 50))
    counted = estimate(PromptSample((100.0,) * 50, counted_tokens=(130,) * 20))

    assert counted.input_tokens.likely == pytest.approx(130_000)
    assert counted.method == "count_tokens"
    width = counted.input_tokens.high / counted.input_tokens.low
    assert width < guessed.input_tokens.high / guessed.input_tokens.low


def test_texts_that_are_not_mostly_ascii_are_less_certain():
    wide, narrow = (estimate(PromptSample((100.0,) * 50, ascii_share=share)).input_tokens for share in (0.3, 1.0))

    assert wide.high / wide.low > 2 * narrow.high / narrow.low


def test_prompts_of_very_different_length_are_less_certain():
    even, uneven = (estimate(PromptSample(tokens)).input_tokens for tokens in ((100.0,) * 10, (10.0,) * 9 + (910.0,)))

    assert even.likely == pytest.approx(uneven.likely)
    assert uneven.high > 1.3 * even.high


@pytest.mark.parametrize(
    ("output", "low", "high"),
    [
        (OutputLength(max_tokens=100), 1, 100),
        (OutputLength(max_tokens=5), 0.2, 5),
        (OutputLength(max_tokens=100, learned_tokens=90), 60, 100),
        (OutputLength(learned_tokens=90), 60, 140),
        (OutputLength(learned_tokens=0.0), 0, 0),
        (OutputLength(), 1, 2_000),
    ],
)
def test_an_answer_is_never_thought_longer_than_its_limit(output, low, high):
    assert low <= output.tokens.low <= output.tokens.likely <= output.tokens.high <= high


def test_a_route_without_a_price_leaves_the_others_as_bounds_and_the_first_without_one_no_price():
    dear = Prices(TokenPrices(input=10.0, output=50.0))

    assert estimate(prices=(PRICES, None)).usd == estimate().usd
    assert estimate(prices=(PRICES, dear)).usd.high == pytest.approx(10 * estimate().usd.high)
    assert estimate(prices=(None, PRICES)).usd is None
    assert estimate(prices=()).usd is None
    assert "price not known" in estimate(prices=()).line


def test_a_tier_has_its_own_price():
    prices = Prices(TokenPrices(input=1.0, output=5.0), tiers={"batch": TokenPrices(input=0.5, output=2.5)})

    assert estimate(prices=(prices,), tier="batch").usd.likely == pytest.approx(0.15)


def test_it_is_numbers_only():
    assert estimate().to_dict()["usd"].keys() == {"low", "likely", "high"}
    assert all(math.isfinite(value) for value in estimate().to_dict()["input_tokens"].values())
    assert isinstance(estimate(), Estimate)


@pytest.mark.parametrize("values", [(-1, 0, 1), (2, 1, 3), (0, 3, 2)])
def test_a_range_rises(values):
    with pytest.raises(ValueError, match="rises"):
        Range(*values)
