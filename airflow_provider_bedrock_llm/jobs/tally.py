"""What a job has spent and what came of it: journal lines, added up as they are written or read back."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.core.response import Usage
from airflow_provider_bedrock_llm.jobs.manifest import Counts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Tally"]

_MOST_SAMPLES = 20
_LONGEST_MESSAGE_CHARACTERS = 300


@dataclass(slots=True)
class _RouteTally:
    calls: int = 0
    succeeded: int = 0
    throttled: int = 0
    tokens: int = 0
    cost_usd: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0

    def add(self, tokens: Sequence[int], cost_usd: float) -> None:
        read, written, from_cache, to_cache = tokens
        self.input_tokens += read
        self.output_tokens += written
        self.cache_read_tokens += from_cache
        self.cache_write_tokens += to_cache
        self.tokens += read + written + from_cache + to_cache
        self.cost_usd += cost_usd

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
    samples: deque[dict[str, str | None]] = field(default_factory=lambda: deque(maxlen=_MOST_SAMPLES))

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
            route.add(call_tokens, call_cost or 0.0)
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
        route.add(tokens, cost_usd)

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

    def sample(self, record_id: str | None, cause: str, message: str) -> None:
        """Keep why a record failed or was skipped, for whoever looks at the job; the latest twenty are kept."""
        self.samples.append({"id": record_id, "cause": cause, "message": message[:_LONGEST_MESSAGE_CHARACTERS]})

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
            "failed_samples": list(self.samples),
            "routes": {route: tally.to_dict() for route, tally in list(self.routes.items())},
        }
