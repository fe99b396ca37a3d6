"""Faults by script: which calls go wrong, and how.

A rule has a matcher (what kind of call), a schedule (which of those) and an action (what happens to it). The first
rule that fires wins. Pure: `decide` takes `now` in seconds and counts; draws come from each rule's own seed.
"""

from __future__ import annotations

import fnmatch
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

from .wire_errors import ErrorReply, preset

__all__ = ["ACTIONS", "FaultBook", "FaultRule", "Suspect"]

ACTIONS = frozenset(
    {
        "error",  # answer with `error` instead
        "hang",  # never answer, until the client leaves
        "cut",  # close the connection without an answer
        "cut_reply",  # close it in the middle of the answer (for a stream: after `after_events` events)
        "slow",  # answer, but `delay_seconds` later
        "stream_error",  # after `after_events` events, an exception frame made of `error`
        "stream_end",  # end cleanly after `after_events` events, without messageStop
        "stream_bad_crc",  # spoil the checksum of the event after `after_events`
        "stream_stall",  # after `after_events` events say nothing more, until the client leaves
    }
)


class Suspect(NamedTuple):
    """The call that rules look at. `text` is made only when a rule asks for it."""

    operation: str
    model_id: str
    asked_id: str
    region: str
    access_key: str
    metadata: Mapping[str, str]
    text: Callable[[], str]


@dataclass(frozen=True, slots=True)
class FaultRule:
    """Matcher, schedule and action of one fault.

    Matcher: `model` (base id or the id asked for), `region` and `operation` are shell patterns; `text` occurs in the
    prompt; `metadata` pairs are among the call's requestMetadata; `access_key` made the call.
    Schedule, in this order: `after` calls are left alone, then `first` calls (None: all) are candidates, of which
    `every` n-th is taken, with `probability` (seeded), and only for `seconds` since the rule was set.
    """

    name: str = ""
    action: str = "error"
    error: str | ErrorReply | None = None
    model: str = "*"
    region: str = "*"
    operation: str = "*"
    text: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    access_key: str = ""
    after: int = 0
    first: int | None = None
    every: int = 1
    probability: float = 1.0
    seed: int = 0
    seconds: float | None = None
    delay_seconds: float = 0.0
    after_events: int = 1

    def __post_init__(self) -> None:
        if self.action not in ACTIONS:
            raise ValueError(f"action={self.action!r} is not a fault. Use one of: {', '.join(sorted(ACTIONS))}.")
        if self.action in {"error", "stream_error"} and self.error is None:
            raise ValueError(
                f"error=None with action={self.action!r}. Name the error to answer with, such as 'internal'."
            )
        if self.every < 1:
            raise ValueError(f"every={self.every} is below 1. Use 1 for each call, 2 for every second one.")
        if not 0 <= self.probability <= 1:
            raise ValueError(f"probability={self.probability} is not within 0 and 1. Give a share of calls.")
        if isinstance(self.error, str):
            preset(self.error)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> FaultRule:
        """A rule from its JSON form; `error` is a preset's name or {code, status, message, ...}."""
        values = dict(document)
        unknown = sorted(set(values) - {one.name for one in fields(cls)})
        if unknown:
            known = ", ".join(one.name for one in fields(cls))
            raise ValueError(f"{unknown[0]!r} is not part of a fault rule. Use: {known}.")
        error = values.get("error")
        if isinstance(error, Mapping):
            body = error.get("raw_body")
            values["error"] = ErrorReply(**{**error, **({"raw_body": body.encode()} if isinstance(body, str) else {})})
        return cls(**values)

    @property
    def reply(self) -> ErrorReply:
        if isinstance(self.error, ErrorReply):
            return self.error
        return preset(self.error or "internal")

    def fits(self, call: Suspect) -> bool:
        matches = fnmatch.fnmatchcase
        return (
            matches(call.region, self.region)
            and matches(call.operation, self.operation)
            and (matches(call.model_id, self.model) or matches(call.asked_id, self.model))
            and (not self.access_key or call.access_key == self.access_key)
            and all(call.metadata.get(key) == value for key, value in self.metadata.items())
            and (not self.text or self.text in call.text())
        )


@dataclass(slots=True)
class _Running:
    rule: FaultRule
    set_at: float
    random: random.Random
    seen: int = 0
    fired: int = 0

    def takes(self, now: float) -> bool:
        rule = self.rule
        if rule.seconds is not None and now - self.set_at >= rule.seconds:
            return False
        self.seen += 1
        candidate = self.seen - rule.after
        if candidate < 1 or (rule.first is not None and candidate > rule.first):
            return False
        if candidate % rule.every:
            return False
        if rule.probability < 1 and self.random.random() >= rule.probability:
            return False
        self.fired += 1
        return True


class FaultBook:
    """The rules in force, in their order."""

    def __init__(self) -> None:
        self._rules: list[_Running] = []

    def __bool__(self) -> bool:
        return bool(self._rules)

    def add(self, rules: Iterable[FaultRule], now: float) -> None:
        self._rules += [_Running(rule, now, random.Random(rule.seed)) for rule in rules]  # noqa: S311 - repeatable on purpose

    def clear(self, name: str | None = None) -> None:
        """Drop all rules, or those of one name."""
        self._rules = [one for one in self._rules if name is not None and one.rule.name != name]

    def decide(self, call: Suspect, now: float) -> FaultRule | None:
        """The rule that this call meets, if any. A rule counts the calls that fit and that no earlier rule took."""
        taken = None
        for running in self._rules:
            if taken is None and running.rule.fits(call) and running.takes(now):
                taken = running.rule
        return taken

    def report(self) -> list[dict[str, Any]]:
        return [
            {"name": one.rule.name, "action": one.rule.action, "seen": one.seen, "fired": one.fired}
            for one in self._rules
        ]
