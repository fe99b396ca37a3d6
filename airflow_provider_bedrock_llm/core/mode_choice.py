"""On demand, flex or batch: which one a job should take, by rows, deadline, price and what the model can do."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_bedrock_llm.core.batch_plan import BatchLimits
from airflow_provider_bedrock_llm.core.estimate import Range
from airflow_provider_bedrock_llm.core.pricing import tokens_cost_usd

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_bedrock_llm.core.estimate import Estimate
    from airflow_provider_bedrock_llm.core.pricing import Prices

__all__ = ["Mode", "ModeFacts", "ModePlan", "Offer", "choose_mode", "offers_of", "usd_in_tier"]

Mode = Literal["on_demand", "flex", "batch"]

_SECONDS_TO_FIRST_TOKEN = 1.0
_OUTPUT_TOKENS_PER_SECOND = 40.0
"""Recorded on Bedrock: 34 a second for Sonnet 4.5, 46 for Sonnet 4.6, 106 for Nova Micro."""
_FLEX_SLOWER = 4.0
"""AWS says that flex takes longer, and not how much."""
_SECONDS_PER_HOUR = 3600


@dataclass(frozen=True, slots=True)
class ModeFacts:
    """What is known besides the estimate.

    Args:
        concurrency: requests at once, on demand.
        prices: of the route that is asked first; None where they are not known.
        batch_missing: what a batch job would need and the task does not give, "" where it gives all.
        limits: quotas of batch jobs.
        batch_hours: after so many hours AWS ends a batch job.
    """

    concurrency: int
    prices: Prices | None
    batch_missing: str = ""
    limits: BatchLimits = field(default_factory=BatchLimits)
    batch_hours: int = 24


@dataclass(frozen=True, slots=True)
class Offer:
    """One mode, for one job.

    Args:
        mode: which.
        usd: what it costs; None where a price is not known.
        seconds: how long it takes: a guess for calls, AWS's own promise for batch.
        obstacle: why it cannot be taken, "" where it can.
    """

    mode: Mode
    usd: Range | None
    seconds: float
    obstacle: str = ""


@dataclass(frozen=True, slots=True)
class ModePlan:
    """What was chosen, from what, and why.

    Args:
        choice: the mode.
        reason: one sentence.
        offers: every mode.
        rows: of the source.
        distinct_rows: requests to ask.
    """

    choice: Mode
    reason: str
    offers: tuple[Offer, ...]
    rows: int
    distinct_rows: int

    @property
    def chosen(self) -> Offer:
        """The offer that was taken."""
        return next(offer for offer in self.offers if offer.mode == self.choice)

    @property
    def line(self) -> str:
        """In one line for a log."""
        told = "; ".join(_told(offer) for offer in self.offers)
        return f"Mode: {self.choice}, {self.reason} ({self.distinct_rows:,} of {self.rows:,} rows to ask: {told})"

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe: numbers, and words of our own."""
        return asdict(self)


def offers_of(estimate: Estimate, facts: ModeFacts) -> tuple[Offer, ...]:
    """What each mode would take for a job."""
    rows = estimate.distinct_rows
    on_demand_seconds = _call_seconds(estimate, facts)
    rounds = math.ceil(math.ceil(rows / facts.limits.max_records) / facts.limits.jobs_in_flight)
    return (
        Offer("on_demand", usd_in_tier(estimate, facts.prices, None), on_demand_seconds),
        Offer(
            "flex",
            usd_in_tier(estimate, facts.prices, "flex"),
            on_demand_seconds * _FLEX_SLOWER,
            "" if _has(facts.prices, "flex") else "no flex price of the model is known",
        ),
        Offer(
            "batch",
            usd_in_tier(estimate, facts.prices, "batch"),
            float(max(1, rounds) * facts.batch_hours * _SECONDS_PER_HOUR),
            _batch_obstacle(rows, facts),
        ),
    )


