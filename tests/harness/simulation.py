"""The engine's own machines in simulated time: no sleeping, no threads, thousands of requests a second."""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.routes import make_plan

from airflow_provider_bedrock_llm.core.conversation import Conversation, ConversePolicy
from airflow_provider_bedrock_llm.core.failover import Call, Wait
from airflow_provider_bedrock_llm.core.limiter import RouteBook
from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest, text_message
from airflow_provider_bedrock_llm.core.transport import Failure, FailureKind, Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_provider_bedrock_llm.core.routes import Route

    World = Callable[[Route, float, random.Random], tuple[float, Reply | Failure]]

QUESTION = BedrockConverseRequest([text_message("a question")], inference_config={"maxTokens": 100})
_ANSWER = {
    "output": {"message": {"role": "assistant", "content": [{"text": "yes"}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5},
}


def answer(seconds: float) -> tuple[float, Reply]:
    """An answer after so long."""
    return seconds, Reply(_ANSWER, "id", seconds)


def refusal(code: str, status: int, text: str = "", seconds: float = 0.01) -> tuple[float, Failure]:
    """An error of the service after so long."""
    return seconds, Failure(FailureKind.SERVICE, code, text, status)


@dataclass
class Report:
    """What came of it."""

    requests: int
    succeeded: int = 0
    seconds: float = 0.0
    calls: Counter[str] = field(default_factory=Counter)
    failed_calls: Counter[str] = field(default_factory=Counter)


def simulate(  # noqa: C901 - one event loop, read from top to bottom
    world: World, *, requests: int, in_flight: int = 64, regions: Sequence[str] = ("us-east-1",), seed: int = 1
) -> Report:
    """Ask so many questions, so many at once, in a world that answers as it likes."""
    policy, book, rng = ConversePolicy(), RouteBook(), random.Random(seed)
    failover = policy.failover(make_plan(regions=regions).routes(regions))
    report, order, left, busy, now = Report(requests), itertools.count(), requests, 0, 0.0
    lines: dict[Route, deque[tuple[Conversation, Call]]] = {}
    events: list[tuple[float, int, Conversation | None, Any]] = []
    alarms: dict[Route, float] = {}

    def follow(conversation: Conversation, step: Any) -> None:
        nonlocal busy
        if isinstance(step, Call):
            lines.setdefault(step.route, deque()).append((conversation, step))
            book.state(step.route).waiting += 1
        elif isinstance(step, Wait):
            heapq.heappush(events, (now + step.seconds, next(order), conversation, None))
        else:
            busy -= 1
            report.succeeded += step.success
            report.seconds = now

    def start(route: Route, line: deque[tuple[Conversation, Call]]) -> None:
        while line and book.has_room(route):
            conversation, call = line[0]
            wait = book.wait_seconds(route, now, conversation.reserved_tokens(route))
            if wait > 0:
                if not now < alarms.get(route, -1.0) <= now + wait:
                    alarms[route] = now + wait + 1e-6
                    heapq.heappush(events, (alarms[route], next(order), None, None))
                return
            line.popleft()
            book.state(route).waiting -= 1
            conversation.start(call, now)
            seconds, outcome = world(route, now, rng)
            report.calls[route.region] += 1
            report.failed_calls[route.region] += isinstance(outcome, Failure)
            heapq.heappush(events, (now + seconds, next(order), conversation, outcome))

    while True:
        while busy < in_flight and left:
            busy, left = busy + 1, left - 1
            conversation = Conversation(policy, QUESTION, failover, book)
            follow(conversation, conversation.begin(now))
        for route, line in lines.items():
            start(route, line)
        if not busy:
            return report
        now, _, asked, outcome = heapq.heappop(events)
        while asked is None and now not in alarms.values():  # another alarm was set instead
            now, _, asked, outcome = heapq.heappop(events)
        if asked is not None:
            follow(asked, asked.take(outcome, now, rng.random()) if outcome else asked.resume(now))
