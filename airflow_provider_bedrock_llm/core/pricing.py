"""Usage times price is money, and None where a price that is needed is not known.

The arithmetic follows Converse's `usage`: `inputTokens` excludes what the prompt cache read or wrote, so the four
counts add up to `totalTokens`. A price above a context length holds for the whole request as soon as everything that
went in, cached or not, is longer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BATCH_SHARE", "Prices", "TokenPrices", "cost_usd", "tokens_cost_usd", "with_batch_rates"]

_PER_MILLION = 1_000_000
_TIERS = ("batch", "flex", "priority")

BATCH_SHARE = 0.5
"""What batch costs of the on-demand price, where the catalog does not know."""


@dataclass(frozen=True, slots=True)
class TokenPrices:
    """US dollars per million tokens. None: not known."""

    input: float | None = None
    output: float | None = None
    cache_read: float | None = None
    cache_write_5m: float | None = None
    cache_write_1h: float | None = None

    def __post_init__(self) -> None:
        for known in fields(self):
            price = getattr(self, known.name)
            if price is not None and (not math.isfinite(price) or price < 0):
                raise ValueError(
                    f"A price is at least 0 dollars, and {known.name}={price!r} is not. Correct the price."
                )


_UNKNOWN = TokenPrices()


@dataclass(frozen=True, slots=True)
class Prices:
    """What one model costs under the id that is really sent.

    Attributes:
        on_demand: Converse without a tier (AWS calls it `default`).
        tiers: `batch`, `flex` and `priority`, as far as known.
        above_context_tokens: (input tokens, prices) pairs, ascending: from more than so many input tokens on, the
            whole request is charged at these. They are known for on-demand only.
        basis: `profile` (this very inference profile), `region` (this region), `default` (the model's list price,
            which a region without a price of its own may differ from) or `candidate` (the caller's candidate list).
        disputed: two public sources name different prices for this id.
        per_image_usd: dollars per image, for models that are paid so.
        per_query_usd: dollars per query, for rerankers.
    """

    on_demand: TokenPrices = _UNKNOWN
    tiers: Mapping[str, TokenPrices] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    above_context_tokens: tuple[tuple[int, TokenPrices], ...] = ()
    basis: str = "default"
    disputed: bool = False
    per_image_usd: float | None = None
    per_query_usd: float | None = None

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any], *, basis: str = "default", disputed: bool = False) -> Prices:
        """Read a price entry of the catalog: `input`, `cache_read`, `batch_input`, `above_tokens` ..., all in USD."""
        tiers = {tier: _token_prices(raw, f"{tier}_") for tier in _TIERS}
        above = raw.get("above_tokens", {})
        return cls(
            on_demand=_token_prices(raw),
            tiers=MappingProxyType({tier: prices for tier, prices in tiers.items() if prices != _UNKNOWN}),
            above_context_tokens=tuple(
                (int(tokens), _token_prices(above[tokens])) for tokens in sorted(above, key=int)
            ),
            basis=basis,
            disputed=disputed,
            per_image_usd=raw.get("per_image"),
            per_query_usd=raw.get("per_query"),
        )

    @classmethod
    def as_listed(cls, listed: TokenPrices, known: Prices | None) -> Prices:
        """Prices that a candidate list names, over what is known of the model: tiers and the prompt cache stay."""
        known = known or cls()
        on_demand = replace(
            known.on_demand,
            input=known.on_demand.input if listed.input is None else listed.input,
            output=known.on_demand.output if listed.output is None else listed.output,
        )
        return replace(known, on_demand=on_demand, above_context_tokens=(), basis="candidate")

    def rates(self, *, tier: str = "default", prompt_tokens: int = 0) -> TokenPrices | None:
        """The rates for a request, or None where they are not known.

        Args:
            tier: `default`, `flex`, `priority` or `batch`; `reserved` is not paid by the token.
            prompt_tokens: everything that goes in, cached or not.
        """
        if tier != "default":
            is_long = any(prompt_tokens > tokens for tokens, _ in self.above_context_tokens)
            return None if is_long else self.tiers.get(tier)
        rates = self.on_demand
        for tokens, above in self.above_context_tokens:
            if prompt_tokens > tokens:
                rates = above
        return rates


def with_batch_rates(prices: Prices | None) -> Prices | None:
    """The same with rates for batch jobs: the catalog's, else half of the on-demand ones, which is what AWS promises.

    aws.amazon.com/bedrock/pricing: select models "for batch inference at a 50% lower price when compared to
    on-demand inference pricing".
    """
    if prices is None or "batch" in prices.tiers or prices.on_demand == _UNKNOWN:
        return prices
    known = {one.name: getattr(prices.on_demand, one.name) for one in fields(TokenPrices)}
    half = TokenPrices(**{name: None if price is None else price * BATCH_SHARE for name, price in known.items()})
    return replace(prices, tiers=MappingProxyType({**prices.tiers, "batch": half}))


def cost_usd(usage: Mapping[str, Any], prices: Prices | None, *, tier: str | None = None) -> float | None:
    """What one answer cost, in US dollars.

    Args:
        usage: Converse's `usage`: inputTokens, outputTokens, cacheReadInputTokens, cacheWriteInputTokens and
            cacheDetails `[{ttl, inputTokens}]`, which says how much of the writing was for which time to live.
        prices: of the id that was really sent; None where they are not known.
        tier: what `serviceTier.type` of the answer says, or `batch`; None means default.

    Returns:
        None as soon as a count above zero has no known price: a sum that leaves something out would be a guess.
    """
    if prices is None:
        return None
    write_5m, write_1h = _cache_writes(usage)
    return tokens_cost_usd(
        prices,
        input_tokens=_count(usage, "inputTokens"),
        output_tokens=_count(usage, "outputTokens"),
        cache_read_tokens=_count(usage, "cacheReadInputTokens"),
        cache_write_5m_tokens=write_5m,
        cache_write_1h_tokens=write_1h,
        tier=tier,
    )


def tokens_cost_usd(
    prices: Prices,
    *,
    input_tokens: float = 0,
    output_tokens: float = 0,
    cache_read_tokens: float = 0,
    cache_write_5m_tokens: float = 0,
    cache_write_1h_tokens: float = 0,
    tier: str | None = None,
    requests: int = 1,
) -> float | None:
    """The cost of equal requests of so many tokens each; what an estimate before a run is made of.

    The counts are per request, because a price above a context length looks at one request; they may be averages.
    """
    prompt_tokens = input_tokens + cache_read_tokens + cache_write_5m_tokens + cache_write_1h_tokens
    rates = prices.rates(tier=tier or "default", prompt_tokens=math.ceil(prompt_tokens))
    if rates is None:
        return None
    bill = (
        (input_tokens, rates.input),
        (output_tokens, rates.output),
        (cache_read_tokens, rates.cache_read),
        (cache_write_5m_tokens, rates.cache_write_5m),
        (cache_write_1h_tokens, rates.cache_write_1h),
    )
    total = 0.0
    for tokens, rate in bill:
        if tokens == 0:
            continue
        if rate is None:
            return None
        total += tokens * rate
    return total * requests / _PER_MILLION


def _token_prices(raw: Mapping[str, Any], prefix: str = "") -> TokenPrices:
    return TokenPrices(**{price.name: raw.get(f"{prefix}{price.name}") for price in fields(TokenPrices)})


def _count(usage: Mapping[str, Any], name: str) -> int:
    return int(usage.get(name) or 0)


def _cache_writes(usage: Mapping[str, Any]) -> tuple[int, int]:
    """Split what was written into the cache by time to live; what no detail names is the default of five minutes."""
    written = _count(usage, "cacheWriteInputTokens")
    one_hour = sum(
        int(detail.get("inputTokens") or 0) for detail in usage.get("cacheDetails") or () if detail.get("ttl") == "1h"
    )
    one_hour = min(one_hour, written)
    return written - one_hour, one_hour
