"""For tests of DAGs and of this package: a transport that answers from a Python function.

It stands where boto3 and aiobotocore stand, so nothing needs to be patched:

    transport = FakeTransport(lambda request: "a good answer")
    response = Engine(transport, ...).ask(BedrockConverseRequest([text_message("a question")]))
    assert transport.requests[0].params["messages"] == [text_message("a question")]
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from airflow_provider_bedrock_llm.core.transport import Failure, FailureKind, Reply, WireRequest

__all__ = ["AsyncFakeTransport", "FakeTransport", "answer", "failure", "throttled"]

Answer = str | Mapping[str, Any] | Reply | Failure


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


def failure(code: str, message: str = "", status: int = 400, **details: Any) -> Failure:
    """An error that AWS answered."""
    return Failure(FailureKind.SERVICE, code, message, status, request_id="fake-request", **details)


def throttled() -> Failure:
    """The answer of an account that asks too often."""
    return failure("ThrottlingException", "Too many requests, please wait before trying again.", 429)


class FakeTransport:
    """Answers requests from a function and remembers them.

    Args:
        respond: takes the `WireRequest`; returns text, a Converse answer, a `Reply` or a `Failure`.
    """

    def __init__(self, respond: Callable[[WireRequest], Answer]) -> None:
        self._respond = respond
        self.requests: list[WireRequest] = []
        self.refreshes = 0

    def send(self, request: WireRequest) -> Reply | Failure:
        """Answer."""
        self.requests.append(request)
        return _outcome(self._respond(request), len(self.requests))

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

    async def refresh_credentials(self) -> None:
        """Count."""
        self.refreshes += 1


def _outcome(given: Any, number: int) -> Reply | Failure:
    if isinstance(given, (Reply, Failure)):
        return given
    data = answer(given) if isinstance(given, str) else given
    return Reply(data, f"fake-{number}", 0.001)
