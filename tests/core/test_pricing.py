"""Usage times price."""

import pytest

from airflow_provider_bedrock_llm.core.pricing import Prices, TokenPrices, cost_usd, tokens_cost_usd

SONNET = Prices.from_dict(
    {
        "input": 3.0,
        "output": 15.0,
        "cache_read": 0.3,
        "cache_write_5m": 3.75,
        "cache_write_1h": 6.0,
        "batch_input": 1.5,
        "batch_output": 7.5,
        "flex_input": 1.0,
        "flex_output": 5.0,
        "above_tokens": {
            "200000": {"input": 6.0, "output": 22.5, "cache_read": 0.6, "cache_write_5m": 7.5, "cache_write_1h": 12.0}
        },
    }
)


def test_a_plain_answer_costs_input_plus_output():
    assert cost_usd({"inputTokens": 1000, "outputTokens": 200}, SONNET) == pytest.approx(0.006)


def test_cached_tokens_are_added_because_input_tokens_exclude_them():
    usage = {"inputTokens": 100, "outputTokens": 10, "cacheReadInputTokens": 10_000, "cacheWriteInputTokens": 1_000}
    assert cost_usd(usage, SONNET) == pytest.approx((100 * 3 + 10 * 15 + 10_000 * 0.3 + 1_000 * 3.75) / 1e6)


def test_a_cache_write_is_split_by_its_time_to_live():
    usage = {
        "inputTokens": 0,
        "outputTokens": 0,
        "cacheWriteInputTokens": 1_000,
        "cacheDetails": [{"ttl": "1h", "inputTokens": 400}, {"ttl": "5m", "inputTokens": 600}],
    }
    assert cost_usd(usage, SONNET) == pytest.approx((400 * 6.0 + 600 * 3.75) / 1e6)


@pytest.mark.parametrize(("tier", "usd"), [(None, 18.0), ("default", 18.0), ("batch", 9.0), ("flex", 6.0)])
def test_a_tier_has_its_own_price(tier, usd):
    usage = {"inputTokens": 100_000, "outputTokens": 100_000}
    assert cost_usd(usage, SONNET, tier=tier) == pytest.approx(usd / 10)


@pytest.mark.parametrize("tier", ["priority", "reserved", "a-tier-of-next-year"])
def test_a_tier_without_a_known_price_is_unknown(tier):
    assert cost_usd({"inputTokens": 1, "outputTokens": 1}, SONNET, tier=tier) is None


@pytest.mark.parametrize(("cached", "rate"), [(150_000, 3.0), (150_001, 6.0)])
def test_a_long_prompt_is_charged_at_the_long_price_and_the_cached_part_counts(cached, rate):
    usage = {"inputTokens": 50_000, "outputTokens": 0, "cacheReadInputTokens": cached}
    expected = 50_000 * rate + cached * (0.6 if rate == 6.0 else 0.3)
    assert cost_usd(usage, SONNET) == pytest.approx(expected / 1e6)


def test_a_long_prompt_in_a_tier_is_unknown():
    assert cost_usd({"inputTokens": 200_001, "outputTokens": 1}, SONNET, tier="batch") is None


def test_the_highest_length_that_was_passed_counts():
    prices = Prices.from_dict(
        {
            "input": 1.0,
            "output": 1.0,
            "above_tokens": {"100000": {"input": 2.0, "output": 2.0}, "20000": {"input": 1.5, "output": 1.5}},
        }
    )
    assert [tokens for tokens, _ in prices.above_context_tokens] == [20_000, 100_000]
    assert cost_usd({"inputTokens": 1_000_000, "outputTokens": 0}, prices) == pytest.approx(2.0)


def test_no_prices_no_cost():
    assert cost_usd({"inputTokens": 1, "outputTokens": 1}, None) is None


def test_a_count_without_a_price_makes_the_whole_cost_unknown():
    prices = Prices.from_dict({"input": 1.0, "output": 1.0})
    assert cost_usd({"inputTokens": 1, "outputTokens": 1, "cacheReadInputTokens": 5}, prices) is None


def test_a_missing_price_that_is_not_needed_does_no_harm():
    prices = Prices.from_dict({"input": 0.02})
    assert cost_usd({"inputTokens": 1_000_000, "outputTokens": 0}, prices) == pytest.approx(0.02)


def test_missing_counts_are_zero():
    assert cost_usd({"inputTokens": 1_000_000, "outputTokens": None}, SONNET) == pytest.approx(6.0)


def test_an_estimate_looks_at_one_request_and_multiplies():
    each = tokens_cost_usd(SONNET, input_tokens=1000, output_tokens=200)
    assert tokens_cost_usd(SONNET, input_tokens=1000, output_tokens=200, requests=1_000) == pytest.approx(each * 1_000)


@pytest.mark.parametrize("price", [-1.0, float("nan"), float("inf")])
def test_a_price_that_is_no_price_is_refused(price):
    with pytest.raises(ValueError, match="at least 0 dollars"):
        TokenPrices(input=price)
