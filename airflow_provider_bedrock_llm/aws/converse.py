"""The two loops that obey the engine: `Engine` for threads, `AsyncEngine` for an event loop.

Neither decides anything. They ask a `Conversation` what to do, send, sleep, and keep count of who waits for a place
on a route. They take clock, sleep and draw as arguments, so that tests need no patience.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable  # noqa: TC003 - types of public arguments
from typing import TYPE_CHECKING

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

    from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest
    from airflow_provider_bedrock_llm.core.response import BedrockResponse
    from airflow_provider_bedrock_llm.core.routes import Route, RoutePlan

__all__ = ["AsyncEngine", "Engine"]

_ORDERS = {LoadBalancingStrategy.ROUND_ROBIN: RegionOrder.ROTATE, LoadBalancingStrategy.RANDOM: RegionOrder.SHUFFLE}


class _Dispatcher:
    """What both loops share: which routes the next request gets."""

    def __init__(
        self,
        policy: ConversePolicy,
        plan: RoutePlan,
        book: RouteBook | None = None,
        balance: LoadBalancingStrategy | None = None,
    ) -> None:
        self.policy = policy
        self.plan = plan
        self.book = book if book is not None else RouteBook()
        self.balance = balance
        self._turns = itertools.count()
        self._failovers: dict[int, Failover] = {}

    def open(self, request: BedrockConverseRequest) -> Conversation:
        """Start a conversation over the routes that are this request's turn."""
        return Conversation(self.policy, request, self._failover(), self.book)

    def _failover(self) -> Failover:
        """The rules over the routes whose turn it is."""
        routes = self.plan.routes(self._regions(next(self._turns)))
        failover = self._failovers.get(id(routes))  # the plan keeps its tuples, so their identity is theirs
        if failover is None:
            failover = self._failovers[id(routes)] = self.policy.failover(routes)
        return failover

    def _regions(self, turn: int) -> Sequence[str]:
        if self.balance is not LoadBalancingStrategy.LEAST_LOADED:
            return self.plan.order(turn, _ORDERS.get(self.balance) if self.balance else None)
        load = dict.fromkeys(self.plan.regions, 0)
        for (_, region), state in self.book.states.items():
            load[region] = load.get(region, 0) + state.in_flight
        return sorted(self.plan.regions, key=load.__getitem__)


class Engine(_Dispatcher):
    """Asks Bedrock from threads. One engine serves any number of them.

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
        super().__init__(policy, plan, book, balance)
        self._transport = transport
        self._clock = clock
        self._sleep = sleep
        self._draw = draw
        self._turn = threading.Condition()

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
                    with self._turn:
                        step = conversation.resume(self._clock())
                case response:
                    return response

    def _call(self, conversation: Conversation, call: Call) -> Call | Wait | BedrockResponse:
        wire = self._enter(conversation, call)
        if not isinstance(wire, WireRequest):
            return wire
        try:
            if call.refresh_credentials:
                self._transport.refresh_credentials()
            outcome = self._transport.send(wire)
        except BaseException:
            self._abandon(conversation)
            raise
        return self._leave(conversation, outcome)

    def _enter(self, conversation: Conversation, call: Call) -> WireRequest | BedrockResponse:
        """Wait for a place on the route; the end of the request where its deadline comes first."""
        with self._turn:
            left = conversation.seconds_left(self._clock())
            if not self._turn.wait_for(lambda: self.book.has_room(call.route), left):
                return conversation.give_up(self._clock())
            return conversation.start(call, self._clock())

    def _leave(self, conversation: Conversation, outcome: Reply | Failure) -> Call | Wait | BedrockResponse:
        with self._turn:
            step = conversation.take(outcome, self._clock(), self._draw())
            self._turn.notify_all()
        return step

    def _abandon(self, conversation: Conversation) -> None:
        with self._turn:
            conversation.abandon(self._clock())
            self._turn.notify_all()


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
        super().__init__(policy, plan, book, balance)
        self._transport = transport
        self._clock = clock
        self._sleep = sleep
        self._draw = draw
        self._waiting: dict[tuple[str, str], deque[asyncio.Future[None]]] = {}

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
        if not self.book.has_room(call.route) and not await self._room(conversation, call.route):
            return conversation.give_up(self._clock())
        wire = conversation.start(call, self._clock())
        try:
            if call.refresh_credentials:
                await self._transport.refresh_credentials()
            outcome = await self._send(conversation, wire)
        except BaseException:
            conversation.abandon(self._clock())
            self._wake(call.route)
            raise
        step = conversation.take(outcome, self._clock(), self._draw())
        self._wake(call.route)
        return step

    async def _send(self, conversation: Conversation, wire: WireRequest) -> Reply | Failure:
        started = self._clock()
        left = conversation.seconds_left(started)
        try:
            async with asyncio.timeout(left) as limit:
                return await self._transport.send(wire)
        except TimeoutError:
            if not limit.expired():
                raise
            return Failure(FailureKind.DEADLINE, duration_seconds=self._clock() - started)

    async def _room(self, conversation: Conversation, route: Route) -> bool:
        """Wait for a place on the route; False where the deadline comes first."""
        queue = self._waiting.setdefault(route.key, deque())
        try:
            async with asyncio.timeout(conversation.seconds_left(self._clock())):
                while not self.book.has_room(route):
                    place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                    queue.append(place)
                    await place
        except TimeoutError:
            return False
        return True

    def _wake(self, route: Route) -> None:
        """Let as many go on as there are places; each looks again for itself."""
        queue = self._waiting.get(route.key)
        if not queue:
            return
        state = self.book.state(route)
        places = max(1, int(state.window)) - state.in_flight
        while queue and places > 0:
            place = queue.popleft()
            if not place.done():
                place.set_result(None)
                places -= 1