def choose_mode(
    estimate: Estimate, facts: ModeFacts, *, deadline_seconds: float | None = None, least_saving_usd: float = 1.0
) -> ModePlan:
    """Take the cheapest mode that is in time and worth the wait.

    Of the modes that can be taken and meet the deadline, a slower one is chosen over the fastest only where it saves at
    least `least_saving_usd`. Where none meets the deadline, the fastest is taken.

    Args:
        estimate: rows, tokens.
        facts: prices, limits.
        deadline_seconds: when the output is wanted, from now; None for any time.
        least_saving_usd: what waiting has to bring.
    """
    offers = offers_of(estimate, facts)
    possible = sorted((offer for offer in offers if not offer.obstacle), key=lambda offer: offer.seconds)
    fastest = possible[0]
    choice, reason = fastest, "nothing else can be taken"
    in_time = [offer for offer in possible if deadline_seconds is None or offer.seconds <= deadline_seconds]
    if not in_time:
        reason = "no mode is sure to meet the deadline and this is the fastest"
    elif len(possible) > 1:
        choice, reason = _cheapest_worth_it(in_time, least_saving_usd)
    return ModePlan(choice.mode, reason, offers, estimate.rows, estimate.distinct_rows)


def _cheapest_worth_it(in_time: Sequence[Offer], least_saving_usd: float) -> tuple[Offer, str]:
    """The offers are sorted, fastest first."""
    fastest = in_time[0]
    if fastest.usd is None:
        return fastest, "its price is not known, so nothing can be called cheaper"
    best, saved = fastest, 0.0
    for offer in in_time[1:]:
        saving = 0.0 if offer.usd is None else fastest.usd.likely - offer.usd.likely
        if saving >= least_saving_usd and saving > saved:
            best, saved = offer, saving
    if best is fastest:
        return fastest, f"no slower mode that is in time saves {least_saving_usd:,.2f} USD"
    return best, f"it is in time and saves {saved:,.2f} USD against {fastest.mode}"


def _call_seconds(estimate: Estimate, facts: ModeFacts) -> float:
    rows = estimate.distinct_rows
    if rows == 0:
        return 0.0
    answer_seconds = _SECONDS_TO_FIRST_TOKEN + estimate.output_tokens.likely / rows / _OUTPUT_TOKENS_PER_SECOND
    return math.ceil(rows / facts.concurrency) * answer_seconds


def _batch_obstacle(rows: int, facts: ModeFacts) -> str:
    if facts.batch_missing:
        return facts.batch_missing
    if rows < facts.limits.min_records:
        return f"a batch job has at least {facts.limits.min_records:,} records"
    return "" if _has(facts.prices, "batch") else "no batch price of the model is known"


def _has(prices: Prices | None, tier: str) -> bool:
    return prices is not None and tier in prices.tiers


def usd_in_tier(estimate: Estimate, prices: Prices | None, tier: str | None) -> Range | None:
    """What a run costs at the rates of a tier; None where they are not known.

    Args:
        estimate: rows and tokens.
        prices: of the model that is asked.
        tier: `flex`, `batch`, or None for on-demand.
    """
    rows = estimate.distinct_rows
    if prices is None:
        return None
    if rows == 0:
        return Range(0.0, 0.0, 0.0)
    pairs = (
        (read / rows, written / rows)
        for read, written in (
            (estimate.input_tokens.low, estimate.output_tokens.low),
            (estimate.input_tokens.likely, estimate.output_tokens.likely),
            (estimate.input_tokens.high, estimate.output_tokens.high),
        )
    )
    costs = [
        tokens_cost_usd(prices, input_tokens=read, output_tokens=written, tier=tier, requests=rows)
        for read, written in pairs
    ]
    low, likely, high = costs
    return None if low is None or likely is None or high is None else Range(low, likely, high)


def _told(offer: Offer) -> str:
    price = "price not known" if offer.usd is None else f"{offer.usd.likely:,.4f} USD"
    hours = f"{offer.seconds / _SECONDS_PER_HOUR:,.2f} h"
    return f"{offer.mode} {price}, {hours}" + (f", not possible: {offer.obstacle}" if offer.obstacle else "")
