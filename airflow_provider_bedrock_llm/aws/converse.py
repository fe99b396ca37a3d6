"""The two loops that obey the engine: `Engine` for threads, `AsyncEngine` for an event loop.

Neither decides anything. They ask a `Conversation` what to do, wait for their turn on a route, send and sleep. They
take clock, sleep and draw as arguments, so that tests need no patience.
"""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import queue
import random
import threading
import time
from collections.abc import Awaitable, Callable  # noqa: TC003 - types of public arguments
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_bedrock_llm.aws.rounds import Rounds
from airflow_provider_bedrock_llm.aws.stopping import NotSentError, raise_if_stopped, until_stop
from airflow_provider_bedrock_llm.aws.waiting import AsyncLines, GuardedBook, ThreadQueues
from airflow_provider_bedrock_llm.core.config import LoadBalancingStrategy, RegionOrder
from airflow_provider_bedrock_llm.core.conversation import Conversation, ConversePolicy
from airflow_provider_bedrock_llm.core.errors import ConfigurationError
from airflow_provider_bedrock_llm.core.failover import Call, Failover, Wait
from airflow_provider_bedrock_llm.core.limiter import RouteBook
from airflow_provider_bedrock_llm.core.response import BedrockResponse
from airflow_provider_bedrock_llm.core.routes import RoutePlans
from airflow_provider_bedrock_llm.core.transport import (
    AsyncTransport,
    Failure,
    FailureKind,
    Reply,
    Transport,
    WireRequest,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest
    from airflow_provider_bedrock_llm.core.routes import Route, RoutePlan

    PlanFor = Callable[[Sequence[str | Mapping[str, Any]]], RoutePlan]

__all__ = ["AsyncEngine", "Engine"]

T = TypeVar("T")

_FAILOVERS_KEPT = 500
_ORDERS = {LoadBalancingStrategy.ROUND_ROBIN: RegionOrder.ROTATE, LoadBalancingStrategy.RANDOM: RegionOrder.SHUFFLE}


class _Dispatcher:
    """What both loops share: which routes the next request gets."""

    def __init__(
        self,
        policy: ConversePolicy,
        plan: RoutePlan,
        book: RouteBook,
        balance: LoadBalancingStrategy | None,
        plan_for: PlanFor | None,
    ) -> None:
        self.policy = policy
        self.plans = RoutePlans(plan, plan_for)
        self.book = book
        self.balance = balance
        self._turns = itertools.count()
        self._failovers: dict[tuple[str, bool, tuple[str, ...]], Failover] = {}

    def _failover(self, request: BedrockConverseRequest) -> Failover | BedrockResponse:
        """The rules over the routes whose turn it is; the end of a request that names models which cannot be asked."""
        try:
            name, plan = self.plans.find(request.models)
        except ConfigurationError as error:
            refused = BedrockResponse(success=False, error=error, request_id=request.request_id)
            self.policy.report(refused)
            return refused
        turn = next(self._turns)
        key = (name, plan.is_global(turn), tuple(self._regions(plan, turn)))
        failover = self._failovers.get(key)
        if failover is None:
            if len(self._failovers) >= _FAILOVERS_KEPT:
                self._failovers.clear()
            routes = plan.routes(key[2], is_global=key[1])
            failover = self._failovers[key] = self.policy.failover(routes)
        return failover

    def _regions(self, plan: RoutePlan, turn: int) -> Sequence[str]:
        if self.balance is not LoadBalancingStrategy.LEAST_LOADED:
            return plan.order(turn, _ORDERS.get(self.balance) if self.balance else None)
        load = dict.fromkeys(plan.regions, 0)
        for (_, region), state in self.book.states.items():
            load[region] = load.get(region, 0) + state.in_flight
        return sorted(plan.regions, key=load.__getitem__)


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
        plan_for: plans for a request that names its own models; None where none may.
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
        plan_for: PlanFor | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        draw: Callable[[], float] = random.random,
    ) -> None:
        shared = book if book is not None else RouteBook()
        self._queues = ThreadQueues.of_book(shared)
        self._turn = self._queues.turn
        guarded = GuardedBook(shared.config, shared.states, shared.waiters, self._turn)
        super().__init__(policy, plan, guarded, balance, plan_for)
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
            failover = self._failover(request)
        if isinstance(failover, BedrockResponse):
            return failover
        conversation = Conversation(self.policy, request, failover, self.book)
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
        tokens = conversation.reserved_tokens(call.route)
        with self._turn:
            if not self._queues.room(
                call.route, tokens, conversation.seconds_left, self.book, self._clock, self._sleep
            ):
                return conversation.give_up(self._clock())
            return conversation.start(call, self._clock())

    def _leave(self, conversation: Conversation, outcome: Reply | Failure) -> Call | Wait | BedrockResponse:
        return conversation.take(outcome, self._clock(), self._draw())

    def _abandon(self, conversation: Conversation) -> None:
        conversation.abandon(self._clock())

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


