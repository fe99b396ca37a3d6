"""Both engines over HTTP against a local endpoint, behind one way to ask."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any

import boto3
from harness.async_transports import ASYNC_TRANSPORTS, open_transport
from harness.endpoint import KEYS, NOVA, say
from harness.routes import direct_only, make_plan

from airflow_provider_bedrock_llm.aws.clients import Clients, ClientSettings
from airflow_provider_bedrock_llm.aws.converse import AsyncEngine, Engine
from airflow_provider_bedrock_llm.aws.transport import BotoTransport
from airflow_provider_bedrock_llm.core.config import Boto3Config, RetryConfig
from airflow_provider_bedrock_llm.core.conversation import ConversePolicy
from airflow_provider_bedrock_llm.core.limiter import RouteBook
from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_provider_bedrock_llm.core.response import BedrockResponse

LOOPS = ("threads", *ASYNC_TRANSPORTS)
HELLO = BedrockConverseRequest(say("Hello."), inference_config={"maxTokens": 50})


def keys_session() -> boto3.session.Session:
    """A session with keys that the endpoint welcomes."""
    return boto3.session.Session(**KEYS)


class LiveEngine:
    """An engine for threads, or for an event loop over a transport. `ask` takes any number of requests at once."""

    def __init__(
        self,
        loop: str,
        url: str,
        *,
        models: Sequence[str] = (NOVA,),
        regions: Sequence[str] = ("us-east-1",),
        options: Any = direct_only,
        open_session: Callable[[], boto3.session.Session] = keys_session,
        boto3_config: Boto3Config | None = None,
        **retry: Any,
    ) -> None:
        self.loop = loop
        config = RetryConfig(**{"retry_delay": 0.01, **retry})
        self.settings = ClientSettings(
            open_session, boto3_config or Boto3Config(read_timeout=20), endpoint_url=url, keys_first=True
        )
        self.policy = ConversePolicy(retry=config)
        self.plan = make_plan(models, regions, config, options)
        self.book = RouteBook()
        self.plan_for = lambda models: make_plan(models, regions, config, options)

    async def ask(self, *requests: BedrockConverseRequest) -> list[BedrockResponse]:
        """Ask, and let go of every connection."""
        return await (self._in_threads(requests) if self.loop == "threads" else self._on_loop(requests))

    async def _in_threads(self, requests: Sequence[BedrockConverseRequest]) -> list[BedrockResponse]:
        clients = Clients(self.settings)
        engine = Engine(BotoTransport(clients), self.policy, self.plan, self.book, plan_for=self.plan_for)
        try:
            return await asyncio.gather(*(asyncio.to_thread(engine.ask, request) for request in requests))
        finally:
            for client in clients._clients.values():  # boto3 closes sockets only when told
                client.close()
            gc.collect()

    async def _on_loop(self, requests: Sequence[BedrockConverseRequest]) -> list[BedrockResponse]:
        transport = open_transport(self.loop, self.settings)
        engine = AsyncEngine(transport, self.policy, self.plan, self.book, plan_for=self.plan_for)
        try:
            return await asyncio.gather(*(engine.ask(request) for request in requests))
        finally:
            await transport.close()


async def idle(control: Any) -> None:
    """Wait until the endpoint has no call under way; calls that were left behind end with their read timeout."""
    while control.stats().in_flight:  # noqa: ASYNC110 - it is another process's or thread's, and has no event
        await asyncio.sleep(0.05)


def calls_seen(control: Any) -> list[tuple[str, str, str]]:
    """What the endpoint saw: id asked for, region, outcome of each call."""
    return [(call["asked_id"], call["region"], call["outcome"]) for call in control.calls()]
