"""How a job stands while it runs: what it has spent, how fast it is, what it is doing; told as a `Manifest`."""

from __future__ import annotations

import os
import socket
import time
from collections import deque
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_provider_bedrock_llm.core.budget import Purse
from airflow_provider_bedrock_llm.jobs.manifest import Manifest, Phase, State
from airflow_provider_bedrock_llm.jobs.tally import Tally
from airflow_provider_bedrock_llm.jobs.timeline import Timeline

if TYPE_CHECKING:
    from airflow_provider_bedrock_llm.core.budget import Budget

__all__ = ["Speed", "Standing"]

_SPEED_WINDOW_SECONDS = 30.0


class Standing:
    """What is known of a job by the one that runs it.

    Args:
        job_uri: the job's folder.
        output_uri: where its output goes.
    """

    def __init__(self, job_uri: str, output_uri: str) -> None:
        self._job_uri = job_uri
        self._output_uri = output_uri
        self._began = time.monotonic()
        self._speed = Speed(self._began)
        self._timeline = Timeline()
        self.tally = Tally()
        self.runner: dict[str, str | int] = {"host": socket.gethostname(), "pid": os.getpid()}
        self.started_at = _iso(time.time())
        self.epoch = 0
        self.phase: Phase = "resuming"
        self.total: int | None = None
        """Records; None until the source was read."""
        self.fingerprint: str | None = None
        """Of description and source, once the source was read."""
        self.asked = 0
        """Records that this runner has asked and that have ended."""
        self.landed = 0
        """Answers that this runner has taken over from batch jobs."""
        self.batch: dict[str, int] = {}
        """Batch jobs and their records, as the manifest shows them."""
        self.is_out_of_budget = False
        """Whether the budget ended the asking."""
        self.purse: Purse | None = None
        self.in_flight = 0
        """Requests under way."""

    def go_on_from(self, before: Manifest) -> None:
        """Take over what only the manifest of an earlier runner knows."""
        self._timeline = Timeline(before.timeline)

    def purse_of(self, budget: Budget | None) -> Purse | None:
        """A budget, less what earlier runners have spent of it; None where there is none."""
        if budget is None:
            return None
        tally = self.tally
        answers = sum(route.succeeded for route in tally.routes.values())
        self.purse = Purse(budget, tally.known_cost_usd, sum(tally.tokens), answers, is_priced=not tally.unpriced)
        return self.purse

    @property
    def is_complete(self) -> bool:
        """Whether every record has an outcome."""
        return self.tally.done == self.total

    def manifest(self, state: State, reason: str | None = None, token: str | None = None) -> Manifest:
        """The job as manifest.json shows it now.

        Args:
            state: running, or how it ended.
            reason: why it failed or stopped.
            token: names the run of the task that ended it.
        """
        now = time.monotonic()
        self._speed.sample(now, self.asked)
        counts = self.tally.counts(self.total)
        if self.landed:  # read back from the journal, but not from an earlier run
            counts = replace(counts, reused=max(0, counts.reused - self.landed))
        point = (now - self._began, counts.done, self.tally.known_cost_usd, self.tally.throttled)
        self._timeline.add(*point)
        return Manifest(
            state=state,
            phase=self.phase,
            job_uri=self._job_uri,
            epoch=self.epoch,
            runner=self.runner,
            started_at=self.started_at,
            updated_at=_iso(time.time()),
            counts=counts,
            rows_per_second=round(self._speed.rows_per_second, 3),
            eta_seconds=self._speed.eta_seconds(None if self.total is None else self.total - counts.done),
            in_flight=self.in_flight,
            batch=self.batch,
            output_uri=self._output_uri if state == "succeeded" else None,
            token=token,
            fingerprint=self.fingerprint,
            error=reason,
            budget=None if self.purse is None else asdict(self.purse.budget),
            is_out_of_budget=self.is_out_of_budget,
            timeline=self._timeline.ending(*point),
            **self.tally.money,
        )


class Speed:
    """Rows per second over the last half minute, and what that means for the rest. Takes the time as an argument."""

    def __init__(self, now: float) -> None:
        self._samples: deque[tuple[float, int]] = deque([(now, 0)])

    def sample(self, now: float, asked: int) -> None:
        """Note how many were asked and ended until now."""
        self._samples.append((now, asked))
        while now - self._samples[1][0] > _SPEED_WINDOW_SECONDS:
            self._samples.popleft()

    @property
    def rows_per_second(self) -> float:
        """Over the window."""
        (since, before), (now, after) = self._samples[0], self._samples[-1]
        return (after - before) / (now - since) if now > since else 0.0

    def eta_seconds(self, remaining: int | None) -> float | None:
        """Time for the rest at that speed; None while unknown."""
        if remaining is None:
            return None
        speed = self.rows_per_second
        return round(remaining / speed, 1) if speed > 0 else (0.0 if remaining == 0 else None)


def _iso(seconds: float) -> str:
    """A point in time as the manifest writes it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
