"""Transports that answer from a Python function.

It stands where boto3 and aiobotocore stand, so nothing needs to be patched:

    transport = FakeTransport(lambda request: "a good answer")
    response = Engine(transport, ...).ask(BedrockConverseRequest([text_message("a question")]))
    assert transport.requests[0].params["messages"] == [text_message("a question")]
"""

from __future__ import annotations

import inspect
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

from airflow_provider_bedrock_llm.core.transport import Failure, FailureKind, Reply, WireRequest

__all__ = [
    "AsyncFakeTransport",
    "FakeEventStream",
    "FakeTransport",
    "answer",
    "failure",
    "stream_events",
    "throttled",
]

Events = Sequence[Mapping[str, Any] | Failure]
Answer = str | Mapping[str, Any] | Reply | Failure | Events


def answer(text: str, *, stop_reason: str = "end_turn", **usage: int) -> dict[str, Any]:
    """A Converse answer with one text block.

    Args:
        text: the answer.
        stop_reason: why the model stopped.
        usage: token counts in the API's names; 10 in and 5 out otherwise.
    """
    tokens = {"inputTokens": 10, "outputTokens": 5} | usage
    return {
        "output": {"message": {"role": "assistant", "content": [{"text": text}]}},
        "stopReason": stop_reason,
        "usage": tokens | {"totalTokens": sum(tokens.values())},
        "metrics": {"latencyMs": 1},
    }


def stream_events(data: Mapping[str, Any], *, piece_characters: int = 8) -> list[dict[str, Any]]:
    """The events in which ConverseStream would give a Converse answer.

    Args:
        data: the answer.
        piece_characters: length of the pieces of text, reasoning and tool input.
    """
    message = data["output"]["message"]
    events: list[dict[str, Any]] = [{"messageStart": {"role": message["role"]}}]
    for index, block in enumerate(message["content"]):
        start, deltas = _parts(block, piece_characters)
        if start:
            events.append({"contentBlockStart": {"start": start, "contentBlockIndex": index}})
        events += [{"contentBlockDelta": {"delta": delta, "contentBlockIndex": index}} for delta in deltas]
        events.append({"contentBlockStop": {"contentBlockIndex": index}})
    last = ("stopReason", "additionalModelResponseFields")
    events.append({"messageStop": {name: data[name] for name in last if name in data}})
    metadata = {name: value for name, value in data.items() if name not in {"output", *last}}
    return [*events, {"metadata": metadata}]


def failure(code: str, message: str = "", status: int = 400, **details: Any) -> Failure:
    """An error that AWS answered."""
    return Failure(FailureKind.SERVICE, code, message, status, request_id="fake-request", **details)


def throttled() -> Failure:
    """The answer of an account that asks too often."""
    return failure("ThrottlingException", "Too many requests, please wait before trying again.", 429)


class FakeEventStream:
    """Yields events, for threads and for event loops.

    Args:
        events: what comes; the last may be a `Failure`.
        request_id: of the call.
    """

    def __init__(self, events: Events, request_id: str | None = None) -> None:
        self._events = events
        self.request_id = request_id
        self.closed = False

    def __iter__(self) -> Iterator[Mapping[str, Any] | Failure]:
        """Yield them."""
        yield from self._events

    async def __aiter__(self) -> AsyncIterator[Mapping[str, Any] | Failure]:
        """Yield them."""
        for event in self._events:
            yield event

    def close(self) -> None:
        """Take note."""
        self.closed = True


class FakeTransport:
    """Answers requests from a function and remembers them.

    Args:
        respond: takes the `WireRequest`; returns text, a Converse answer, a `Reply` or a `Failure`; for a stream
            also a list of events, of which the last may be a `Failure`.
    """

    def __init__(self, respond: Callable[[WireRequest], Answer]) -> None:
        self._respond = respond
        self.requests: list[WireRequest] = []
        self.refreshes = 0

    def send(self, request: WireRequest) -> Reply | Failure:
        """Answer."""
        self.requests.append(request)
        return _outcome(self._respond(request), len(self.requests))

    def open_stream(self, request: WireRequest) -> FakeEventStream | Failure:
        """Answer in events. Where the function returns a list, these are the events."""
        self.requests.append(request)
        return _stream(self._respond(request), len(self.requests))

    def refresh_credentials(self) -> None:
        """Count."""
        self.refreshes += 1


class AsyncFakeTransport:
    """The same for an event loop; the function may be a coroutine function."""

    def __init__(self, respond: Callable[[WireRequest], Answer | Awaitable[Answer]]) -> None:
        self._respond = respond
        self.requests: list[WireRequest] = []
        self.refreshes = 0

    async def send(self, request: WireRequest) -> Reply | Failure:
        """Answer."""
        self.requests.append(request)
        number = len(self.requests)
        given = self._respond(request)
        return _outcome(await given if inspect.isawaitable(given) else given, number)

    async def open_stream(self, request: WireRequest) -> FakeEventStream | Failure:
        """Answer in events. Where the function returns a list, these are the events."""
        self.requests.append(request)
        number = len(self.requests)
        given = self._respond(request)
        return _stream(await given if inspect.isawaitable(given) else given, number)

    async def refresh_credentials(self) -> None:
        """Count."""
        self.refreshes += 1


def _outcome(given: Any, number: int) -> Reply | Failure:
    if isinstance(given, (Reply, Failure)):
        return given
    data = answer(given) if isinstance(given, str) else given
    return Reply(data, f"fake-{number}", 0.001)


def _stream(given: Any, number: int) -> FakeEventStream | Failure:
    if isinstance(given, list):
        return FakeEventStream(given, f"fake-{number}")
    outcome = _outcome(given, number)
    return outcome if isinstance(outcome, Failure) else FakeEventStream(stream_events(outcome.data), outcome.request_id)


def _parts(block: Mapping[str, Any], size: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    kind, held = next(iter(block.items()))
    if kind == "text":
        return {}, [{"text": piece} for piece in _pieces(held, size)]
    if kind == "toolUse":
        deltas = [{"toolUse": {"input": piece}} for piece in _pieces(json.dumps(held["input"]), size)]
        return {kind: {name: value for name, value in held.items() if name != "input"}}, deltas
    if kind == "toolResult":
        start = {kind: {name: value for name, value in held.items() if name != "content"}}
        return start, [{kind: [item]} for item in held["content"]]
    if kind == "reasoningContent":
        if "redactedContent" in held:
            return {}, [{kind: {"redactedContent": held["redactedContent"]}}]
        told = held["reasoningText"]
        signature = [{kind: {"signature": told["signature"]}}] if "signature" in told else []
        return {}, [*({kind: {"text": piece}} for piece in _pieces(told["text"], size)), *signature]
    if kind == "citationsContent":
        texts = [{"text": piece} for part in held["content"] for piece in _pieces(part["text"], size)]
        return {}, [*texts, *({"citation": citation} for citation in held["citations"])]
    if kind == "image":
        return {kind: {"format": held["format"]}}, [{kind: {"source": held["source"]}}]
    return {kind: held}, []


def _pieces(text: str, size: int) -> list[str]:
    return [text[place : place + size] for place in range(0, len(text), size)] or [""]
