"""Quotas as Bedrock keeps them: request rate, tokens per minute, tokens per day, calls at once.

Pure: every method takes `now` in seconds. A call is admitted or refused at its start, where all its input tokens and
its `maxTokens` are reserved; at its end the reservation is settled for what it really used, output times the model's
burndown. Cache reads are reserved but not counted in the end.
"""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from .wire_errors import ErrorReply, preset

__all__ = ["Demand", "Limit", "Limits", "Ticket"]

LimitKind = Literal["requests_per_second", "tokens_per_minute", "tokens_per_day", "concurrency"]
_ERRORS: dict[str, str] = {
    "requests_per_second": "too_many_requests",
    "tokens_per_minute": "too_many_tokens",
    "tokens_per_day": "daily_quota",
    "concurrency": "overloaded",
}
_WINDOW_SECONDS = {"requests_per_second": 1.0, "tokens_per_minute": 60.0, "tokens_per_day": 86_400.0}


class Demand(NamedTuple):
    """What a call asks for at its start. `quota_key` is the id asked for: `us.` and `global.` are metered apart."""

    account: str
    region: str
    quota_key: str
    model_id: str
    reserved_tokens: int


@dataclass(frozen=True, slots=True)
class Limit:
    """One quota: `amount` per second, minute or day, or calls at once.

    `burst` is what may be taken at once after a pause (default: `amount`). `scope` "model" gives each model id and
    region of an account its own quota, "account" one for all that match. `model` and `region` are shell patterns.
    """

    kind: LimitKind
    amount: float
    burst: float | None = None
    scope: Literal["model", "account"] = "model"
    model: str = "*"
    region: str = "*"

    def __post_init__(self) -> None:
        if self.kind not in _ERRORS:
            raise ValueError(f"kind={self.kind!r} is not a limit. Use one of: {', '.join(_ERRORS)}.")
        if self.amount < 0:
            raise ValueError(f"amount={self.amount} is below 0. Give a limit of 0 or more.")
        if self.scope not in {"model", "account"}:
            raise ValueError(f"scope={self.scope!r} is not known. Use model or account.")

    def concerns(self, demand: Demand) -> bool:
        fits = fnmatch.fnmatchcase
        return fits(demand.region, self.region) and (
            fits(demand.quota_key, self.model) or fits(demand.model_id, self.model)
        )

    def key(self, demand: Demand) -> tuple[str, ...]:
        if self.scope == "account":
            return (demand.account,)
        return (demand.account, demand.region, demand.quota_key)


@dataclass(slots=True)
class _Meter:
    """A bucket that refills all the time; for `concurrency` simply a count."""

    capacity: float
    per_second: float
    level: float
    at: float

    def refill(self, now: float) -> None:
        self.level = min(self.capacity, self.level + (now - self.at) * self.per_second)
        self.at = now


@dataclass(slots=True)
class Ticket:
    """An admitted call's claims, to be settled when it ends."""

    claims: list[tuple[Limit, _Meter, float]] = field(default_factory=list)


class Limits:
    """All quotas of an endpoint; changeable at any time."""

    def __init__(self) -> None:
        self._limits: tuple[Limit, ...] = ()
        self._meters: dict[tuple[Limit, tuple[str, ...]], _Meter] = {}

    @property
    def current(self) -> tuple[Limit, ...]:
        return self._limits

    def replace(self, limits: tuple[Limit, ...]) -> None:
        """Set the quotas; those that were there before keep their fill."""
        self._limits = tuple(limits)
        self._meters = {key: meter for key, meter in self._meters.items() if key[0] in self._limits}

    def admit(self, demand: Demand, now: float) -> Ticket | ErrorReply:
        """Claim what the call asks for under every quota that concerns it, or the error of the first that is spent."""
        ticket = Ticket()
        for limit in self._limits:
            if not limit.concerns(demand):
                continue
            meter = self._meter(limit, demand, now)
            amount = 1.0 if limit.kind in {"requests_per_second", "concurrency"} else demand.reserved_tokens
            if meter.level < amount:
                self._give_back(ticket)
                return preset(_ERRORS[limit.kind])
            meter.level -= amount
            ticket.claims.append((limit, meter, float(amount)))
        return ticket

    def settle(self, ticket: Ticket, used_tokens: float, now: float) -> None:
        """End a call: free its place, and replace its reservation by `used_tokens`."""
        for limit, meter, amount in ticket.claims:
            if limit.kind == "concurrency":
                meter.level += 1
            elif limit.kind != "requests_per_second":
                meter.refill(now)
                meter.level = min(meter.capacity, meter.level + amount - used_tokens)
        ticket.claims.clear()

    def _meter(self, limit: Limit, demand: Demand, now: float) -> _Meter:
        key = (limit, limit.key(demand))
        meter = self._meters.get(key)
        if meter is None:
            capacity = limit.amount if limit.burst is None else limit.burst
            window_seconds = _WINDOW_SECONDS.get(limit.kind)
            rate = limit.amount / window_seconds if window_seconds else 0.0
            meter = self._meters[key] = _Meter(capacity, rate, capacity, now)
        meter.refill(now)
        return meter

    @staticmethod
    def _give_back(ticket: Ticket) -> None:
        for _, meter, amount in ticket.claims:
            meter.level += amount
        ticket.claims.clear()
