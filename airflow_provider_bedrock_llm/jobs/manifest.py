"""How a job stands: counted as it goes, written to manifest.json each second, for people and for whoever resumes."""

from __future__ import annotations

import json
from collections import Counter, deque
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, Self

from airflow_provider_bedrock_llm.core.response import Usage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_bedrock_llm.jobs.storage import Location

__all__ = ["MANIFEST_FILE", "Counts", "Manifest", "Phase", "Speed", "State", "Summary", "Tally", "iso"]

MANIFEST_FILE = "manifest.json"

State = Literal["running", "succeeded", "failed", "stopped"]
Phase = Literal["checking", "resuming", "asking", "writing", "ended"]

_SPEED_WINDOW_SECONDS = 30.0


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
        failures: failed and skipped records by cause.
        features_disabled: answers that came without a feature of their request, by feature, because the model refused
            it (`RetryConfig.enable_feature_fallback`).
        routes: per "model id in region": calls, succeeded, throttled, tokens, cost_usd.
        job_uri: the job's folder.
        output_uri: the output; None until it is written.
        epoch: of the runner.
        runner: host and process.
        token: names the run of the task, so that a second runner of the same run knows a finished job as its own.
        fingerprint: of description and source, of the run that read the source through; None before.
        started_at: of this runner, ISO 8601.
        updated_at: when this was written.
        error: why it failed or stopped.
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
    failures: Mapping[str, int] = field(default_factory=dict)
    features_disabled: Mapping[str, int] = field(default_factory=dict)
    routes: Mapping[str, Mapping[str, float | int | None]] = field(default_factory=dict)
    output_uri: str | None = None
    token: str | None = None
    fingerprint: str | None = None
    error: str | None = None

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


@dataclass(slots=True)
class _RouteTally:
    calls: int = 0
    succeeded: int = 0
    throttled: int = 0
    tokens: int = 0
    cost_usd: float = 0.0

    def to_dict(self) -> dict[str, float | int]:
        return asdict(self) | {"cost_usd": round(self.cost_usd, 9)}


@dataclass(slots=True)
class Tally:
    """Adds up journal lines, read or written. What is counted live and what is counted after a crash is the same."""

    succeeded: int = 0
    failed: int = 0
    skipped: int = 0
    reused: int = 0
    tokens: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    known_cost_usd: float = 0.0
    unpriced: int = 0
    throttled: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    features_disabled: Counter[str] = field(default_factory=Counter)
    routes: dict[str, _RouteTally] = field(default_factory=dict)

    def spend(self, line: Mapping[str, Any]) -> None:
        """Add what a line of the journal says of tokens, money and calls."""
        tokens, cost = line["usage"], line["cost_usd"]
        calls = line.get("calls")
        if calls is None:
            self.spend_simply(f"{line['model']} in {line['region']}", 1, tokens, cost or 0.0, cost is None)
            return
        self._add(tokens, cost or 0.0, cost is None and any(tokens))
        self.features_disabled.update(line.get("features_disabled", ()))
        for name, fault, call_tokens, call_cost in calls:
            route = self._route(name)
            route.calls += 1
            route.tokens += call_tokens
            route.cost_usd += call_cost or 0.0
            route.succeeded += fault is None
            route.throttled += fault == "throttled"
            self.throttled += fault == "throttled"

    def spend_simply(self, name: str, calls: int, tokens: Sequence[int], cost_usd: float, unpriced: int) -> None:
        """Add answers that came at the first call.

        Args:
            name: "model id in region".
            calls: how many.
            tokens: input, output, cache read, cache write.
            cost_usd: as far as it is known.
            unpriced: for how many it is not.
        """
        self._add(tokens, cost_usd, unpriced)
        route = self._route(name)
        route.calls += calls
        route.succeeded += calls
        route.tokens += sum(tokens)
        route.cost_usd += cost_usd

    def _add(self, tokens: Sequence[int], cost_usd: float, unpriced: int) -> None:
        mine = self.tokens
        for column, count in enumerate(tokens):
            mine[column] += count
        self.known_cost_usd += cost_usd
        self.unpriced += unpriced

    def _route(self, name: str) -> _RouteTally:
        route = self.routes.get(name)
        if route is None:
            route = self.routes[name] = _RouteTally()
        return route

    def reuse(self, count: int) -> None:
        """Records have an answer that was there already."""
        self.succeeded += count
        self.reused += count

    def fail(self, cause: str, count: int = 1) -> None:
        """Records were asked and have no answer."""
        if count:
            self.failed += count
            self.failures[cause] += count

    def skip(self, cause: str) -> None:
        """A row is bad."""
        self.skipped += 1
        self.failures[cause] += 1

    @property
    def done(self) -> int:
        """Records with an outcome."""
        return self.succeeded + self.failed + self.skipped

    def counts(self, total: int | None) -> Counts:
        """As the manifest shows them."""
        return Counts(total, self.done, self.succeeded, self.failed, self.skipped, self.reused)

    @property
    def money(self) -> dict[str, Any]:
        """Fields of the manifest about tokens, money and calls."""
        return {
            "usage": Usage(*self.tokens).to_wire(),
            "cost_usd": round(self.known_cost_usd, 9) if not self.unpriced else None,
            "known_cost_usd": round(self.known_cost_usd, 9),
            "unpriced": self.unpriced,
            "throttled": self.throttled,
            "failures": dict(self.failures),
            "features_disabled": dict(self.features_disabled),
            "routes": {route: tally.to_dict() for route, tally in list(self.routes.items())},
        }


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


def iso(seconds: float) -> str:
    """A point in time as the manifest writes it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
