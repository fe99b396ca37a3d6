"""How long an answer takes: fixed, or drawn from a seeded distribution, plus a time per output token."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

__all__ = ["Latency", "LatencyClock"]


@dataclass(frozen=True, slots=True)
class Latency:
    """A distribution of seconds until the answer (for a stream: until its first event).

    "fixed" takes `seconds`; "uniform" lies between `seconds` and `high_seconds`; "lognormal" has the median
    `seconds` and the shape `sigma`. Bedrock was recorded at a median of 2.3 s (Sonnet 4.5) and 0.46 s (Nova Micro).
    """

    kind: str = "fixed"
    seconds: float = 0.0
    high_seconds: float = 0.0
    sigma: float = 0.5
    seed: int = 0
    per_output_token_seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in {"fixed", "uniform", "lognormal"}:
            raise ValueError(f"kind={self.kind!r} is not a latency. Use fixed, uniform or lognormal.")
        if min(self.seconds, self.per_output_token_seconds, self.sigma) < 0:
            raise ValueError(f"{self} has a value below 0. Give times of 0 or more.")
        if self.kind == "uniform" and self.high_seconds < self.seconds:
            raise ValueError(
                f"high_seconds={self.high_seconds} is below seconds={self.seconds}. Give the larger one last."
            )
        if self.kind == "lognormal" and self.seconds <= 0:
            raise ValueError(f"seconds={self.seconds} is no median of a lognormal. Give one above 0.")


class LatencyClock:
    """Draws from a `Latency`; the same seed gives the same row of draws."""

    def __init__(self, latency: Latency) -> None:
        self.latency = latency
        self._random = random.Random(latency.seed)  # noqa: S311 - repeatable on purpose

    def draw(self) -> float:
        latency = self.latency
        if latency.kind == "fixed":
            return latency.seconds
        if latency.kind == "uniform":
            return self._random.uniform(latency.seconds, latency.high_seconds)
        return self._random.lognormvariate(math.log(latency.seconds), latency.sigma)
