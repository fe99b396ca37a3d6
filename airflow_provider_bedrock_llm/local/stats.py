"""What the endpoint was asked: counts, tokens, calls in flight, and a log of the last calls.

Prompts and answers are kept only where `keep_bodies` says so.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CallRecord", "Stats"]

_METADATA_PAIRS = 200_000
_LOG_CALLS = 1_000


@dataclass(slots=True)
class CallRecord:
    """One call. `outcome` is "ok", the error's code, or what became of it: hang, cut, client_gone ..."""

    operation: str
    model_id: str = ""
    asked_id: str = ""
    region: str = ""
    outcome: str = ""
    status: int = 0
    request_id: str = ""
    access_key: str = ""
    started_at: float = 0.0
    seconds: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    metadata: Mapping[str, str] | None = None
    body: Any = None
    count: int = 0


class Stats:
    """Counters and the call log; one event loop writes, so no locks."""

    def __init__(self) -> None:
        self.keep_bodies = 0
        self.count = 0
        self.reset()

    def reset(self) -> None:
        """Begin a new count. Calls that are still under way belong to the old one, and are never seen again."""
        self.count += 1
        self.in_flight = self.peak_in_flight = 0
        self.calls: Counter[tuple[str, str, str, str]] = Counter()
        self.metadata: Counter[tuple[str, str]] = Counter()
        self.tokens: Counter[str] = Counter()
        self.log: deque[CallRecord] = deque(maxlen=_LOG_CALLS)
        self.bodies: deque[Any] = deque(maxlen=self.keep_bodies)

    def begin(self, operation: str) -> CallRecord:
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        return CallRecord(operation, started_at=time.time(), seconds=-time.perf_counter(), count=self.count)

    def end(self, record: CallRecord) -> None:
        if record.count != self.count:
            return
        self.in_flight -= 1
        record.seconds += time.perf_counter()
        self.calls[record.operation, record.asked_id, record.region, record.outcome] += 1
        if record.metadata:
            for pair in record.metadata.items():
                if pair in self.metadata or len(self.metadata) < _METADATA_PAIRS:
                    self.metadata[pair] += 1
        tokens = self.tokens
        tokens["input"] += record.input_tokens
        tokens["output"] += record.output_tokens
        tokens["cache_read"] += record.cache_read_tokens
        tokens["cache_write"] += record.cache_write_tokens
        self.log.append(record)
        if self.keep_bodies:
            told = ("operation", "asked_id", "region", "outcome", "body")
            self.bodies.append({name: getattr(record, name) for name in told})
        record.body = None

    def report(self) -> dict[str, Any]:
        """Totals, as `GET /_local/stats` gives them."""
        return {
            "calls": self.calls.total(),
            "by_operation": self._by(0),
            "by_model": self._by(1),
            "by_region": self._by(2),
            "by_outcome": self._by(3),
            "detail": [
                {"operation": op, "model": model, "region": region, "outcome": outcome, "calls": calls}
                for (op, model, region, outcome), calls in self.calls.items()
            ],
            "in_flight": self.in_flight,
            "peak_in_flight": self.peak_in_flight,
            "input_tokens": self.tokens["input"],
            "output_tokens": self.tokens["output"],
            "cache_read_tokens": self.tokens["cache_read"],
            "cache_write_tokens": self.tokens["cache_write"],
        }

    def by_metadata(self, key: str) -> dict[str, int]:
        """How many calls carried each value of one requestMetadata key."""
        return {value: calls for (name, value), calls in self.metadata.items() if name == key}

    def recent(self, count: int) -> list[dict[str, Any]]:
        return [{**asdict(one), "body": None} for one in list(self.log)[-count:]]

    def _by(self, place: int) -> dict[str, int]:
        totals: Counter[str] = Counter()
        for key, calls in self.calls.items():
            totals[key[place]] += calls
        return dict(totals)
