"""How many calls each route can take now, learned from what came back, and shared by all requests of a process.

Two small machines per route (a model id in a region):

- a window of calls in flight that halves when the route throttles and grows while it does not (additive increase,
  multiplicative decrease, once per wave: calls that were already under way when the window shrank do not shrink it
  again);
- a breaker that lets a route rest after failures in a row, or at once where it cannot serve anyone (a model that needs
  a profile, a day's quota that is used up), then sends one probe: a dead route costs one call per rest, not one per
  request.

Neither knows a clock or a lock: callers pass `now`, and hold a lock where threads share it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.core.faults import Fault, Reaction

if TYPE_CHECKING:
    from airflow_provider_bedrock_llm.core.routes import Route

__all__ = ["LimiterConfig", "RouteBook", "RouteState", "Ticket"]


@dataclass(frozen=True, slots=True)
class LimiterConfig:
    """How the limits learn.

    Args:
        max_in_flight: calls in flight per route at most; the window starts there.
        decrease: factor of the window at a throttling.
        increase_per_window: growth of the window for each window of answers.
        failures_to_rest: capacity failures in a row after which a route rests.
        rest_seconds: the first rest; it doubles up to `max_rest_seconds` while probes fail.
        max_rest_seconds: the longest rest, and that of a route that cannot serve anyone.
    """

    max_in_flight: int = 1_000_000
    decrease: float = 0.5
    increase_per_window: float = 1.0
    failures_to_rest: int = 3
    rest_seconds: float = 15.0
    max_rest_seconds: float = 120.0


@dataclass(slots=True)
class RouteState:
    """What is known of one route. Counters are for statistics, the rest decides."""

    window: float
    in_flight: int = 0
    shrunk_at: float = float("-inf")
    failures_in_row: int = 0
    rests: int = 0
    rest_until: float = float("-inf")
    probing: bool = False
    calls: int = 0
    succeeded: int = 0
    throttled: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Ticket:
    """A call that has started."""

    key: tuple[str, str]
    started_at: float


@dataclass(slots=True)
class RouteBook:
    """The routes of a process and what was learned of them.

    `waiters` belongs to the loops: where they meet who wait for a place, whichever engine they ask through.
    """

    config: LimiterConfig = field(default_factory=LimiterConfig)
    states: dict[tuple[str, str], RouteState] = field(default_factory=dict)
    waiters: Any = field(default=None, repr=False, compare=False)

    def state(self, route: Route) -> RouteState:
        """What is known of a route; a new route starts with an open window."""
        known = self.states.get(route.key)
        if known is None:
            known = self.states[route.key] = RouteState(window=float(self.config.max_in_flight))
        return known

    def is_resting(self, route: Route, now: float) -> bool:
        """Whether the route should be left alone: it rests, or its one probe is under way."""
        known = self.states.get(route.key)
        if known is None or known.rests == 0:
            return False
        return now < known.rest_until or known.probing

    def has_room(self, route: Route) -> bool:
        """Whether one more call fits into the route's window."""
        known = self.states.get(route.key)
        return known is None or known.in_flight < max(1, int(known.window))

    def start(self, route: Route, now: float) -> Ticket:
        """A call begins."""
        known = self.state(route)
        known.in_flight += 1
        known.calls += 1
        if known.rests:
            known.probing = True
        return Ticket(route.key, now)

    def finish(self, ticket: Ticket, fault: Fault | None, now: float) -> None:
        """A call ended.

        Args:
            ticket: what `start` gave.
            fault: what went wrong, None for an answer.
            now: when it ended.
        """
        known = self.states[ticket.key]
        known.in_flight -= 1
        if fault is None or fault is Fault.INVALID_ANSWER:
            self._succeeded(known)
        else:
            self._failed(known, ticket, fault, now)

    def _succeeded(self, known: RouteState) -> None:
        known.succeeded += 1
        known.failures_in_row = known.rests = 0
        known.probing = False
        if known.window < self.config.max_in_flight:
            grown = known.window + self.config.increase_per_window / max(1.0, known.window)
            known.window = min(float(self.config.max_in_flight), grown)

    def _failed(self, known: RouteState, ticket: Ticket, fault: Fault, now: float) -> None:
        known.failed += 1
        if fault is Fault.THROTTLED:
            known.throttled += 1
            if ticket.started_at > known.shrunk_at:
                # What was in flight is what the route could not take, whatever the window allowed.
                known.window = max(1.0, min(known.window, known.in_flight + 1) * self.config.decrease)
                known.shrunk_at = now
        elif fault.reaction is Reaction.MOVE_ON:
            self._rest(known, now, self.config.max_rest_seconds)
        elif fault.is_capacity:
            known.failures_in_row += 1
            if known.probing or known.failures_in_row >= self.config.failures_to_rest:
                self._rest(known, now, self.config.rest_seconds * 2.0 ** min(known.rests, 32))
        known.probing = False

    def _rest(self, known: RouteState, now: float, seconds: float) -> None:
        if now < known.rest_until:
            return
        seconds = min(self.config.max_rest_seconds, seconds)
        known.rests += 1
        known.rest_until = now + seconds
