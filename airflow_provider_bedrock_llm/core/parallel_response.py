"""What came of many requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping  # noqa: TC003 - a type of public fields
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_bedrock_llm.core.response import BedrockResponse

__all__ = ["ParallelExecutionStats", "ParallelResponse"]


@dataclass(frozen=True, slots=True)
class ParallelExecutionStats:
    """Measured, not planned.

    Args:
        total_requests: requests that were given.
        successful_requests: those with an answer.
        failed_request_count: those that ended without one.
        not_started: those that the failure policy kept from starting.
        average_request_duration_ms: of the requests that ended, waits and retries included.
        max_request_duration_ms: the longest.
        region_distribution: calls per region, retries included.
        throttled_calls: calls that AWS throttled.
        cost_usd: what the answers cost; None where a price is not known.
    """

    total_requests: int
    successful_requests: int
    failed_request_count: int
    not_started: int
    average_request_duration_ms: float
    max_request_duration_ms: float
    region_distribution: Mapping[str, int]
    throttled_calls: int
    cost_usd: float | None


@dataclass(frozen=True, slots=True)
class ParallelResponse:
    """The responses to many requests.

    Args:
        success: whether every request has an answer.
        request_responses: request id -> response, for every request that started, in the order of the requests.
        not_started: ids of the requests that never started.
        total_duration_ms: from the first to the last.
        stopped_because: why requests were kept from starting, None where none was.
    """

    success: bool
    request_responses: Mapping[str, BedrockResponse]
    not_started: tuple[str, ...]
    total_duration_ms: float
    stopped_because: str | None = None

    @property
    def failed_requests(self) -> list[str]:
        """Ids of the requests that started and have no answer."""
        return [name for name, response in self.request_responses.items() if not response.success]

    def get_successful_responses(self) -> dict[str, BedrockResponse]:
        """Those with an answer."""
        return {name: response for name, response in self.request_responses.items() if response.success}

    def get_failed_responses(self) -> dict[str, BedrockResponse]:
        """Those that ended without one, with their attempts and errors."""
        return {name: response for name, response in self.request_responses.items() if not response.success}

    def get_success_rate(self) -> float:
        """Share of all requests with an answer, 0.0 to 1.0."""
        total = len(self.request_responses) + len(self.not_started)
        return len(self.get_successful_responses()) / total if total else 0.0

    @property
    def parallel_execution_stats(self) -> ParallelExecutionStats:
        """Counted from the attempts."""
        responses = list(self.request_responses.values())
        attempts = [attempt for response in responses for attempt in response.attempts]
        durations = [response.total_duration_ms for response in responses]
        costs = [response.cost_usd for response in responses if response.cost_usd is not None]
        return ParallelExecutionStats(
            total_requests=len(responses) + len(self.not_started),
            successful_requests=sum(response.success for response in responses),
            failed_request_count=sum(not response.success for response in responses),
            not_started=len(self.not_started),
            average_request_duration_ms=sum(durations) / len(durations) if durations else 0.0,
            max_request_duration_ms=max(durations, default=0.0),
            region_distribution=dict(Counter(attempt.region_used for attempt in attempts)),
            throttled_calls=sum(attempt.fault == "throttled" for attempt in attempts),
            cost_usd=sum(costs) if len(costs) == len(responses) else None,
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe."""
        return {
            "success": self.success,
            "request_responses": {name: response.to_dict() for name, response in self.request_responses.items()},
            "not_started": list(self.not_started),
            "total_duration_ms": self.total_duration_ms,
            "stopped_because": self.stopped_because,
        }
