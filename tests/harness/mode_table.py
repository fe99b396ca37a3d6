"""Jobs of many sizes, deadlines and models for the choice of a mode, and an oracle that tries everything."""

from __future__ import annotations

from airflow_provider_bedrock_llm.core.batch_plan import BatchLimits
from airflow_provider_bedrock_llm.core.estimate import Estimate, Range
from airflow_provider_bedrock_llm.core.mode_choice import ModeFacts
from airflow_provider_bedrock_llm.core.pricing import Prices, TokenPrices

ROWS = (50, 1_000, 20_000, 1_000_000)
DEADLINES_HOURS = (None, 0.1, 2.0, 30.0)


def _priced(read: float, written: float, *tiers: str) -> Prices:
    shares = {"batch": 0.5, "flex": 0.6}
    return Prices(
        TokenPrices(input=read, output=written),
        {tier: TokenPrices(input=read * shares[tier], output=written * shares[tier]) for tier in tiers},
    )


MODELS = {
    "small, batch": _priced(0.06, 0.24, "batch"),
    "large, batch": _priced(3.0, 15.0, "batch"),
    "large, flex": _priced(3.0, 15.0, "flex"),
    "large, flex and batch": _priced(3.0, 15.0, "batch", "flex"),
    "large, neither": _priced(3.0, 15.0),
    "price not known": None,
}
TOKENS_IN, TOKENS_OUT = 400.0, 100.0


def estimate_of(rows: int) -> Estimate:
    def about(tokens: float) -> Range:
        return Range(tokens * rows * 0.8, tokens * rows, tokens * rows * 1.4)

    return Estimate(rows, 0, rows, about(TOKENS_IN), about(TOKENS_OUT), None)


def facts_of(prices: Prices | None, *, missing: str = "") -> ModeFacts:
    return ModeFacts(concurrency=50, prices=prices, batch_missing=missing, limits=BatchLimits())


def best_by_trying(rows: int, deadline_hours: float | None, prices: Prices | None, least_saving_usd: float) -> str:
    """Every mode priced and timed by hand; the best that the rules of the documents allow."""
    per_answer_seconds = 1 + TOKENS_OUT / 40
    calls_seconds = -(-rows // 50) * per_answer_seconds
    jobs = -(-rows // 50_000)
    seconds = {"on_demand": calls_seconds, "flex": 4 * calls_seconds, "batch": -(-jobs // 20) * 24 * 3600.0}
    usd: dict[str, float | None] = {}
    for mode, tier in (("on_demand", None), ("flex", "flex"), ("batch", "batch")):
        rates = None if prices is None else prices.on_demand if tier is None else prices.tiers.get(tier)
        if rates is None:
            usd[mode] = None
        else:
            usd[mode] = rows * (TOKENS_IN * rates.input + TOKENS_OUT * rates.output) / 1e6
    able = {"on_demand"} | {mode for mode in ("flex", "batch") if usd[mode] is not None}
    if rows < 100:
        able.discard("batch")
    timely = {mode for mode in able if deadline_hours is None or seconds[mode] <= deadline_hours * 3600}
    if not timely:
        return min(able, key=lambda mode: seconds[mode])
    fastest = min(timely, key=lambda mode: seconds[mode])
    if usd[fastest] is None:
        return fastest
    worth = {mode for mode in timely if mode != fastest and usd[fastest] - usd[mode] >= least_saving_usd}
    worth = {mode for mode in worth if usd[mode] < usd[fastest]}
    return min(worth, key=lambda mode: (usd[mode], seconds[mode])) if worth else fastest
