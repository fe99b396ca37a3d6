"""How a job stands, as a value: written to manifest.json each second, for people and for whoever resumes."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_bedrock_llm.jobs.storage import Location

__all__ = ["MANIFEST_FILE", "Counts", "Manifest", "Phase", "State", "Summary"]

MANIFEST_FILE = "manifest.json"

State = Literal["running", "succeeded", "failed", "stopped"]
Phase = Literal["checking", "resuming", "batch", "asking", "writing", "ended"]


@dataclass(frozen=True, slots=True)
class Counts:
    """Records of a job.

    Args:
        total: all of them; None until the source was read once.
        done: succeeded, failed and skipped ones.
        succeeded: with an answer, reused ones included.
        failed: without one, though asked.
        skipped: not asked, because the row is bad.
        reused: answered from results that were there already, or by another record that asks the same.
    """

    total: int | None = None
    done: int = 0
    succeeded: int = 0
    failed: int = 0
    skipped: int = 0
    reused: int = 0


@dataclass(frozen=True, slots=True)
class Manifest:
    """A job as manifest.json shows it. Money and tokens are those of the whole job, earlier runners included.

    Args:
        state: running, succeeded (every record has an outcome), failed, stopped (resumable on request).
        phase: what it is doing.
        counts: of records.
        rows_per_second: records that were asked, over the last half minute.
        eta_seconds: at that speed; None while unknown.
        usage: tokens, in Bedrock's names.
        cost_usd: None where the price of something is unknown; `known_cost_usd` has the rest.
        known_cost_usd: what is known of the cost.
        unpriced: answers whose price is unknown.
        throttled: calls that Bedrock throttled.
        in_flight: requests under way.
        batch: AWS batch jobs of this run: jobs, ended, records, processed; empty where there are none.
        failures: failed and skipped records by cause.
        features_disabled: answers that came without a feature of their request, by feature, because the model refused
            it (`RetryConfig.enable_feature_fallback`).
        failed_samples: why the latest twenty failed or skipped records have no answer: `id`, `cause`, `message`. The
            records themselves, their prompts and what was answered are in the output alone.
        routes: per "model id in region", where a profile's id stands for the model's if it was called by it: calls,
            succeeded, throttled, cost_usd, tokens, and of these input, output, cache_read and cache_write.
        timeline: at most 120 points over the job's running time: `seconds`, `done`, `cost_usd`, `throttled`.
        job_uri: the job's folder.
        output_uri: the output; None until it is written.
        epoch: of the runner.
        runner: host and process.
        token: names the run of the task, so that a second runner of the same run knows a finished job as its own.
        fingerprint: of description and source, of the run that read the source through; None before.
        started_at: of this runner, ISO 8601.
        updated_at: when this was written.
        error: why it failed or stopped.
        budget: the most that may be spent, `usd` and `tokens`; None where there is no budget.
        is_out_of_budget: whether the budget ended it.
    """

    state: State
    phase: Phase
    job_uri: str
    epoch: int
    runner: Mapping[str, str | int]
    started_at: str
    updated_at: str
    counts: Counts = field(default_factory=Counts)
    rows_per_second: float = 0.0
    eta_seconds: float | None = None
    usage: Mapping[str, int] = field(default_factory=dict)
    cost_usd: float | None = 0.0
    known_cost_usd: float = 0.0
    unpriced: int = 0
    throttled: int = 0
    in_flight: int = 0
    batch: Mapping[str, int] = field(default_factory=dict)
    failures: Mapping[str, int] = field(default_factory=dict)
    features_disabled: Mapping[str, int] = field(default_factory=dict)
    failed_samples: Sequence[Mapping[str, str | None]] = field(default_factory=list)
    routes: Mapping[str, Mapping[str, float | int | None]] = field(default_factory=dict)
    timeline: Sequence[Mapping[str, float]] = field(default_factory=list)
    output_uri: str | None = None
    token: str | None = None
    fingerprint: str | None = None
    error: str | None = None
    budget: Mapping[str, float | None] | None = None
    is_out_of_budget: bool = False

    def to_json(self) -> bytes:
        """As manifest.json holds it."""
        return json.dumps(asdict(self), ensure_ascii=False, indent=2).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """The reverse of `to_json`; what a newer version added is ignored."""
        raw = json.loads(data)
        known = {name: value for name, value in raw.items() if name in cls.__dataclass_fields__}
        return cls(**known | {"counts": Counts(**raw["counts"])})

    @classmethod
    def load(cls, folder: Location) -> Self | None:
        """Read it; None where there is none, or an unreadable one: it is a report, results do not depend on it."""
        try:
            return cls.from_json(folder.child(MANIFEST_FILE).read())
        except (OSError, ValueError, KeyError, TypeError):
            return None

    @property
    def progress_line(self) -> str:
        """How far it is, in one line for a log."""
        counts = self.counts
        total = "?" if counts.total is None else f"{counts.total:,}"
        parts = [f"{counts.done:,} of {total} rows, {self.rows_per_second:,.1f} rows/s"]
        if self.batch:
            jobs = f"batch: {self.batch['processed']:,} of {self.batch['records']:,} records processed"
            parts.append(f"{jobs}, {self.batch['ended']} of {self.batch['jobs']} jobs ended")
        if self.phase != "asking":
            parts.insert(0, self.phase)
        if self.eta_seconds is not None:
            parts.append(f"ETA {self.eta_seconds:,.0f} s")
        return ", ".join([*parts, f"{self.in_flight} in flight", *self._account])

    @property
    def closing_line(self) -> str:
        """How it ended, in one line for a log."""
        counts = self.counts
        ended = f"The job {self.state}: {counts.succeeded:,} rows with an answer, {counts.reused:,} of them reused"
        output = f"output: {self.output_uri}" if self.output_uri else f"folder: {self.job_uri}"
        return ", ".join([ended, *self._account, output])

    @property
    def _account(self) -> list[str]:
        causes = ", ".join(f"{cause} {count:,}" for cause, count in self.failures.items())
        cost = f"{self.known_cost_usd:.4f} USD" + (f" and {self.unpriced:,} unpriced answers" if self.unpriced else "")
        tokens = f"{self.usage.get('inputTokens', 0):,} tokens in, {self.usage.get('outputTokens', 0):,} out"
        without = [f"{count:,} without {feature}" for feature, count in self.features_disabled.items()]
        bad = self.counts.failed + self.counts.skipped
        failed = f"{bad:,} failed" + (f" ({causes})" if causes else "")
        return [failed, *without, f"{self.throttled:,} throttled", tokens, cost]

    @property
    def summary(self) -> Summary:
        """What may go into XCom and trigger events."""
        return Summary(
            state=self.state,
            job_uri=self.job_uri,
            output_uri=self.output_uri,
            counts=asdict(self.counts),
            usage=dict(self.usage),
            cost_usd=self.cost_usd,
            known_cost_usd=self.known_cost_usd,
            unpriced=self.unpriced,
            throttled=self.throttled,
            failures=dict(self.failures),
        )


@dataclass(frozen=True, slots=True)
class Summary:
    """A job's outcome in URIs and numbers: no prompt, no answer, no secret."""

    state: State
    job_uri: str
    output_uri: str | None
    counts: Mapping[str, int | None]
    usage: Mapping[str, int]
    cost_usd: float | None
    known_cost_usd: float
    unpriced: int
    throttled: int
    failures: Mapping[str, int]

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe."""
        return asdict(self)
