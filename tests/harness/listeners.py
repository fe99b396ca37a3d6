"""One request streamed to its end, in a thread or on an event loop."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
from harness.async_transports import open_transport
from harness.endpoint import KEYS, NOVA
from harness.routes import make_plan

from airflow_provider_bedrock_llm.aws.clients import Clients, ClientSettings
from airflow_provider_bedrock_llm.aws.streaming import AsyncStreamEngine, StreamEngine
from airflow_provider_bedrock_llm.aws.transport import BotoTransport
from airflow_provider_bedrock_llm.core.config import Boto3Config, RetryConfig
from airflow_provider_bedrock_llm.core.conversation import ConversePolicy
from airflow_provider_bedrock_llm.core.limiter import RouteBook
from airflow_provider_bedrock_llm.core.stream import StreamRecovery

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_provider_bedrock_llm.aws.streaming import StreamItem
    from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest
    from airflow_provider_bedrock_llm.core.response import BedrockResponse

__all__ = ["Listener"]


class Listener:
    """Streams requests from a local endpoint through the engine for `threads`, or for a loop over a transport."""

    def __init__(
        self,
        mode: str,
        url: str,
        models: Sequence[str] = (NOVA,),
        regions: Sequence[str] = ("us-east-1",),
        policy: dict[str, Any] | None = None,
        read_timeout: float = 20,
        **retry: Any,
    ) -> None:
        self.mode = mode
        config = RetryConfig(**{"retry_delay": 0.0, **retry})
        self.policy = ConversePolicy(retry=config, **(policy or {}))
        self.plan = make_plan(models, regions, config)
        self.plan_for: Callable[..., Any] = make_plan
        self.book = RouteBook()
        self.settings = ClientSettings(
            _session,
            Boto3Config(read_timeout=read_timeout),
            endpoint_url=url,
            keys_first=True,
        )

    def listen(
        self,
        request: BedrockConverseRequest,
        recovery: StreamRecovery = StreamRecovery.FAIL,
        *,
        items: int | None = None,
    ) -> tuple[list[Any], BedrockResponse | None]:
        """What was passed on, and the response; after so many `items` the stream is left."""
        heard: list[StreamItem] = []
        if self.mode == "threads":
            self._in_thread(request, recovery, heard.append, items)
        else:
            asyncio.run(self._on_loop(request, recovery, heard.append, items))
        if items is not None:
            return heard, None
        *said, response = heard
        return said, response  # type: ignore[return-value]

    def ask(self, request: BedrockConverseRequest) -> BedrockResponse:
        """The same request, not streamed."""
        clients = Clients(self.settings)
        response = StreamEngine(BotoTransport(clients), self.policy, self.plan).ask(request)
        _close(clients)
        return response

    def _in_thread(
        self,
        request: BedrockConverseRequest,
        recovery: StreamRecovery,
        hear: Callable[[StreamItem], None],
        items: int | None,
    ) -> None:
        clients = Clients(self.settings)
        stream = StreamEngine(BotoTransport(clients), self.policy, self.plan, self.book, plan_for=self.plan_for).stream(
            request, recovery
        )
        try:
            for number, item in enumerate(stream, 1):
                hear(item)
                if number == items:
                    break
        finally:
            stream.close()
            _close(clients)

    async def _on_loop(
        self,
        request: BedrockConverseRequest,
        recovery: StreamRecovery,
        hear: Callable[[StreamItem], None],
        items: int | None,
    ) -> None:
        transport = open_transport(self.mode, self.settings)
        engine = AsyncStreamEngine(transport, self.policy, self.plan, self.book, plan_for=self.plan_for)
        try:
            async with aclosing(engine.stream(request, recovery)) as stream:
                number = 0
                async for item in stream:
                    hear(item)
                    number += 1
                    if number == items:
                        break
        finally:
            await transport.close()


@cache
def _session() -> boto3.session.Session:
    """One for all listeners: each new one reads the service models again."""
    return boto3.session.Session(**KEYS)


def _close(clients: Clients) -> None:
    for client in clients._clients.values():
        client.close()
