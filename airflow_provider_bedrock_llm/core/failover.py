"""The engine: one request's way over its routes, as a state machine.

It never sleeps and never calls. A loop (one for threads, one for asyncio) tells it what happened and when, and does
what it says:

    begin -> Call ... reply -> (accepted: the loop is done) or `rejected` -> Call | Wait | GiveUp
                      failure -> `failed`   -> Call | Wait | GiveUp
                      refused feature that can be left out -> `dropped` -> Call | GiveUp
             Wait ... -> `resume` -> Call | GiveUp

What it guarantees, whatever happens: it ends; calls never exceed the budget; nothing starts after the deadline; a
fault that a retry cannot help is never retried; a read timeout, which AWS may bill, is retried only as often as the
caller allowed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from airflow_provider_bedrock_llm.core.backoff import backoff_seconds
from airflow_provider_bedrock_llm.core.config import RetryConfig
from airflow_provider_bedrock_llm.core.faults import Fault, Reaction

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_bedrock_llm.core.routes import Route

__all__ = ["Call", "Decision", "Failover", "GiveUp", "Progress", "Reason", "Wait"]


@dataclass(frozen=True, slots=True)
class Call:
    """Send the request over this route.

    Args:
        route: where to.
        number: 1 for the first call of the request.
        refresh_credentials: fetch new credentials first.
    """

    route: Route
    number: int
    refresh_credentials: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """Sleep, then `resume`."""

    seconds: float


class Reason(StrEnum):
    """Why the engine gave up."""

    FAULT = "fault"
    """The last fault is final."""
    ROUTES = "routes"
    """No route is left that could serve the request."""
    RETRIES = "retries"
    """The retries are used up."""
    ATTEMPTS = "attempts"
    """`max_attempts_total` is used up."""
    TIMEOUTS = "timeouts"
    """Another read timeout might be billed again, and the caller did not allow it."""
    DEADLINE = "deadline"
    """The time is over."""
    ANSWERS = "answers"
    """Answers came and were rejected, as often as the caller wanted to pay for."""
    STREAM = "stream"
    """Text of a stream was passed on before it broke, and the caller's `StreamRecovery` ends it there."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The request has failed.

    Args:
        reason: which limit was met.
        fault: the last thing that went wrong.
    """

    reason: Reason
    fault: Fault


Decision = Call | Wait | GiveUp

_TURNED_AWAY_PER_RETRY = 10


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a request stands.

    Args:
        started_at: when it began, in seconds of the loop's clock.
        current: index of the route that is called, or was called last.
        calls: calls made or under way.
        retries: retries used of `max_retries`.
        turned_away: throttlings that used none, because the route was serving others.
        rounds: how often all routes failed one after the other.
        timeouts: read timeouts so far.
        refreshed: whether new credentials were fetched.
        rejected: answers that were rejected.
        drops: features that were left out.
        out: indexes of routes that cannot serve this request.
        tired: indexes of routes that failed in this round, or share the endpoint of one that could not be reached.
        stay: whether the call after a wait goes over the same route.
        fault: the last fault.
    """

    started_at: float
    current: int = 0
    calls: int = 0
    retries: int = 0
    turned_away: int = 0
    rounds: int = 0
    timeouts: int = 0
    refreshed: bool = False
    rejected: int = 0
    drops: int = 0
    out: frozenset[int] = frozenset()
    tired: frozenset[int] = frozenset()
    stay: bool = False
    fault: Fault = Fault.UNKNOWN


_MOST_DROPS_PER_ROUTE = 20
"""More than a request has features; whoever counts wrong must not ask for ever."""


