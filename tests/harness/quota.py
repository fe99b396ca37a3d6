"""A quota as AWS keeps it, and a client with one pacer, in simulated time."""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_bedrock_llm.core.pacer import Pacer


class Quota:
    """A bucket that refills at a steady rate."""

    def __init__(self, per_second: float, burst: float) -> None:
        self.per_second, self.burst, self.level, self._at = per_second, burst, burst, 0.0

    def add(self, now: float, amount: float) -> None:
        """Refill, and give back."""
        self.level = min(self.burst, self.level + (now - self._at) * self.per_second + amount)
        self._at = now

    def admits(self, now: float, amount: float) -> bool:
        """Claim, if there is so much."""
        self.add(now, 0.0)
        if self.level < amount:
            return False
        self.level -= amount
        return True


@dataclass
class Run:
    """What came of it."""

    answered_at: list[float] = field(default_factory=list)
    throttled_at: list[float] = field(default_factory=list)

    @property
    def answered(self) -> int:
        """Calls that were answered."""
        return len(self.answered_at)

    @property
    def throttled(self) -> int:
        """Calls that were thrown back."""
        return len(self.throttled_at)

    @property
    def seconds(self) -> float:
        """The time of the last answer."""
        return self.answered_at[-1]


def drive(
    pacer: Pacer,
    quota: Quota,
    *,
    calls: int,
    reserves: float = 1.0,
    uses: float = 1.0,
    in_flight: int = 64,
    latency_seconds: float = 0.2,
    refusal_seconds: float = 0.005,
    changes: Sequence[tuple[float, float]] = (),
) -> Run:
    """Make so many calls at the pacer's pace; `changes` are times and new rates of the quota."""
    run, order, free, left = Run(), itertools.count(), in_flight, calls
    events: list[tuple[float, int, str, Any]] = [(at, next(order), "change", rate) for at, rate in changes]
    heapq.heapify(events)
    now, tick = 0.0, -1.0
    while True:
        while free and left:
            wait = pacer.wait_seconds(now, reserves)
            if wait > 0:
                if not now < tick <= now + wait:
                    tick = now + wait + 1e-6
                    heapq.heappush(events, (tick, next(order), "tick", None))
                break
            free, left = free - 1, left - 1
            pacer.claim(now, reserves)
            if quota.admits(now, reserves):
                heapq.heappush(events, (now + latency_seconds, next(order), "answer", now))
            else:
                heapq.heappush(events, (now + refusal_seconds, next(order), "refusal", now))
        if run.answered == calls:
            return run
        now, _, what, value = heapq.heappop(events)
        while what == "tick" and now != tick:  # another one was set instead
            now, _, what, value = heapq.heappop(events)
        if what == "answer":
            free += 1
            run.answered_at.append(now)
            quota.add(now, reserves - uses)
            pacer.settle(now, reserves - uses)
        elif what == "refusal":
            free, left = free + 1, left + 1
            run.throttled_at.append(now)
            pacer.throttled(now, value, reserves)
        elif what == "change":
            quota.add(now, 0.0)
            quota.per_second = quota.burst = value
