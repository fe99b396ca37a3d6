"""The two loops that obey the engine: `Engine` for threads, `AsyncEngine` for an event loop.

Neither decides anything. They ask a `Conversation` what to do, send, sleep, and keep count of who waits for a place
on a route. They take clock, sleep and draw as arguments, so that tests need no patience.
"""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import queue
import random
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable  # noqa: TC003 - types of public arguments
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_bedrock_llm.core.config import LoadBalancingStrategy, RegionOrder
from airflow_provider_bedrock_llm.core.conversation import Conversation, ConversePolicy
from airflow_provider_bedrock_llm.core.failover import Call, Failover, Wait
from airflow_provider_bedrock_llm.core.limiter import RouteBook
from airflow_provider_bedrock_llm.core.transport import (
    AsyncTransport,
    Failure,
    FailureKind,
    Reply,
    Transport,
    WireRequest,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_bedrock_llm.core.faults import Fault
    from airflow_provider_bedrock_llm.core.limiter import Ticket
    from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest
    from airflow_provider_bedrock_llm.core.response import BedrockResponse
    from airflow_provider_bedrock_llm.core.routes import Route, RoutePlan

__all__ = ["AsyncEngine", "Engine"]

T = TypeVar("T")

_FAILOVERS_KEPT = 500
_LOOK_AGAIN_SECONDS = 0.1
"""A pace may change while the first in a line of threads sleeps."""
_SOON_SECONDS = 0.001
_ORDERS = {LoadBalancingStrategy.ROUND_ROBIN: RegionOrder.ROTATE, LoadBalancingStrategy.RANDOM: RegionOrder.SHUFFLE}


class _Dispatcher:
    """What both loops share: which routes the next request gets."""

    def __init__(
        self, policy: ConversePolicy, plan: RoutePlan, book: RouteBook, balance: LoadBalancingStrategy | None
    ) -> None:
        self.policy = policy
        self.plan = plan
        self.book = book
        self.balance = balance
        self._turns = itertools.count()
        self._failovers: dict[tuple[bool, tuple[str, ...]], Failover] = {}

    def open(self, request: BedrockConverseRequest) -> Conversation:
        """Start a conversation over the routes that are this request's turn."""
        return Conversation(self.policy, request, self._failover(), self.book)

    def _failover(self) -> Failover:
        """The rules over the routes whose turn it is."""
        turn = next(self._turns)
        key = (self.plan.is_global(turn), tuple(self._regions(turn)))
        failover = self._failovers.get(key)
        if failover is None:
            if len(self._failovers) >= _FAILOVERS_KEPT:
                self._failovers.clear()
            routes = self.plan.routes(key[1], is_global=key[0])
            failover = self._failovers[key] = self.policy.failover(routes)
        return failover

    def _regions(self, turn: int) -> Sequence[str]:
        if self.balance is not LoadBalancingStrategy.LEAST_LOADED:
            return self.plan.order(turn, _ORDERS.get(self.balance) if self.balance else None)
        load = dict.fromkeys(self.plan.regions, 0)
        for (_, region), state in self.book.states.items():
            load[region] = load.get(region, 0) + state.in_flight
        return sorted(self.plan.regions, key=load.__getitem__)


class _Queues:
    """Where threads wait for a place on a route, whichever engine they ask through."""

    def __init__(self) -> None:
        self.turn = threading.Condition()
        self._queues: dict[tuple[str, str], deque[object]] = {}

    def of(self, route: Route) -> deque[object]:
        return self._queues.setdefault(route.key, deque())


_pairing = threading.Lock()
"""Engines in several threads may be the first to share a book."""


@dataclass(slots=True)
class _GuardedBook(RouteBook):
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


class Engine(_Dispatcher):
    """Asks Bedrock from threads. One engine serves any number of them.

    A call cannot be cancelled in a thread. Where the deadline comes first it is left behind: the response says so at
    once, and the call ends by itself with its read timeout.

    Args:
        transport: sends one request.
        policy: what requests have in common.
        plan: models, regions and access.
        book: what is known of the routes; shared with others, or its own.
        balance: spreads requests over regions; None keeps the order of the RetryConfig.
        clock: seconds that only grow.
        sleep: waits.
        draw: a number in [0, 1).
    """

    def __init__(
        self,
        transport: Transport,
        policy: ConversePolicy,
        plan: RoutePlan,
        book: RouteBook | None = None,
        balance: LoadBalancingStrategy | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        draw: Callable[[], float] = random.random,
    ) -> None:
        shared = book if book is not None else RouteBook()
        with _pairing:
            if shared.waiters is None:
                shared.waiters = _Queues()
        self._queues: _Queues = shared.waiters
        self._turn = self._queues.turn
        guarded = _GuardedBook(shared.config, shared.states, shared.waiters, self._turn)
        super().__init__(policy, plan, guarded, balance)
        self._transport = transport
        self._clock = clock
        self._sleep = sleep
        self._draw = draw
        self._refreshing = threading.Lock()
        self._refreshed_at = float("-inf")

    def ask(self, request: BedrockConverseRequest) -> BedrockResponse:
        """Get an answer, whatever it takes within the policy.

        Returns:
            A response; where `success` is False, `error` says why.
        """
        with self._turn:
            conversation = self.open(request)
        step = conversation.begin(self._clock())
        while True:
            match step:
                case Call():
                    step = self._call(conversation, step)
                case Wait(seconds):
                    self._sleep(seconds)
                    step = conversation.resume(self._clock())
                case response:
                    return response

    def _call(self, conversation: Conversation, call: Call) -> Call | Wait | BedrockResponse:
        wire = self._enter(conversation, call)
        if not isinstance(wire, WireRequest):
            return wire
        try:
            outcome = self._in_time(conversation, lambda: self._transport.send(wire))
        except BaseException:
            self._abandon(conversation)
            raise
        return self._leave(conversation, outcome)

    def _enter(self, conversation: Conversation, call: Call) -> WireRequest | BedrockResponse:
        """Wait for a place on the route; the end of the request where its deadline comes first."""
        if call.refresh_credentials:
            self._refresh(conversation.called_at)
        with self._turn:
            if not self._room(conversation, call.route):
                return conversation.give_up(self._clock())
            return conversation.start(call, self._clock())

    def _leave(self, conversation: Conversation, outcome: Reply | Failure) -> Call | Wait | BedrockResponse:
        return conversation.take(outcome, self._clock(), self._draw())

    def _abandon(self, conversation: Conversation) -> None:
        conversation.abandon(self._clock())

    def _room(self, conversation: Conversation, route: Route) -> bool:
        """Wait for a turn on the route, first come first served; False where the deadline comes first."""
        line, me = self._queues.of(route), object()
        state, tokens = self.book.state(route), conversation.reserved_tokens(route)
        line.append(me)
        state.waiting += 1
        try:
            while True:
                now = self._clock()
                left = conversation.seconds_left(now)
                is_next = line[0] is me and self.book.has_room(route)
                wait = self.book.wait_seconds(route, now, tokens) if is_next else None
                if wait is not None and wait <= 0:
                    return True
                if left is not None and left <= 0:
                    return False
                if wait is None:
                    self._turn.wait(left)
                else:
                    self._sleep_unlocked(min(wait, _LOOK_AGAIN_SECONDS, wait if left is None else left))
        finally:
            line.remove(me)
            state.waiting -= 1
            if line:
                self._turn.notify_all()

    def _sleep_unlocked(self, seconds: float) -> None:
        self._turn.release()
        try:
            self._sleep(seconds)
        finally:
            self._turn.acquire()

    def _refresh(self, used_at: float) -> None:
        """Fetch new credentials, once for all requests that failed with the old ones."""
        with self._refreshing:
            if used_at >= self._refreshed_at:
                self._transport.refresh_credentials()
                self._refreshed_at = self._clock()

    def _in_time(self, conversation: Conversation, work: Callable[[], T]) -> T | Failure:
        """Do a part of a call, until the request's deadline."""
        started = self._clock()
        left = conversation.seconds_left(started)
        if left is None:
            return work()
        outcomes: queue.SimpleQueue[T | BaseException] = queue.SimpleQueue()

        def do() -> None:
            try:
                outcomes.put(work())
            except BaseException as error:  # noqa: BLE001 - raised again where the caller waits
                outcomes.put(error)

        threading.Thread(target=contextvars.copy_context().run, args=(do,), daemon=True).start()
        try:
            outcome = outcomes.get(timeout=max(left, 0))
        except queue.Empty:
            return Failure(FailureKind.DEADLINE, duration_seconds=self._clock() - started)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome


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


class AsyncEngine(_Dispatcher):
    """Asks Bedrock from one event loop.

    Args:
        transport: sends one request.
        policy: what requests have in common.
        plan: models, regions and access.
        book: what is known of the routes; shared with others on the same loop, or its own.
        balance: spreads requests over regions; None keeps the order of the RetryConfig.
        clock: seconds that only grow.
        sleep: waits.
        draw: a number in [0, 1).
    """

    def __init__(
        self,
        transport: AsyncTransport,
        policy: ConversePolicy,
        plan: RoutePlan,
        book: RouteBook | None = None,
        balance: LoadBalancingStrategy | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        draw: Callable[[], float] = random.random,
    ) -> None:
        super().__init__(policy, plan, book if book is not None else RouteBook(), balance)
        self._transport = transport
        self._clock = clock
        self._sleep = sleep
        self._draw = draw
        self._refreshing = asyncio.Lock()
        self._refreshed_at = float("-inf")
        if self.book.waiters is None:
            self.book.waiters = {}
        self._lines: dict[tuple[str, str], _Line] = self.book.waiters

    async def ask(self, request: BedrockConverseRequest) -> BedrockResponse:
        """Get an answer, whatever it takes within the policy.

        Returns:
            A response; where `success` is False, `error` says why.
        """
        conversation = self.open(request)
        step = conversation.begin(self._clock())
        while True:
            match step:
                case Call():
                    step = await self._call(conversation, step)
                case Wait(seconds):
                    await self._sleep(seconds)
                    step = conversation.resume(self._clock())
                case response:
                    return response

    async def _call(self, conversation: Conversation, call: Call) -> Call | Wait | BedrockResponse:
        wire = await self._enter(conversation, call)
        if not isinstance(wire, WireRequest):
            return wire
        try:
            outcome = await self._in_time(conversation, self._transport.send(wire))
        except BaseException:
            self._abandon(conversation, call)
            raise
        return self._leave(conversation, call, outcome)

    async def _enter(self, conversation: Conversation, call: Call) -> WireRequest | BedrockResponse:
        """Wait for a place on the route; the end of the request where its deadline comes first."""
        if call.refresh_credentials:
            await self._refresh(conversation.called_at)
        tokens = conversation.reserved_tokens(call.route)
        if not self._has_place(call.route, tokens) and not await self._room(conversation, call.route):
            return conversation.give_up(self._clock())
        return conversation.start(call, self._clock())

    def _leave(self, conversation: Conversation, call: Call, outcome: Reply | Failure) -> Call | Wait | BedrockResponse:
        step = conversation.take(outcome, self._clock(), self._draw())
        self._wake(call.route)
        return step

    def _abandon(self, conversation: Conversation, call: Call) -> None:
        conversation.abandon(self._clock())
        self._wake(call.route)

    async def _refresh(self, used_at: float) -> None:
        """Fetch new credentials, once for all requests that failed with the old ones."""
        async with self._refreshing:
            if used_at >= self._refreshed_at:
                await self._transport.refresh_credentials()
                self._refreshed_at = self._clock()

    async def _in_time(self, conversation: Conversation, work: Awaitable[T]) -> T | Failure:
        """Await a part of a call, until the request's deadline."""
        started = self._clock()
        left = conversation.seconds_left(started)
        if left is None:
            return await work
        try:
            async with asyncio.timeout(left) as limit:
                return await work
        except TimeoutError:
            if not limit.expired():
                raise
            return Failure(FailureKind.DEADLINE, duration_seconds=self._clock() - started)

    def _has_place(self, route: Route, tokens: float = 0.0) -> bool:
        """Whether a call may start at once: there is room, it is in time, and nobody who came before waits for it."""
        line = self._lines.get(route.key)
        if line is not None and (line.waiting or line.called_up):
            return False
        return self.book.has_room(route) and self.book.wait_seconds(route, self._clock(), tokens) <= 0

    async def _room(self, conversation: Conversation, route: Route) -> bool:
        """Wait for a turn on the route, first come first served; False where the deadline comes first."""
        line = self._lines.setdefault(route.key, _Line())
        state, tokens = self.book.state(route), conversation.reserved_tokens(route)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line.waiting.append((turn, tokens))
        state.waiting += 1
        comes = False
        try:
            self._wake(route)
            async with asyncio.timeout(conversation.seconds_left(self._clock())):
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
                self._wake(route)
        return comes

    def _wake(self, route: Route) -> None:
        """Call up all whose turn it is, and set the alarm for the next one."""
        line = self._lines.get(route.key)
        if line is None or not line.waiting:
            return
        state, now = self.book.state(route), self._clock()
        while line.waiting:
            turn, tokens = line.waiting[0]
            if not turn.done():
                if max(1, int(state.window)) <= state.in_flight + line.called_up:
                    return
                wait = self.book.wait_seconds(route, now, line.called_up_tokens + tokens, line.called_up)
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
        self._wake(route)
