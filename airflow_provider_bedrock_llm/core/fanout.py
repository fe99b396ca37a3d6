"""Many requests: how many may start, and when to stop. A machine without clock or network."""

from __future__ import annotations

from dataclasses import dataclass, field

from airflow_provider_bedrock_llm.core.config import FailureHandlingStrategy, ParallelProcessingConfig
from airflow_provider_bedrock_llm.core.errors import (
    AuthenticationError,
    ConfigurationError,
    LLMManagerError,
    ModelAccessError,
    QuotaExhaustedError,
)

__all__ = ["Fanout"]

_SHARED_BY_ALL = (AuthenticationError, ConfigurationError, ModelAccessError, QuotaExhaustedError)
_HOPELESS_AFTER = 20
"""So many failures in a row for a cause that all requests share: asking a million more would only make noise."""


@dataclass(slots=True)
class Fanout:
    """Counts what runs and says whether more may start.

    What has started is always awaited: its answer is paid for.

    Args:
        config: concurrency and failure policy.
    """

    config: ParallelProcessingConfig = field(default_factory=ParallelProcessingConfig)
    started: int = 0
    succeeded: int = 0
    failed: int = 0
    stopped_because: str | None = None
    shared_failures_in_row: int = 0

    @property
    def in_flight(self) -> int:
        """Requests that have started and not ended."""
        return self.started - self.succeeded - self.failed

    @property
    def may_start(self) -> bool:
        """Whether one more request may start now."""
        return self.stopped_because is None and self.in_flight < self.config.max_concurrent_requests

    def start(self) -> None:
        """A request starts."""
        self.started += 1

    def finish(self, error: LLMManagerError | None = None) -> None:
        """A request ended; its error, or the failure policy, may stop the rest.

        Args:
            error: why it has no answer; None for an answer.
        """
        if error is None:
            self.succeeded += 1
            self.shared_failures_in_row = 0
            return
        self.failed += 1
        self.shared_failures_in_row = self.shared_failures_in_row + 1 if isinstance(error, _SHARED_BY_ALL) else 0
        if self.shared_failures_in_row >= _HOPELESS_AFTER:
            self.stop(f"{_HOPELESS_AFTER} requests in a row failed for a cause that all share: {error}")
        self._apply_policy()

    def withdraw(self, reason: str) -> None:
        """A request that had started was not sent after all, and neither is anything else.

        Args:
            reason: why.
        """
        self.started -= 1
        self.stop(reason)

    def stop(self, reason: str) -> None:
        """Start nothing more. The first reason stays."""
        if self.stopped_because is None:
            self.stopped_because = reason

    def _apply_policy(self) -> None:
        policy = self.config.failure_handling_strategy
        if policy is FailureHandlingStrategy.STOP_ON_FIRST_FAILURE:
            self.stop("a request failed and the policy is stop_on_first_failure")
        elif policy is FailureHandlingStrategy.STOP_ON_THRESHOLD:
            ended = self.succeeded + self.failed
            enough = ended >= self.config.failure_threshold_minimum
            if enough and self.failed / ended > self.config.failure_threshold:
                self.stop(
                    f"{self.failed} of {ended} requests failed, more than failure_threshold="
                    f"{self.config.failure_threshold:g}"
                )
