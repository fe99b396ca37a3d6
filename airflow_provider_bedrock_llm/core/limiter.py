"""How many calls each route can take now, learned from what came back, and shared by all requests of a process.

Three small machines per route (a model id in a region):

- a pace, in calls and in tokens, learned from throttling (`pacer`): quotas are rates, and a bound on calls in flight
  would meet them only by swinging around them;
- a window of calls in flight that halves when the route has no capacity and grows with each answer (once per wave:
  calls that were already under way when the window shrank do not shrink it again);
- a breaker that lets a route rest after failures in a row, or at once where it cannot serve anyone (a model that needs
  a profile, a day's quota that is used up), then sends one probe: a dead route costs one call per rest, not one per
  request.

None knows a clock or a lock: callers pass `now`, and hold a lock where threads share it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.core.faults import Fault, Reaction
from airflow_provider_bedrock_llm.core.pacer import CALLS, TOKENS, Pacer, PaceShape, tokens_per_minute

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_bedrock_llm.core.routes import Route

__all__ = ["LimiterConfig", "RouteBook", "RouteState", "Ticket"]

_SERVING_SECONDS = 60.0
"""Quotas count per minute: a route that answered within one is alive, however it throttles."""


@dataclass(frozen=True, slots=True)
class LimiterConfig:
    """How the limits learn.

    Args:
        max_in_flight: calls in flight per route at most; the window starts there.
        decrease: factor of the window when the route has no capacity.
        increase_per_answer: growth of the window with each answer.
        calls: what is assumed of quotas on requests.
        tokens: what is assumed of quotas on tokens.
        tokens_per_minute: quotas that are known, by the id that goes on the wire; each holds in every region.
        patience_seconds: a route where a call would wait longer is left for another one.
        failures_to_rest: capacity failures in a row after which a route rests.
        rest_seconds: the first rest; it doubles up to `max_rest_seconds` while probes fail.
        max_rest_seconds: the longest rest, and that of a route that cannot serve anyone.
    """

    max_in_flight: int = 1_000_000
    decrease: float = 0.5
    increase_per_answer: float = 0.25
    calls: PaceShape = CALLS
    tokens: PaceShape = TOKENS
    tokens_per_minute: Mapping[str, float] = field(default_factory=dict)
    patience_seconds: float = 1.0
    failures_to_rest: int = 3
    rest_seconds: float = 15.0
    max_rest_seconds: float = 120.0


@dataclass(slots=True)
class RouteState:
    """What is known of one route. Counters are for statistics, the rest decides."""

    window: float
    call_pace: Pacer = field(default_factory=Pacer)
    token_pace: Pacer = field(default_factory=lambda: Pacer(TOKENS))
    in_flight: int = 0
    waiting: int = 0
    answered_at: float = float("-inf")
    shrunk_at: float = float("-inf")
    failures_in_row: int = 0
    rests: int = 0
    rested_at: float = float("-inf")
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
    tokens: float = 0.0


@dataclass(slots=True)
class RouteBook:
    """The routes of a process and what was learned of them.

    `waiters` belongs to the loops: where they meet who wait for a place, whichever engine they ask through.
    """

    config: LimiterConfig = field(default_factory=LimiterConfig)
    states: dict[tuple[str, str], RouteState] = field(default_factory=dict)
    waiters: Any = field(default=None, repr=False, compare=False)

    def know_quotas(self, tokens_per_minute: Mapping[str, float]) -> None:
        """Pace routes that have not been called yet by quotas that are known.

        Args:
            tokens_per_minute: as in `LimiterConfig`; added to those known before.
        """
        known = {**self.config.tokens_per_minute, **tokens_per_minute}
        self.config = replace(self.config, tokens_per_minute=known)

    def state(self, route: Route) -> RouteState:
        """What is known of a route; a new route starts with an open window."""
        known = self.states.get(route.key)
        if known is None:
            quota = self.config.tokens_per_minute.get(route.model_id)
            tokens = self.config.tokens if quota is None else tokens_per_minute(quota)
            known = RouteState(float(self.config.max_in_flight), Pacer(self.config.calls), Pacer(tokens))
            self.states[route.key] = known
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

    def wait_seconds(self, route: Route, now: float, tokens: float = 0.0, ahead: int = 0) -> float:
        """How long the route's pace makes a call wait; 0 for not at all.

        Args:
            route: the route.
            now: the time.
            tokens: what the call, and those that go before it, claim of a quota on tokens.
            ahead: calls that go before it.
        """
        known = self.states.get(route.key)
        if known is None:
            return 0.0
        return max(known.call_pace.wait_seconds(now, 1.0 + ahead), known.token_pace.wait_seconds(now, tokens))

    def is_avoided(self, route: Route, now: float, tokens: float = 0.0) -> bool:
        """Whether another route is better now: this one rests, is full, or a call would wait long for its turn."""
        known = self.states.get(route.key)
        if known is None:
            return False
        if self.is_resting(route, now) or not self.has_room(route):
            return True
        ahead = known.waiting
        return self.wait_seconds(route, now, tokens * (ahead + 1), ahead) > self.config.patience_seconds

    def is_serving_others(self, ticket: Ticket, now: float) -> bool:
        """Whether the route works for others than this call: then a throttling only means to wait for one's turn."""
        known = self.states[ticket.key]
        return known.in_flight > 1 or now - known.answered_at < _SERVING_SECONDS

    def start(self, route: Route, now: float, tokens: float = 0.0) -> Ticket:
        """A call begins.

        Args:
            route: over which route.
            now: when.
            tokens: what it reserves of a quota on tokens: its input and `maxTokens`. 0 where that is not known.
        """
        known = self.state(route)
        known.in_flight += 1
        known.calls += 1
        known.call_pace.claim(now, 1.0)
        known.token_pace.claim(now, tokens)
        if known.rests:
            known.probing = True
        return Ticket(route.key, now, tokens)

    def finish(
        self,
        ticket: Ticket,
        fault: Fault | None,
        now: float,
        used_tokens: float | None = None,
        *,
        is_out_of_tokens: bool = False,
    ) -> None:
        """A call ended.

        Args:
            ticket: what `start` gave.
            fault: what went wrong, None for an answer.
            now: when it ended.
            used_tokens: what it took of a quota on tokens in the end; None where that is not known.
            is_out_of_tokens: whether a throttling was for tokens, not for calls.
        """
        known = self.states[ticket.key]
        known.in_flight -= 1
        if fault is Fault.THROTTLED and is_out_of_tokens and ticket.tokens > 0:
            known.token_pace.throttled(now, ticket.started_at, ticket.tokens)
        elif fault is not None and not fault.may_have_cost:
            known.token_pace.settle(now, ticket.tokens)
        elif used_tokens is not None:
            known.token_pace.settle(now, ticket.tokens - used_tokens)
        if fault is Fault.THROTTLED and not (is_out_of_tokens and ticket.tokens > 0):
            known.call_pace.throttled(now, ticket.started_at, 1.0)
        if fault is None or fault is Fault.INVALID_ANSWER:
            self._succeeded(known, ticket, now)
        else:
            self._failed(known, ticket, fault, now)

    def _succeeded(self, known: RouteState, ticket: Ticket, now: float) -> None:
        known.succeeded += 1
        if ticket.started_at >= known.rested_at:  # an answer from before says nothing of the route as it is now
            known.failures_in_row = known.rests = 0
            known.rest_until = float("-inf")
            known.probing = False
        known.answered_at = now
        if known.window < self.config.max_in_flight:
            known.window = min(float(self.config.max_in_flight), known.window + self.config.increase_per_answer)

    def _failed(self, known: RouteState, ticket: Ticket, fault: Fault, now: float) -> None:
        known.failed += 1
        if fault is Fault.THROTTLED:
            known.throttled += 1
        elif fault.reaction is Reaction.MOVE_ON:
            self._rest(known, now, self.config.max_rest_seconds)
        elif fault.is_capacity:
            self._shrink(known, ticket, now)
            known.failures_in_row += 1
            if known.probing or known.failures_in_row >= self.config.failures_to_rest:
                self._rest(known, now, self.config.rest_seconds * 2.0 ** min(known.rests, 32))
        known.probing = False

    def _shrink(self, known: RouteState, ticket: Ticket, now: float) -> None:
        """What was in flight is what the route could not take, whatever the window allowed."""
        if ticket.started_at > known.shrunk_at and not known.rests:
            known.window = max(1.0, min(known.window, known.in_flight + 1) * self.config.decrease)
            known.shrunk_at = now

    def _rest(self, known: RouteState, now: float, seconds: float) -> None:
        if now < known.rest_until:
            return
        seconds = min(self.config.max_rest_seconds, seconds)
        known.rests += 1
        known.rested_at = now
        known.rest_until = now + seconds