def _never(_: Route) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Failover:
    """The rules for one request. Frozen: one value serves any number of requests with the same routes.

    Args:
        routes: best first; at least one.
        retry: budgets and backoff.
        answer_retries: how often a rejected answer is asked for again.
        answer_delay_seconds: the wait before that.
    """

    routes: tuple[Route, ...]
    retry: RetryConfig = field(default_factory=RetryConfig)
    answer_retries: int = 0
    answer_delay_seconds: float = 0.0

    def begin(self, now: float, is_resting: Callable[[Route], bool] = _never) -> tuple[Progress, Decision]:
        """Start a request.

        Args:
            now: seconds of a clock that only moves forward.
            is_resting: whether a route should be left alone now, because others saw it fail.
        """
        return self._call(Progress(started_at=now), is_resting)

    def failed(
        self,
        progress: Progress,
        fault: Fault,
        now: float,
        draw: float,
        hint_seconds: float | None = None,
        is_resting: Callable[[Route], bool] = _never,
        *,
        is_serving: bool = False,
    ) -> tuple[Progress, Decision]:
        """The call under way gave no answer.

        A call that is throttled on a route that serves others has only come too early: nothing was done or billed, and
        the route's pace says when it is its turn. So that uses no retry, up to ten times `max_retries`, and needs no
        backoff. Where the route serves nobody, a throttling is a retry like any other.

        Args:
            progress: as the last decision left it.
            fault: what went wrong.
            now: when it was known.
            draw: a number in [0, 1) for the jitter.
            hint_seconds: the wait that the server asked for.
            is_resting: as for `begin`.
            is_serving: whether others get answers over the route.
        """
        progress = replace(progress, fault=fault, timeouts=progress.timeouts + (fault is Fault.READ_TIMEOUT))
        match fault.reaction:
            case Reaction.STOP:
                return progress, GiveUp(Reason.DEADLINE if fault is Fault.DEADLINE else Reason.FAULT, fault)
            case Reaction.REFRESH:
                return self._refresh(progress, now)
            case Reaction.MOVE_ON:
                return self._move_on(progress, now, draw, is_resting)
            case Reaction.RETRY if fault is Fault.THROTTLED and is_serving and self._is_patient(progress):
                return self._queue_again(progress, now, hint_seconds, is_resting)
            case Reaction.RETRY:
                return self._retry(progress, now, draw, hint_seconds, is_resting)

    def rejected(
        self, progress: Progress, now: float, is_resting: Callable[[Route], bool] = _never
    ) -> tuple[Progress, Decision]:
        """The call under way gave an answer, and the validation rejected it."""
        progress = replace(progress, fault=Fault.INVALID_ANSWER, rejected=progress.rejected + 1)
        if progress.rejected > self.answer_retries:
            return progress, GiveUp(Reason.ANSWERS, Fault.INVALID_ANSWER)
        if over := self._over(progress, now + self.answer_delay_seconds):
            return progress, over
        progress = replace(progress, stay=True)
        if self.answer_delay_seconds > 0:
            return progress, Wait(self.answer_delay_seconds)
        return self._call(progress, is_resting)

    def dropped(
        self, progress: Progress, now: float, is_resting: Callable[[Route], bool] = _never
    ) -> tuple[Progress, Decision]:
        """The call under way was refused for a feature, and the request goes on without it: the same route, at once."""
        progress = replace(progress, fault=Fault.UNSUPPORTED_FEATURE, drops=progress.drops + 1, stay=True)
        if progress.drops > _MOST_DROPS_PER_ROUTE * len(self.routes):
            return progress, GiveUp(Reason.FAULT, Fault.UNSUPPORTED_FEATURE)
        return self._call_unless_over(progress, now, is_resting)

    def resume(
        self, progress: Progress, now: float, is_resting: Callable[[Route], bool] = _never
    ) -> tuple[Progress, Decision]:
        """The wait is over."""
        return self._call_unless_over(progress, now, is_resting)

    def seconds_left(self, progress: Progress, now: float) -> float | None:
        """Time until the deadline, or None where there is none."""
        if self.retry.deadline_seconds is None:
            return None
        return progress.started_at + self.retry.deadline_seconds - now

    def _refresh(self, progress: Progress, now: float) -> tuple[Progress, Decision]:
        if progress.refreshed:
            return progress, GiveUp(Reason.FAULT, progress.fault)
        if over := self._over(progress, now):
            return progress, over
        progress = replace(progress, refreshed=True, calls=progress.calls + 1)
        return progress, Call(self.routes[progress.current], progress.calls, refresh_credentials=True)

    def _move_on(
        self,
        progress: Progress,
        now: float,
        draw: float,
        is_resting: Callable[[Route], bool],
    ) -> tuple[Progress, Decision]:
        out = {progress.current}
        if progress.fault is Fault.NEEDS_PROFILE:  # the id needs one in every region
            model_id = self.routes[progress.current].model_id
            out = {index for index in self._indexes if self.routes[index].model_id == model_id}
        progress = replace(progress, out=progress.out | out)
        if len(progress.out) == len(self.routes):
            return progress, GiveUp(Reason.ROUTES, progress.fault)
        if any(self._is_fresh(progress, index) for index in self._indexes):
            return self._call_unless_over(progress, now, is_resting)
        return self._next_round(progress, now, draw, None)

    def _retry(
        self,
        progress: Progress,
        now: float,
        draw: float,
        hint_seconds: float | None,
        is_resting: Callable[[Route], bool],
    ) -> tuple[Progress, Decision]:
        if progress.fault is Fault.READ_TIMEOUT and progress.timeouts > self.retry.max_timeout_retries:
            return progress, GiveUp(Reason.TIMEOUTS, progress.fault)
        if progress.retries >= self.retry.max_retries:
            return progress, GiveUp(Reason.RETRIES, progress.fault)
        tired = {progress.current}
        if progress.fault is Fault.CONNECTION_FAILED:  # all routes of a region share its endpoint
            region = self.routes[progress.current].region
            tired = {index for index in self._indexes if self.routes[index].region == region}
        progress = replace(progress, retries=progress.retries + 1, tired=progress.tired | tired)
        if any(self._is_fresh(progress, index) and not is_resting(self.routes[index]) for index in self._indexes):
            return self._call_unless_over(progress, now, is_resting)
        return self._next_round(progress, now, draw, hint_seconds)

    def _is_patient(self, progress: Progress) -> bool:
        return progress.turned_away < _TURNED_AWAY_PER_RETRY * self.retry.max_retries

    def _queue_again(
        self, progress: Progress, now: float, hint_seconds: float | None, is_resting: Callable[[Route], bool]
    ) -> tuple[Progress, Decision]:
        """Take another route if there is one that would not wait, or wait for a turn on the same one."""
        tired = progress.tired | {progress.current}
        progress = replace(progress, turned_away=progress.turned_away + 1, tired=tired)
        if any(self._is_fresh(progress, index) and not is_resting(self.routes[index]) for index in self._indexes):
            return self._call_unless_over(progress, now, is_resting)
        progress = replace(progress, tired=frozenset(), stay=True)
        if hint_seconds:
            return progress, self._over(progress, now + hint_seconds) or Wait(hint_seconds)
        return self._call_unless_over(progress, now, is_resting)

    def _next_round(
        self, progress: Progress, now: float, draw: float, hint_seconds: float | None
    ) -> tuple[Progress, Decision]:
        """Every route had its turn: pause, then start over with those that are left."""
        progress = replace(progress, rounds=progress.rounds + 1, tired=frozenset())
        seconds = backoff_seconds(self.retry, progress.rounds, draw, hint_seconds)
        return progress, self._over(progress, now + seconds) or Wait(seconds)

    def _call_unless_over(
        self, progress: Progress, now: float, is_resting: Callable[[Route], bool]
    ) -> tuple[Progress, Decision]:
        over = self._over(progress, now)
        return (progress, over) if over else self._call(progress, is_resting)

    def _call(self, progress: Progress, is_resting: Callable[[Route], bool]) -> tuple[Progress, Call]:
        index = progress.current
        if not (progress.stay and self._is_fresh(progress, index)):
            fresh = [index for index in self._indexes if self._is_fresh(progress, index)]
            index = next((index for index in fresh if not is_resting(self.routes[index])), fresh[0])
        progress = replace(progress, current=index, calls=progress.calls + 1, stay=False)
        return progress, Call(self.routes[index], progress.calls)

    def _over(self, progress: Progress, at: float) -> GiveUp | None:
        """Whether another call may start at that time."""
        left = self.seconds_left(progress, at)
        if left is not None and left <= 0:
            return GiveUp(Reason.DEADLINE, progress.fault)
        cap = self.retry.max_attempts_total
        if cap is not None and progress.calls >= cap:
            return GiveUp(Reason.ATTEMPTS, progress.fault)
        return None

    @property
    def _indexes(self) -> range:
        return range(len(self.routes))

    def _is_fresh(self, progress: Progress, index: int) -> bool:
        return index not in progress.out and index not in progress.tired
