"""Many requests for one text each, from calls that embed as many texts as the model takes.

A job asks for each row by itself, so that each row is kept by itself. Cohere embeds 96 texts for the price, the
latency and the share of the quota for requests of one.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_bedrock_llm.core.errors import RequestValidationError
from airflow_provider_bedrock_llm.core.response import Usage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest
    from airflow_provider_bedrock_llm.core.response import BedrockResponse

__all__ = ["EmbeddingEngine"]

_LINGER_SECONDS = 0.05


class _Engine(Protocol):
    async def ask(self, request: BedrockConverseRequest) -> BedrockResponse: ...


@dataclass(eq=False)
class _Batch:
    requests: list[BedrockConverseRequest] = field(default_factory=list)
    futures: list[asyncio.Future[BedrockResponse]] = field(default_factory=list)
    task: asyncio.Task[None] | None = None


class EmbeddingEngine:
    """Answers each request with `structured_output={"embedding": [...]}`.

    Args:
        engine: asks the model, through an `EmbeddingDialect`.
        max_texts: how many texts one call takes.
        linger_seconds: how long a text waits for others to share its call.
    """

    def __init__(self, engine: _Engine, max_texts: int = 1, linger_seconds: float = _LINGER_SECONDS) -> None:
        self._engine = engine
        self._max_texts = max_texts
        self._linger_seconds = linger_seconds
        self._open: _Batch | None = None

    async def ask(self, request: BedrockConverseRequest) -> BedrockResponse:
        """Embed the one text of a request, perhaps together with those of others."""
        if self._max_texts == 1:
            return _shares(await self._engine.ask(request), [request])[0]
        batch = self._batch_for(request)
        future: asyncio.Future[BedrockResponse] = asyncio.get_running_loop().create_future()
        batch.requests.append(request)
        batch.futures.append(future)
        if len(batch.requests) == self._max_texts:
            self._send(batch)
        try:
            return await future
        except asyncio.CancelledError:
            if batch.task is not None and all(other.done() for other in batch.futures):
                batch.task.cancel()
            raise

    def _batch_for(self, request: BedrockConverseRequest) -> _Batch:
        batch = self._open
        if batch is not None and _settings(batch.requests[0]) != _settings(request):
            self._send(batch)
            batch = None
        if batch is None:
            batch = self._open = _Batch()
            asyncio.get_running_loop().call_later(self._linger_seconds, self._send, batch)
        return batch

    def _send(self, batch: _Batch) -> None:
        if self._open is batch:
            self._open = None
        if batch.task is None:
            batch.task = asyncio.ensure_future(self._ask_together(batch))

    async def _ask_together(self, batch: _Batch) -> None:
        waiting = [pair for pair in zip(batch.requests, batch.futures, strict=True) if not pair[1].done()]
        if not waiting:
            return
        requests = [request for request, _ in waiting]
        try:
            responses = await self._responses(requests)
        except Exception as error:  # noqa: BLE001 - it is for those who wait, each of them
            for _, future in waiting:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), response in zip(waiting, responses, strict=True):
            if not future.done():
                future.set_result(response)

    async def _responses(self, requests: Sequence[BedrockConverseRequest]) -> Sequence[BedrockResponse]:
        content = [block for request in requests for message in request.messages for block in message["content"]]
        together = replace(requests[0], messages=[{"role": "user", "content": content}])
        response = await self._engine.ask(together)
        if len(requests) > 1 and isinstance(response.error, RequestValidationError):
            # One text that the model refuses, such as one that is too long, must not cost the others their vectors.
            return await asyncio.gather(*(self._alone(request) for request in requests))
        return _shares(response, requests)

    async def _alone(self, request: BedrockConverseRequest) -> BedrockResponse:
        return _shares(await self._engine.ask(request), [request])[0]


def _settings(request: BedrockConverseRequest) -> dict[str, Any]:
    params = request.converse_params("")
    del params["messages"]
    return params


def _shares(response: BedrockResponse, requests: Sequence[BedrockConverseRequest]) -> list[BedrockResponse]:
    """The response of each request: its vector, and its share of tokens and cost by the length of its text."""
    if not response.success:
        return [response.with_request_id(request.request_id) for request in requests]
    vectors = response.response_data["embeddings"]
    if len(requests) == 1:
        return [_own(response, requests[0], vectors[0])]
    lengths = [sum(len(block["text"]) for block in request.messages[0]["content"]) for request in requests]
    ends = [end / sum(lengths) for end in accumulate(lengths)]
    starts = [0.0, *ends]
    return [
        _own(_part_of(response, start, end), request, vector)
        for request, vector, start, end in zip(requests, vectors, starts, ends, strict=False)
    ]


def _own(response: BedrockResponse, request: BedrockConverseRequest, vector: list[float]) -> BedrockResponse:
    return replace(
        response,
        response_data={"usage": response.response_data["usage"]},
        structured_output={"embedding": vector},
        request_id=request.request_id,
    )


def _part_of(response: BedrockResponse, start: float, end: float) -> BedrockResponse:
    """Rounded at the same places for neighbours, so that the parts add up to the whole."""

    def tokens(count: int) -> int:
        return round(count * end) - round(count * start)

    def money(cost_usd: float | None) -> float | None:
        return None if cost_usd is None else cost_usd * (end - start)

    attempts = tuple(
        replace(attempt, usage=Usage(tokens(attempt.usage.input_tokens)), cost_usd=money(attempt.cost_usd))
        for attempt in response.attempts
    )
    usage = {"inputTokens": tokens(response.response_data["usage"]["inputTokens"]), "outputTokens": 0}
    return replace(
        response,
        response_data={"usage": usage | {"totalTokens": usage["inputTokens"]}},
        attempts=attempts,
        cost_usd=money(response.cost_usd),
    )
