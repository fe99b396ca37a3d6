"""An engine that chooses among candidates for each request before it asks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_provider_bedrock_llm.core.errors import LLMManagerError
from airflow_provider_bedrock_llm.core.response import BedrockResponse

if TYPE_CHECKING:
    from collections.abc import Generator

    from airflow_provider_bedrock_llm.aws.converse import AsyncEngine
    from airflow_provider_bedrock_llm.aws.streaming import StreamItem
    from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest
    from airflow_provider_bedrock_llm.core.routing import Choice, Router

__all__ = ["AsyncRoutingEngine", "routed", "routed_stream"]

Likenesses = Callable[["BedrockConverseRequest"], Mapping[str, float]]


class AsyncRoutingEngine:
    """Asks whoever the router chooses. What it chooses depends on the request alone, so a resumed job chooses the same.

    Args:
        engine: asks; its plans know the candidates by their names.
        router: chooses.
        likenesses: how like a request is to each candidate; it may block, and is called in a thread.
    """

    def __init__(self, engine: AsyncEngine, router: Router, likenesses: Likenesses) -> None:
        self._engine = engine
        self._router = router
        self._likenesses = likenesses

    async def ask(self, request: BedrockConverseRequest) -> BedrockResponse:
        """Choose, and get an answer.

        Returns:
            A response that says who was chosen, and why; where `success` is False, `error` says why.
        """
        try:
            likenesses = None
            if self._router.needs_likeness and not request.models:
                likenesses = await asyncio.to_thread(self._likenesses, request)
            choice = self._router.choose(request, likenesses)
        except LLMManagerError as error:
            return BedrockResponse(success=False, error=error, request_id=request.request_id)
        return routed(await self._engine.ask(replace(request, models=choice.models)), choice)


def routed(response: BedrockResponse, choice: Choice) -> BedrockResponse:
    """Write into a response who was chosen, and whether another one answered in the end."""
    first, answered = choice.candidate.name, response.candidate or choice.candidate.name
    reason = choice.reason
    if answered != first:
        reason = f"{first} was chosen ({reason}) and did not answer; {answered} is the next"
    return replace(response, candidate=answered, routing_reason=reason)


def routed_stream(items: Generator[StreamItem, None, None], choice: Choice) -> Generator[StreamItem, None, None]:
    """The same for what a stream yields."""
    with contextlib.closing(items):
        for item in items:
            yield routed(item, choice) if isinstance(item, BedrockResponse) else item
