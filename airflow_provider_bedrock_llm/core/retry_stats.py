"""What requests really took: counted from the attempts of each response, never from plans."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.core.faults import Fault
from airflow_provider_bedrock_llm.core.response import Usage

if TYPE_CHECKING:
    from airflow_provider_bedrock_llm.core.response import BedrockResponse, RequestAttempt

__all__ = ["RetryStats", "RouteStats"]


@dataclass(slots=True)
class RouteStats:
    """What the calls to one model in one region took.

    Args:
        calls: made.
        succeeded: calls with an answer that was used.
        throttled: calls that Bedrock throttled.
        seconds: the calls' durations, added up.
        usage: tokens of all answers, rejected ones included.
        cost_usd: as far as prices are known.
    """

    calls: int = 0
    succeeded: int = 0
    throttled: int = 0
    seconds: float = 0.0
    usage: Usage = field(default_factory=Usage)
    cost_usd: float = 0.0

    def add(self, attempt: RequestAttempt) -> None:
        """Count a call."""
        self.calls += 1
        self.succeeded += attempt.fault is None
        self.throttled += attempt.fault == str(Fault.THROTTLED)
        self.seconds += attempt.duration_seconds
        self.usage += attempt.usage
        self.cost_usd += attempt.cost_usd or 0.0


@dataclass(slots=True)
class RetryStats:
    """Adds up responses.

    Args:
        requests: those that ended.
        succeeded: those with an answer.
        calls: made for all of them.
        retries: calls after the first of a request: retries, failovers and answers that were asked for again.
        unanswered_but_perhaps_billed: calls without an answer that AWS may bill, such as read timeouts.
        faults: failed calls and rejected answers by cause.
        features_disabled: how often each feature was left out of what was answered.
        routes: by model id and region.
    """

    requests: int = 0
    succeeded: int = 0
    calls: int = 0
    retries: int = 0
    unanswered_but_perhaps_billed: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    features_disabled: Counter[str] = field(default_factory=Counter)
    routes: dict[tuple[str, str], RouteStats] = field(default_factory=dict)

    def add(self, response: BedrockResponse) -> None:
        """Count a response and all of its attempts."""
        self.requests += 1
        self.succeeded += response.success
        self.calls += len(response.attempts)
        self.retries += max(0, len(response.attempts) - 1)
        self.features_disabled.update(response.features_disabled)
        for attempt in response.attempts:
            route = self.routes.get((attempt.model_used, attempt.region_used))
            if route is None:
                route = self.routes[attempt.model_used, attempt.region_used] = RouteStats()
            route.add(attempt)
            self.unanswered_but_perhaps_billed += attempt.may_have_cost
            if attempt.fault is not None:
                self.faults[attempt.fault] += 1

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe, and a copy."""
        return {
            "requests": self.requests,
            "succeeded": self.succeeded,
            "failed": self.requests - self.succeeded,
            "calls": self.calls,
            "retries": self.retries,
            "throttled": self.faults[str(Fault.THROTTLED)],
            "unanswered_but_perhaps_billed": self.unanswered_but_perhaps_billed,
            "faults": dict(self.faults),
            "features_disabled": dict(self.features_disabled),
            "routes": {
                f"{model} in {region}": {
                    "calls": route.calls,
                    "succeeded": route.succeeded,
                    "throttled": route.throttled,
                }
                for (model, region), route in self.routes.items()
            },
        }
