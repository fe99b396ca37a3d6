"""What calls took, for Airflow's metrics: StatsD, DogStatsD or OpenTelemetry, as `[metrics]` says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import Stats

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_bedrock_llm.core.retry_stats import RetryStats, RouteStats

__all__ = ["CallMetrics", "metric_tags"]

_FORBIDDEN = re.compile(r"[^A-Za-z0-9_.\-]")


class CallMetrics:
    """Sends by how much the counts have grown since the last time, per model and region.

    Args:
        stats: what is counted. It only grows.
        tags: of every metric, besides `model` and `region`.
    """

    def __init__(self, stats: RetryStats, tags: Mapping[str, str]) -> None:
        self._stats = stats
        self._tags = metric_tags(tags)
        self._sent: dict[tuple[str, str], tuple[dict[str, int], float]] = {}

    def send(self) -> None:
        """Send what is new."""
        for place, route in self._stats.routes.items():
            before, seconds_before = self._sent.get(place, ({}, 0.0))
            now = _counters(route)
            calls = now["calls"] - before.get("calls", 0)
            if not calls:
                continue
            self._sent[place] = (now, route.seconds)
            tags = self._tags | metric_tags({"model": place[0], "region": place[1]})
            for name, value in now.items():
                if grown := value - before.get(name, 0):
                    Stats.incr(f"bedrock_llm.{name}", grown, tags=tags)
            Stats.timing("bedrock_llm.latency", (route.seconds - seconds_before) / calls * 1000, tags=tags)

    def send_in_flight(self, count: int) -> None:
        """Send how many requests are under way."""
        Stats.gauge("bedrock_llm.in_flight", count, tags=self._tags)


def metric_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """The values as every backend takes them: a colon, as in `v1:0`, ends a name in StatsD's line."""
    return {name: _FORBIDDEN.sub("_", value) for name, value in tags.items()}


def _counters(route: RouteStats) -> dict[str, int]:
    usage = route.usage
    return {
        "calls": route.calls,
        "failures": route.calls - route.succeeded,
        "throttles": route.throttled,
        "tokens.input": usage.input_tokens,
        "tokens.output": usage.output_tokens,
        "tokens.cache_read": usage.cache_read_input_tokens,
        "tokens.cache_write": usage.cache_write_input_tokens,
        "cost_micro_usd": round(route.cost_usd * 1_000_000),
    }