class AsyncEngine(_Dispatcher):
    """Asks Bedrock from one event loop.

    Args:
        transport: sends one request.
        policy: what requests have in common.
        plan: models, regions and access.
        book: what is known of the routes; shared with others on the same loop, or its own.
        balance: spreads requests over regions; None keeps the order of the RetryConfig.
        plan_for: plans for a request that names its own models; None where none may.
        places: a cap on calls in flight, shared by every engine that it is for, on one event loop.
        clock: seconds that only grow.
        sleep: waits.
        draw: a number in [0, 1).
        stop: when set, no call goes out any more, and requests that wait for their next one end at once.
    """

    def __init__(
        self,
        transport: AsyncTransport,
        policy: ConversePolicy,
        plan: RoutePlan,
        book: RouteBook | None = None,
        balance: LoadBalancingStrategy | None = None,
        *,
        plan_for: PlanFor | None = None,
        places: asyncio.Semaphore | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        draw: Callable[[], float] = random.random,
        stop: asyncio.Event | None = None,
    ) -> None:
        super().__init__(policy, plan, book if book is not None else RouteBook(), balance, plan_for)
        self._transport = transport
        self._clock = clock
        self._sleep = sleep
        self._draw = draw
        self._stop = stop
        self._refreshing = asyncio.Lock()
        self._refreshed_at = float("-inf")
        self._lines = AsyncLines(self.book, clock, sleep)
        self._rounds = Rounds()
        self._places = places

    async def ask(self, request: BedrockConverseRequest) -> BedrockResponse:
        """Get an answer, whatever it takes within the policy.

        Returns:
            A response; where `success` is False, `error` says why.

        Raises:
            NotSentError: a stop came while nothing of the request was on the wire.
        """
        failover = self._failover(request)
        if isinstance(failover, BedrockResponse):
            return failover
        conversation = Conversation(self.policy, request, failover, self.book)
        try:
            return await self._follow(conversation)
        except NotSentError as error:
            error.spent = conversation.spent(self._clock())
            raise

    async def _follow(self, conversation: Conversation) -> BedrockResponse:
        """Do what the conversation says, to its end."""
        step = conversation.begin(self._clock())
        while True:
            match step:
                case Call():
                    step = await self._call(conversation, step)
                case Wait(seconds):
                    async with until_stop(self._stop):
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
        try:
            await self._rounds.wait()
        finally:  # an answer that is here counts, and was paid for, whoever cancels meanwhile
            step = self._leave(conversation, call, outcome)
        return step

    async def _enter(self, conversation: Conversation, call: Call) -> WireRequest | BedrockResponse:
        """Wait for a place on the route; the end of the request where its deadline comes first."""
        if call.refresh_credentials:
            await self._refresh(conversation.called_at)
        if not await self._turn(conversation, call.route, conversation.reserved_tokens(call.route)):
            return conversation.give_up(self._clock())
        try:
            raise_if_stopped(self._stop)
        except NotSentError:
            self._give_place_back()
            self._lines.wake(call.route)  # the turn was this request's; the next in line may be another job's
            raise
        return conversation.start(call, self._clock())

    async def _turn(self, conversation: Conversation, route: Route, tokens: float) -> bool:
        """Wait until both the route and the cap have a place. Nobody holds the one while waiting for the other."""
        while True:
            if not self._lines.has_place(route, tokens):
                left = conversation.seconds_left(self._clock())
                async with until_stop(self._stop):
                    has_turn = await self._lines.room(route, tokens, left)
                if not has_turn:
                    return False
            if self._places is None:
                return True
            if not self._places.locked():
                await self._places.acquire()  # at once
                return True
            self._lines.wake(route)  # this turn is for whoever is next
            try:
                left = conversation.seconds_left(self._clock())
                async with until_stop(self._stop), asyncio.timeout(left):
                    await self._places.acquire()
            except TimeoutError:
                return False
            if self._lines.has_place(route, tokens):
                return True
            self._places.release()

    def _leave(self, conversation: Conversation, call: Call, outcome: Reply | Failure) -> Call | Wait | BedrockResponse:
        self._give_place_back()
        step = conversation.take(outcome, self._clock(), self._draw())
        self._lines.wake(call.route)
        return step

    def _abandon(self, conversation: Conversation, call: Call) -> None:
        self._give_place_back()
        conversation.abandon(self._clock())
        self._lines.wake(call.route)

    def _give_place_back(self) -> None:
        if self._places is not None:
            self._places.release()

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
