"""How fast a route may be asked, learned from its throttling: a mirror of the bucket that AWS keeps.

A quota is a bucket that refills at a steady rate, and a throttled call says one exact thing: at that moment the bucket
could not pay for the call. Between two such moments, what was claimed divided by the time is the refill rate, however
large the bucket is. So a pacer counts what calls claim, and at each throttling that is news (calls that were sent
before the last one tell nothing new) it takes that quotient as its rate, starts a little below it, and crosses it again
with growing speed: a quota that was raised is found within seconds, a quota that stays costs one throttled call in
about two hundred. What is left in the bucket meanwhile is not lost: the next crossing takes it.

The same machine counts calls or tokens. Before the first throttling, calls start as a burst and go on at a rate that
grows with each of them, so that the first throttling comes while few calls are on their way; tokens are only counted.
Tokens are claimed as Bedrock does it: a reservation at the start, replaced by what was used at the end.

Pure: callers pass `now`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["CALLS", "TOKENS", "PaceShape", "Pacer", "tokens_per_minute"]


@dataclass(frozen=True, slots=True)
class PaceShape:
    """What is assumed of a quota, and how it is explored.

    Args:
        first_burst: claims at once before anything is known; None to begin without a pace.
        first_per_second: rate after the burst, before anything is known.
        first_growth: growth of that rate with each claim of one.
        bucket_seconds: claims that may be saved up while nobody asks, in seconds of the rate.
        is_full_bucket: whether the bucket is known to hold just that when it is full, as AWS's quotas per minute do;
            then the first throttling tells the rate.
        first_cut: factor of the rate at the first throttling otherwise.
        blind_cut: factor of the rate at a throttling too soon after the last to measure anything.
        start_below: share of the measured rate by which a pace starts below it.
        cross_after_seconds: time until it crosses the measured rate again, at least.
        cross_after_calls: the same in calls: slow routes are not throttled more often in proportion.
        cross_before_seconds: time until it crosses the measured rate again, at most.
        most_per_second: the highest rate, where it is known.
    """

    first_burst: float | None = 30.0
    first_per_second: float = 120.0
    first_growth: float = 2.0
    bucket_seconds: float = 0.5
    is_full_bucket: bool = False
    first_cut: float = 0.5
    blind_cut: float = 0.7
    start_below: float = 0.04
    cross_after_seconds: float = 2.5
    cross_after_calls: float = 75.0
    cross_before_seconds: float = 60.0
    most_per_second: float = float("inf")


CALLS = PaceShape()
"""Quotas on requests: nothing is known of the bucket."""

TOKENS = PaceShape(first_burst=None, bucket_seconds=60.0, is_full_bucket=True, blind_cut=0.95)
"""Quotas on tokens per minute (AWS, "Token burndown"): counted until the first throttling, then paced."""


def tokens_per_minute(quota_tokens: float) -> PaceShape:
    """A quota on tokens that is known: the pace keeps to it from the start.

    Args:
        quota_tokens: tokens per minute; the bucket holds one minute's worth.
    """
    per_second = quota_tokens / 60.0
    return PaceShape(
        first_burst=quota_tokens,
        first_per_second=per_second,
        first_growth=0.0,
        bucket_seconds=60.0,
        first_cut=1.0,
        most_per_second=per_second,
    )


_MEASURABLE_CALLS = 3
_TELLING_CALLS = 10
_FIRST_BURST_SECONDS = 0.05
_LEAST_PER_SECOND = 0.1
_NEVER = float("-inf")
_NOTHING = 1e-9


@dataclass(slots=True)
class Pacer:
    """The pace of one route in one unit.

    Args:
        shape: what is assumed of the quota.
        rate: claims per second: the measured rate, or before that the one that is tried.
        level: claims that may start at once.
        filled_at: when `level` was right.
        is_learned: whether a throttling has been seen.
        seen_empty_at: when counting began: the last throttling that was news, or the first claim.
        claimed: claims since then, without those that were thrown back.
        calls: calls since then, without those that were thrown back.
        paced_seconds: time since then in which the pace was in use.
        cross_seconds: when the pace crosses the measured rate, in paced seconds.
    """

    shape: PaceShape = CALLS
    rate: float = field(init=False)
    level: float = field(init=False)
    filled_at: float = field(init=False, default=_NEVER)
    is_learned: bool = field(init=False, default=False)
    seen_empty_at: float = field(init=False, default=_NEVER)
    claimed: float = field(init=False, default=0.0)
    calls: int = field(init=False, default=0)
    paced_seconds: float = field(init=False, default=0.0)
    cross_seconds: float = field(init=False, default=1.0)

    def __post_init__(self) -> None:
        self.rate = self.shape.first_per_second
        self.level = self.shape.first_burst or 0.0

    @property
    def is_paced(self) -> bool:
        """Whether calls may have to wait at all."""
        return self.is_learned or self.shape.first_burst is not None

    @property
    def per_second(self) -> float:
        """The rate now: below the measured one after a throttling, above it in the end."""
        if not self.is_learned:
            return self.rate
        way = self.paced_seconds / self.cross_seconds - 1.0
        return min(self.shape.most_per_second, self.rate * (1.0 + self.shape.start_below * way * way * way))

    def wait_seconds(self, now: float, amount: float) -> float:
        """Time until so much may be claimed; 0 for at once."""
        if not self.is_paced:
            return 0.0
        rate = self.per_second
        level = min(self._room(rate), self.level + max(0.0, now - self.filled_at) * rate)
        missing = min(amount, self._room(rate)) - level
        return missing / rate if missing > _NOTHING else 0.0

    def claim(self, now: float, amount: float) -> None:
        """A call starts."""
        if self.seen_empty_at == _NEVER:
            self.seen_empty_at = self.filled_at = now
        self._refill(now)
        self.level -= amount
        self.claimed += amount
        self.calls += 1
        if not self.is_learned and self.level < (self.shape.first_burst or 0.0) / 2:
            self.rate += self.shape.first_growth * amount

    def settle(self, now: float, surplus: float) -> None:
        """A call used less than it claimed, by so much; more, where it is negative."""
        self._refill(now)
        self.claimed -= surplus
        self.level = min(self._room(self.per_second), self.level + surplus)

    def throttled(self, now: float, claimed_at: float, amount: float) -> None:
        """A call was thrown back.

        Args:
            now: when it was known.
            claimed_at: when the call started.
            amount: what it had claimed.
        """
        self._refill(now)
        if self.is_learned and claimed_at <= self.seen_empty_at:
            return
        self.claimed -= amount
        self.calls -= 1
        self._measure(now - self.seen_empty_at, max(amount, _NOTHING))
        calls_per_second = self.rate / (self.claimed / self.calls if self.claimed > 0 < self.calls else amount)
        self.is_learned = True
        self.seen_empty_at = now
        self.level = 0.0
        self.claimed = self.paced_seconds = 0.0
        self.calls = 0
        shape = self.shape
        wish = max(shape.cross_after_seconds, shape.cross_after_calls / calls_per_second)
        self.cross_seconds = min(shape.cross_before_seconds, wish)

    def _measure(self, seconds: float, amount: float) -> None:
        shape = self.shape
        if not self.is_learned:
            if not shape.is_full_bucket:
                self.rate *= shape.first_cut
            elif self.claimed >= _TELLING_CALLS * amount:
                self.rate = self.claimed / (shape.bucket_seconds + seconds)
            else:  # somebody else emptied the bucket
                self.rate = amount
        elif self.claimed >= _MEASURABLE_CALLS * amount:
            self.rate = min(self.per_second, self.claimed / seconds)
        else:
            self.rate = min(self.rate, self.per_second) * shape.blind_cut
        self.rate = max(self.rate, _LEAST_PER_SECOND * amount)

    def _refill(self, now: float) -> None:
        seconds = now - self.filled_at
        if not self.is_paced or seconds <= 0:
            return
        rate = self.per_second
        room = self._room(rate)
        if self.level < room:
            self.level = min(room, self.level + seconds * rate)
            if self.is_learned:
                self.paced_seconds += seconds
        self.filled_at = now

    def _room(self, rate: float) -> float:
        """What may be saved up."""
        if self.is_learned:
            return max(1.0, rate * self.shape.bucket_seconds)
        return max(self.shape.first_burst or 0.0, rate * _FIRST_BURST_SECONDS)
