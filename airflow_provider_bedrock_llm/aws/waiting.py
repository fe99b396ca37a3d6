"""Who waits for a turn on a route, and in which order: first come, first served, in threads and on an event loop.

A route takes a call when its window has room and its pace allows it (`core.limiter`). Engines that share a book wait
in the same lines.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable  # noqa: TC003 - types of public arguments
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_bedrock_llm.core.limiter import RouteBook

if TYPE_CHECKING:
    from airflow_provider_bedrock_llm.core.faults import Fault
    from airflow_provider_bedrock_llm.core.limiter import Ticket
    from airflow_provider_bedrock_llm.core.routes import Route

__all__ = ["AsyncLines", "GuardedBook", "ThreadQueues"]

_LOOK_AGAIN_SECONDS = 0.1
"""A pace may change while the first in a line of threads sleeps."""
_SOON_SECONDS = 0.001

_pairing = threading.Lock()
"""Engines in several threads may be the first to share a book."""


class ThreadQueues:
    """Where threads wait for a turn on a route, whichever engine they ask through."""

    def __init__(self) -> None:
        self.turn = threading.Condition()
        self._queues: dict[tuple[str, str], deque[object]] = {}

    @classmethod
    def of_book(cls, book: RouteBook) -> ThreadQueues:
        """The queues of everybody who shares a book."""
        with _pairing:
            if book.waiters is None:
                book.waiters = cls()
        queues: ThreadQueues = book.waiters
        return queues

    def room(
        self,
        route: Route,
        tokens: float,
        seconds_left: Callable[[float], float | None],
        book: RouteBook,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> bool:
        """Wait for a turn; False where the deadline comes first. The caller holds `turn`.

        Args:
            route: where the call wants to go.
            tokens: what it reserves there.
            seconds_left: now -> time until its deadline.
            book: of the route.
            clock: seconds that only grow.
            sleep: waits.
        """
        line, me = self._queues.setdefault(route.key, deque()), object()
        state = book.state(route)
        line.append(me)
        state.waiting += 1
        try:
            while True:
                now = clock()
                left = seconds_left(now)
                is_next = line[0] is me and book.has_room(route)
                wait = book.wait_seconds(route, now, tokens) if is_next else None
                if wait is not None and wait <= 0:
                    return True
                if left is not None and left <= 0:
                    return False
                if wait is None:
                    self.turn.wait(left)
                else:
                    self._sleep_unlocked(sleep, min(wait, _LOOK_AGAIN_SECONDS, wait if left is None else left))
        finally:
            line.remove(me)
            state.waiting -= 1
            if line:
                self.turn.notify_all()

    def _sleep_unlocked(self, sleep: Callable[[float], None], seconds: float) -> None:
        self.turn.release()
        try:
            sleep(seconds)
        finally:
            self.turn.acquire()


@dataclass(slots=True)
class GuardedBook(RouteBook):
    """A view of a book that several threads write to. Reading needs no lock; answers are judged outside of it."""

    turn: threading.Condition = field(default_factory=threading.Condition)

    def start(self, route: Route, now: float, tokens: float = 0.0) -> Ticket:
        with self.turn:
            return RouteBook.start(self, route, now, tokens)

    def finish(
        self,
        ticket: Ticket,
        fault: Fault | None,
        now: float,
        used_tokens: float | None = None,
        *,
        is_out_of_tokens: bool = False,
    ) -> None:
        with self.turn:
            RouteBook.finish(self, ticket, fault, now, used_tokens, is_out_of_tokens=is_out_of_tokens)
            self.turn.notify_all()


@dataclass(slots=True)
class _Line:
    """Who waits on an event loop for a turn on a route, and who was called up and has not started yet.

    The first in the line is the only one with an alarm: when the pace changes, one alarm is set anew.
    """

    waiting: deque[tuple[asyncio.Future[None], float]] = field(default_factory=deque)
    called_up: int = 0
    called_up_tokens: float = 0.0
    alarm: asyncio.Task[None] | None = None
    alarm_at: float = 0.0


class AsyncLines:
    """Where the requests of one event loop wait for a turn on a route.

    Args:
        book: of the routes; its `waiters` are the lines, shared by everybody who shares the book.
        clock: seconds that only grow.
        sleep: waits.
    """

    def __init__(self, book: RouteBook, clock: Callable[[], float], sleep: Callable[[float], Awaitable[None]]) -> None:
        if book.waiters is None:
            book.waiters = {}
        self._book = book
        self._lines: dict[tuple[str, str], _Line] = book.waiters
        self._clock = clock
        self._sleep = sleep

    def has_place(self, route: Route, tokens: float = 0.0) -> bool:
        """Whether a call may start at once: there is room, it is in time, and nobody who came before waits for it."""
        line = self._lines.get(route.key)
        if line is not None and (line.waiting or line.called_up):
            return False
        return self._book.has_room(route) and self._book.wait_seconds(route, self._clock(), tokens) <= 0

    async def room(self, route: Route, tokens: float, left_seconds: float | None) -> bool:
        """Wait for a turn on the route; False where the deadline comes first."""
        line = self._lines.setdefault(route.key, _Line())
        state = self._book.state(route)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line.waiting.append((turn, tokens))
        state.waiting += 1
        comes = False
        try:
            self.wake(route)
            async with asyncio.timeout(left_seconds):
                await turn
            comes = True
        except TimeoutError:
            pass
        finally:
            state.waiting -= 1
            if turn.done() and not turn.cancelled():
                line.called_up -= 1
                line.called_up_tokens -= tokens
            else:
                with suppress(ValueError):  # passed over already
                    line.waiting.remove((turn, tokens))
            if not comes:  # the turn came too late for this request, or somebody else is first now
                self.wake(route)
        return comes

    def wake(self, route: Route) -> None:
        """Call up all whose turn it is, and set the alarm for the next one."""
        line = self._lines.get(route.key)
        if line is None or not line.waiting:
            return
        state, now = self._book.state(route), self._clock()
        while line.waiting:
            turn, tokens = line.waiting[0]
            if not turn.done():
                if max(1, int(state.window)) <= state.in_flight + line.called_up:
                    return
                wait = self._book.wait_seconds(route, now, line.called_up_tokens + tokens, line.called_up)
                if wait > 0:
                    self._set_alarm(line, route, now + wait, wait)
                    return
                turn.set_result(None)
                line.called_up += 1
                line.called_up_tokens += tokens
            line.waiting.popleft()

    def _set_alarm(self, line: _Line, route: Route, at: float, seconds: float) -> None:
        if line.alarm is not None and not line.alarm.done():
            if line.alarm_at <= at + _SOON_SECONDS:
                return
            line.alarm.cancel()
        line.alarm = asyncio.get_running_loop().create_task(self._ring(line, route, seconds))
        line.alarm_at = at

    async def _ring(self, line: _Line, route: Route, seconds: float) -> None:
        await self._sleep(seconds)
        line.alarm = None
        self.wake(route)
