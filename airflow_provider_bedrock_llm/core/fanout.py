"""Many requests: how many may start, and when to stop. A machine without clock or network."""

from __future__ import annotations

from dataclasses import dataclass, field

from airflow_provider_bedrock_llm.core.config import FailureHandlingStrategy, ParallelProcessingConfig

__all__ = ["Fanout"]


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

    def finish(self, *, succeeded: bool) -> None:
        """A request ended; the failure policy may stop the rest."""
        if succeeded:
            self.succeeded += 1
        else:
            self.failed += 1
            self._apply_policy()

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
