"""Both engines over fake transports, with a clock that only sleeping moves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from harness.routes import make_plan

from airflow_provider_bedrock_llm.aws.converse import AsyncEngine, Engine
from airflow_provider_bedrock_llm.core.config import RetryConfig
from airflow_provider_bedrock_llm.core.conversation import ConversePolicy
from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest, text_message
from airflow_provider_bedrock_llm.testing import AsyncFakeTransport, FakeTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_provider_bedrock_llm.core.response import BedrockResponse

QUESTION = BedrockConverseRequest([text_message("a question")])


class FakeClock:
    """Seconds that pass only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.sleeps: list[float] = []

    def __call__(self) -> float:
        """The time."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Pass."""
        self.sleeps.append(seconds)
        self.now += seconds

    async def async_sleep(self, seconds: float) -> None:
        """Pass, on an event loop."""
        self.sleep(seconds)
        await asyncio.sleep(0)


def in_turn(*answers: Any) -> Callable[[Any], Any]:
    """Answers one after the other; the last one stays."""
    left = list(answers)

    def respond(_request: Any) -> Any:
        return left.pop(0) if len(left) > 1 else left[0]

    return respond


class Talk:
    """A request's way through an engine with a fake transport."""

    def __init__(
        self,
        *answers: Any,
        respond: Callable[[Any], Any] | None = None,
        models: Sequence[Any] = ("m",),
        regions: Sequence[str] = ("us-east-1",),
        options: Any = None,
        policy: dict[str, Any] | None = None,
        **retry: Any,
    ) -> None:
        self.clock = FakeClock()
        config = RetryConfig(**retry)
        self.policy = ConversePolicy(retry=config, **(policy or {}))
        self.plan = make_plan(models, regions, config, **({"options": options} if options else {}))
        self.respond = respond or in_turn(*answers)
        self.transport: FakeTransport | AsyncFakeTransport = FakeTransport(self.respond)

    def ask(self, request: BedrockConverseRequest = QUESTION) -> BedrockResponse:
        """Through the engine for threads."""
        clock = self.clock
        engine = Engine(self.transport, self.policy, self.plan, clock=clock, sleep=clock.sleep, draw=lambda: 0.5)  # type: ignore[arg-type]
        return engine.ask(request)

    async def ask_async(self, request: BedrockConverseRequest = QUESTION) -> BedrockResponse:
        """Through the engine for an event loop."""
        clock = self.clock
        self.transport = AsyncFakeTransport(self.respond)
        engine = AsyncEngine(
            self.transport, self.policy, self.plan, clock=clock, sleep=clock.async_sleep, draw=lambda: 0.5
        )
        return await engine.ask(request)

    @property
    def sent(self) -> list[dict[str, Any]]:
        """The parameters of each call."""
        return [dict(request.params) for request in self.transport.requests]

    @property
    def routes(self) -> list[tuple[str, str]]:
        """Model id and region of each call."""
        return [(request.params["modelId"], request.region) for request in self.transport.requests]
