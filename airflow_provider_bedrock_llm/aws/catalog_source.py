"""ListFoundationModels and ListInferenceProfiles over many regions at once -> answers and failures, by region."""

from __future__ import annotations

import logging
import queue
import random
import threading
import time
from collections.abc import Callable  # noqa: TC003 - a type of public fields
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.aws.failures import EXPECTED, failure_from
from airflow_provider_bedrock_llm.core.backoff import backoff_seconds
from airflow_provider_bedrock_llm.core.config import RetryConfig
from airflow_provider_bedrock_llm.core.faults import Fault, classify
from airflow_provider_bedrock_llm.core.learned import RegionAnswer, RegionFailure
from airflow_provider_bedrock_llm.core.transport import FailureKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    ClientFor = Callable[[str, str], Any]

__all__ = ["AwsCatalogSource", "Survey"]

log = logging.getLogger(__name__)

# Retried here over all regions together, on top of what the client does by itself: ListFoundationModels allows few
# calls per second, and a thousand workers start at once.
_RETRIES = RetryConfig(max_retries=4, retry_delay=0.5, max_retry_delay=8.0)
_RETRIED = frozenset({Fault.THROTTLED, Fault.OVERLOADED})
_DENIED = frozenset({Fault.DENIED, Fault.BAD_CREDENTIALS, Fault.NOT_IN_REGION, Fault.BAD_INPUT})


@dataclass(frozen=True, slots=True)
class Survey:
    """What the regions said.

    Attributes:
        answers: region -> its models and profiles.
        failures: region -> why it gave no answer.
    """

    answers: Mapping[str, RegionAnswer]
    failures: Mapping[str, RegionFailure]


RegionReport = tuple[str, RegionAnswer | RegionFailure]


@dataclass(frozen=True)
class AwsCatalogSource:
    """Asks AWS which models an account has.

    Args:
        client_for: (service, region) -> a boto3 client; the service is `bedrock`. It must be safe to call from threads.
        max_workers: how many regions are asked at a time.
        timeout_seconds: for all regions together; one that has not answered by then has failed.
        retry: backoff on throttling and on faults that pass.
        now: the time.
        sleep: waits for so many seconds.
        draw: a number in [0, 1), for the jitter.
    """

    client_for: ClientFor
    max_workers: int = 10
    timeout_seconds: float = 30.0
    retry: RetryConfig = _RETRIES
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    sleep: Callable[[float], None] = time.sleep
    draw: Callable[[], float] = random.random

    def __post_init__(self) -> None:
        if self.max_workers < 1:
            raise ValueError(f"max_workers={self.max_workers} asks nobody. Give at least 1.")
        if self.timeout_seconds <= 0:
            raise ValueError(f"timeout_seconds={self.timeout_seconds} leaves no time. Give a number above 0.")

    def survey(self, regions: Sequence[str]) -> Survey:
        """Ask every region. Nothing that AWS or the network does is raised: it is a failure of its region."""
        waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
        for region in regions:
            waiting.put(region)
        reports: queue.SimpleQueue[RegionReport | BaseException] = queue.SimpleQueue()
        for number in range(min(self.max_workers, len(regions))):
            # Daemons: a region that hangs must not hold up the end of the process.
            threading.Thread(
                target=self._work, args=(waiting, reports), name=f"bedrock-catalog-{number}", daemon=True
            ).start()
        return self._collect(regions, reports)

    def ask(self, region: str) -> RegionAnswer | RegionFailure:
        """Ask one region for its foundation models and for its system-defined and application profiles."""
        retry_number = 0
        while True:
            try:
                return self._ask_once(region)
            except EXPECTED as error:
                failure = failure_from(error, 0.0)
                fault = classify(failure)
                if fault in _RETRIED and retry_number < self.retry.max_retries:
                    retry_number += 1
                    self.sleep(backoff_seconds(self.retry, retry_number, self.draw(), failure.retry_after_seconds))
                    continue
                denied = fault in _DENIED and failure.kind is FailureKind.SERVICE
                return RegionFailure(self.now(), failure.code, failure.message, denied=denied)

    def _ask_once(self, region: str) -> RegionAnswer:
        client = self.client_for("bedrock", region)
        models = client.list_foundation_models()["modelSummaries"]
        profiles: list[Mapping[str, Any]] = []
        for kind in ("SYSTEM_DEFINED", "APPLICATION"):
            for page in client.get_paginator("list_inference_profiles").paginate(typeEquals=kind):
                profiles.extend(page["inferenceProfileSummaries"])
        return RegionAnswer(models, profiles)

    def _work(self, waiting: queue.SimpleQueue[str], reports: queue.SimpleQueue[RegionReport | BaseException]) -> None:
        while True:
            try:
                region = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                reports.put((region, self.ask(region)))
            except BaseException as error:  # noqa: BLE001 - a fault of this package is raised in the asking thread
                reports.put(error)
                return

    def _collect(self, regions: Iterable[str], reports: queue.SimpleQueue[RegionReport | BaseException]) -> Survey:
        answers: dict[str, RegionAnswer] = {}
        failures: dict[str, RegionFailure] = {}
        missing = set(regions)
        deadline = time.monotonic() + self.timeout_seconds
        while missing:
            try:
                report = reports.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                break
            if isinstance(report, BaseException):
                raise report
            region, told = report
            missing.discard(region)
            if isinstance(told, RegionAnswer):
                answers[region] = told
            else:
                failures[region] = told
                log.debug("Bedrock in %s gave no models: %s", region, told.code)
        for region in missing:
            failures[region] = RegionFailure(
                self.now(), "TimeoutError", f"no answer within {self.timeout_seconds:g} seconds"
            )
        return Survey(answers, failures)
