"""What requests really took: counted from the attempts of each response, never from plans."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.core.faults import Fault

if TYPE_CHECKING:
    from airflow_provider_bedrock_llm.core.response import BedrockResponse

__all__ = ["RetryStats"]


@dataclass(slots=True)
class _RouteCount:
    calls: int = 0
    succeeded: int = 0
    throttled: int = 0


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
        routes: by "model id in region".
    """

    requests: int = 0
    succeeded: int = 0
    calls: int = 0
    retries: int = 0
    unanswered_but_perhaps_billed: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    features_disabled: Counter[str] = field(default_factory=Counter)
    routes: dict[str, _RouteCount] = field(default_factory=dict)

    def add(self, response: BedrockResponse) -> None:
        """Count a response and all of its attempts."""
        self.requests += 1
        self.succeeded += response.success
        self.calls += len(response.attempts)
        self.retries += max(0, len(response.attempts) - 1)
        self.features_disabled.update(response.features_disabled)
        for attempt in response.attempts:
            route = self.routes.setdefault(f"{attempt.model_used} in {attempt.region_used}", _RouteCount())
            route.calls += 1
            route.throttled += attempt.fault == str(Fault.THROTTLED)
            self.unanswered_but_perhaps_billed += attempt.may_have_cost
            if attempt.fault is None:
                route.succeeded += 1
            else:
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
                name: {"calls": route.calls, "succeeded": route.succeeded, "throttled": route.throttled}
                for name, route in self.routes.items()
            },
        }
