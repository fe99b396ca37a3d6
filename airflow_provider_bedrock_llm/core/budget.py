"""What a job may spend, and whether one more request may start.

The price of a request is known when its answer is there, not before. So room for it is kept: as much as the answers
so far took on average. Before the first answer nothing is known, and one request goes ahead alone. What is spent
beyond the budget is therefore never more than the cost of what was in flight when it was reached, and usually nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

__all__ = ["Budget", "Purse"]

_ROUNDING = 1 + 1e-9
"""Sums of floats differ by less: fifty answers for a tenth of a cent each fit into five cents."""


@dataclass(frozen=True, slots=True)
class Budget:
    """The most that a job may spend, over all of its runners.

    Args:
        usd: US dollars; None for any number. Models whose price is not known are refused.
        tokens: tokens in and out, cached ones included; None for any number.

    Raises:
        ValueError: neither is given, or one is not above zero.
    """

    usd: float | None = None
    tokens: int | None = None

    def __post_init__(self) -> None:
        if self.usd is None and self.tokens is None:
            raise ValueError("budget has neither `usd` nor `tokens`. Give one of them, or leave the budget out.")
        for name in ("usd", "tokens"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ValueError(f"budget has {name}={value!r}, which buys nothing. Give a number above 0.")

    @classmethod
    def of(cls, value: Budget | float | Mapping[str, Any] | None) -> Self | None:
        """Take a budget in any of its forms: itself, a number of US dollars, or `{"usd": ..., "tokens": ...}`.

        Raises:
            ValueError: it is none of these.
        """
        if value is None or isinstance(value, cls):
            return value
        if isinstance(value, Mapping) and value.keys() <= {"usd", "tokens"}:
            return cls(**value)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return cls(usd=float(value))
        raise ValueError(f"budget={value!r} is none. Give US dollars, or `usd` and `tokens`.")

    def __str__(self) -> str:
        """For a sentence."""
        usd = [] if self.usd is None else [f"{self.usd:g} USD"]
        return " and ".join([*usd, *([] if self.tokens is None else [f"{self.tokens:,} tokens"])])


class Purse:
    """Counts what is spent of a budget and what is set aside for requests under way.

    Args:
        budget: the most that may be spent.
        spent_usd: by earlier runners of the job.
        spent_tokens: by earlier runners of the job.
        answers: that they were spent on, which teach what one costs.
        is_priced: whether all that was spent by them had a known price.
    """

    def __init__(
        self, budget: Budget, spent_usd: float = 0.0, spent_tokens: int = 0, answers: int = 0, *, is_priced: bool = True
    ) -> None:
        self.budget = budget
        self.spent_usd = spent_usd
        self.spent_tokens = spent_tokens
        self._is_priced = is_priced
        self._under_way = 0
        self._settled = answers
        self._settled_usd = spent_usd
        self._settled_tokens = spent_tokens

    @property
    def is_spent(self) -> bool:
        """Whether nothing may be asked any more, room set aside or not."""
        budget = self.budget
        unknown = budget.usd is not None and not self._is_priced
        dollars = budget.usd is not None and self.spent_usd >= budget.usd
        return unknown or dollars or (budget.tokens is not None and self.spent_tokens >= budget.tokens)

    @property
    def has_room(self) -> bool:
        """Whether one more request may start now. If not, an answer that comes in may make room."""
        if self.is_spent:
            return False
        if not self._settled:
            return self._under_way == 0
        budget, requests = self.budget, self._under_way + 1
        usd = self.spent_usd + requests * self._settled_usd / self._settled
        tokens = self.spent_tokens + requests * self._settled_tokens / self._settled
        return (budget.usd is None or usd <= budget.usd * _ROUNDING) and (
            budget.tokens is None or tokens <= budget.tokens
        )

    def start(self) -> None:
        """A request starts: set its room aside."""
        self._under_way += 1

    def settle(self, usd: float | None, tokens: int) -> None:
        """A request ended.

        Args:
            usd: what it cost, rejected answers on the way included; None where a price is not known.
            tokens: in and out.
        """
        self._under_way -= 1
        self.spent_usd += usd or 0.0
        self.spent_tokens += tokens
        self._is_priced = self._is_priced and usd is not None
        if tokens:
            self._settled += 1
            self._settled_usd += usd or 0.0
            self._settled_tokens += tokens

    @property
    def reason(self) -> str:
        """Why nothing more is asked, and how to go on."""
        spent = f"{self.spent_usd:.4f} USD and {self.spent_tokens:,} tokens are spent"
        if self.budget.usd is not None and not self._is_priced:
            return (
                f"an answer came whose price is not known, so budget={self.budget} cannot be kept; {spent}. "
                "Give the budget in tokens, or ask models whose price is known"
            )
        return (
            f"budget={self.budget} is spent: {spent}, and the next answer would be beyond it. "
            "Raise the budget and run the task again: it pays only for the rest"
        )
