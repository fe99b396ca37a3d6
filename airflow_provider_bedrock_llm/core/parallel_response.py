"""What came of many requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping  # noqa: TC003 - a type of public fields
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_bedrock_llm.core.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest
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
        requests: request id -> what was asked, so that it can be asked again. Not in `to_dict`.
    """

    success: bool
    request_responses: Mapping[str, BedrockResponse]
    not_started: tuple[str, ...]
    total_duration_ms: float
    stopped_because: str | None = None
    requests: Mapping[str, BedrockConverseRequest] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls,
        requests: Mapping[str, BedrockConverseRequest],
        responses: Mapping[str, BedrockResponse],
        total_duration_ms: float,
        stopped_because: str | None = None,
    ) -> Self:
        """Put responses into the order of their requests.

        Args:
            requests: all of them, by id.
            responses: of those that started.
            total_duration_ms: from the first to the last.
            stopped_because: why requests were kept from starting, if any were.
        """
        ordered = {name: responses[name] for name in requests if name in responses}
        return cls(
            success=len(ordered) == len(requests) and all(response.success for response in ordered.values()),
            request_responses=ordered,
            not_started=tuple(name for name in requests if name not in responses),
            total_duration_ms=total_duration_ms,
            stopped_because=stopped_because,
            requests=requests,
        )

    def requests_without_answer(self) -> dict[str, BedrockConverseRequest]:
        """What to ask again: the requests that failed, and those that never started, in their order.

        Raises:
            ConfigurationError: this response does not hold its requests.
        """
        answered = self.get_successful_responses()
        missing = [name for name in (*self.failed_requests, *self.not_started) if name not in self.requests]
        if missing:
            raise ConfigurationError(
                f"The response does not hold the request {missing[0]!r}, so it cannot be asked again. Give the "
                "ParallelResponse that `converse_parallel` returned."
            )
        return {name: request for name, request in self.requests.items() if name not in answered}

    def merge(self, later: Self) -> Self:
        """This run and a later one over what it left without an answer, as one.

        Args:
            later: its requests are among those of this one.
        """
        responses = dict(self.request_responses)
        for name, response in later.request_responses.items():
            before = responses.get(name)
            responses[name] = response if before is None else _both(before, response)
        duration_ms = self.total_duration_ms + later.total_duration_ms
        return type(self).of(self.requests, responses, duration_ms, later.stopped_because)

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


def _both(before: BedrockResponse, after: BedrockResponse) -> BedrockResponse:
    """The later response, with what the earlier one took."""
    costs = (before.cost_usd, after.cost_usd)
    return replace(
        after,
        attempts=(*before.attempts, *after.attempts),
        total_duration_ms=before.total_duration_ms + after.total_duration_ms,
        cost_usd=None if None in costs else sum(cost for cost in costs if cost is not None),
        warnings=(*before.warnings, *after.warnings),
    )
