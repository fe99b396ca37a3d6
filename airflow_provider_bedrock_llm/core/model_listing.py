"""Models as rows to look at: filtered, priced by the id that would be sent, sorted; and those that end soon."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.core.access import DEFAULT_PREFERENCE, access_options

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

    from airflow_provider_bedrock_llm.core.access import AccessMethod
    from airflow_provider_bedrock_llm.core.catalog import Catalog
    from airflow_provider_bedrock_llm.core.model_card import ModelCard
    from airflow_provider_bedrock_llm.core.pricing import Prices

__all__ = ["SORT_KEYS", "ModelFilter", "ModelRow", "ends_within", "model_rows"]

SORT_KEYS = ("name", "price", "context", "release", "end_of_life")
_LARGE = float("inf")


@dataclass(frozen=True, slots=True)
class ModelFilter:
    """Which models to list. What is not known does not fit.

    Attributes:
        region: callable there; the row then says under which id, and what that costs.
        provider: upper case does not matter.
        capabilities: all of these, such as `tool_use`; `streaming` and `converse` count too.
        mode: such as `chat` or `embedding`.
        max_price_usd: for a million tokens in and a million out, together.
        today: models that have passed their end of life on this day are left out; None keeps them.
    """

    region: str | None = None
    provider: str | None = None
    capabilities: tuple[str, ...] = ()
    mode: str | None = None
    max_price_usd: float | None = None
    today: date | None = None


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One model to look at.

    Attributes:
        card: the model.
        send: the id to send in the region asked for; without a region, the base id.
        access: how it is called there; None without a region.
        assumed: nobody asked AWS whether it can be called so.
        prices: of the id to send; None: not known.
    """

    card: ModelCard
    send: str
    access: AccessMethod | None
    assumed: bool
    prices: Prices | None

    @property
    def price_usd(self) -> float | None:
        """For a million tokens in and a million out, together; None where one of them is not known."""
        rates = self.prices.on_demand if self.prices else None
        if rates is None or rates.input is None or rates.output is None:
            return None
        return round(rates.input + rates.output, 9)  # 0.1 + 0.2 must not exceed --max-price 0.3

    def as_dict(self) -> dict[str, Any]:
        """Everything as JSON-able data; None: not known."""
        card, rates = self.card, self.prices.on_demand if self.prices else None
        life = card.lifecycle
        return {
            "name": card.name,
            "provider": card.provider,
            "send": self.send,
            "access": self.access.value if self.access else None,
            "assumed": self.assumed,
            "input_usd_per_million": rates.input if rates else None,
            "output_usd_per_million": rates.output if rates else None,
            "price_basis": self.prices.basis if self.prices else None,
            "price_disputed": self.prices.disputed if self.prices else None,
            "context_window_tokens": card.context_window_tokens,
            "max_output_tokens": card.max_output_tokens,
            "streaming": card.streaming,
            "converse": card.converse,
            "capabilities": sorted(name for name, value in card.capabilities.items() if value is True),
            "status": life.status,
            "release_date": life.release_date.isoformat() if life.release_date else None,
            "end_of_life": life.end_of_life.isoformat() if life.end_of_life else None,
            "confidence": card.confidence,
        }


def model_rows(catalog: Catalog, wanted: ModelFilter, *, sort: str = "name") -> list[ModelRow]:
    """The models that fit, sorted by one of `SORT_KEYS`; what is not known comes last.

    Raises:
        ValueError: a sort key that does not exist.
    """
    if sort not in SORT_KEYS:
        raise ValueError(f"sort={sort!r} is not known. Give one of: {', '.join(SORT_KEYS)}.")
    cards = catalog.list_models(region=wanted.region, provider=wanted.provider, mode=wanted.mode)
    rows = [
        row
        for card in cards
        if all(card.supports(capability) is True for capability in wanted.capabilities)
        and not (wanted.today and card.lifecycle.is_over(wanted.today))
        and (row := _row(card, wanted.region)) is not None
        and (wanted.max_price_usd is None or _known(row.price_usd) <= wanted.max_price_usd)
    ]
    return sorted(rows, key=lambda row: (*_sort_key(row, sort), row.card.name.casefold()))


def ends_within(cards: Iterable[ModelCard], today: date, days: int) -> list[tuple[ModelCard, int | None]]:
    """The models that have passed their end of life or reach it within so many days, with the days left, soonest first.

    The days are None for a model that has ended on a day that is not known.
    """
    ending = [
        (card, left)
        for card, left in ((card, card.lifecycle.days_left(today)) for card in cards)
        if card.lifecycle.is_over(today) or (left is not None and left <= days)
    ]
    return sorted(ending, key=lambda pair: (-_LARGE if pair[1] is None else pair[1], pair[0].model_id))


def _row(card: ModelCard, region: str | None) -> ModelRow | None:
    if region is None:
        return ModelRow(card, card.model_id, None, assumed=False, prices=card.prices_for(card.model_id, ""))
    options = access_options(card, region, DEFAULT_PREFERENCE)
    if not options:
        return None
    best = options[0]
    return ModelRow(card, best.model_id, best.access, best.assumed, card.prices_for(best.model_id, region))


def _known(value: float | None) -> float:
    return _LARGE if value is None else value


def _sort_key(row: ModelRow, sort: str) -> tuple[float, ...]:
    if sort == "price":
        return (_known(row.price_usd),)
    if sort == "context":
        return (-(row.card.context_window_tokens or 0),)
    if sort == "release":
        released = row.card.lifecycle.release_date
        return (-released.toordinal() if released else 0,)
    if sort == "end_of_life":
        ends = row.card.lifecycle.end_of_life
        return (_known(ends.toordinal() if ends else None),)
    return ()
