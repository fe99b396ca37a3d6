"""Transports to other services than Bedrock, through LiteLLM, which is imported when the first of them is called.

The engine above them makes the retries and knows the prices, so LiteLLM makes none, and asks nobody for its own table
of prices.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import itertools
import logging
import os
import time
from functools import cache
from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.core.chat_completion import (
    UntranslatableError,
    chat_request,
    converse_events,
    converse_reply,
)
from airflow_provider_bedrock_llm.core.errors import ConfigurationError
from airflow_provider_bedrock_llm.core.services import OPENAI_SHAPED
from airflow_provider_bedrock_llm.core.transport import Failure, FailureKind, Reply, WireRequest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from airflow_provider_bedrock_llm.aws.lean_transport import LeanTransport
    from airflow_provider_bedrock_llm.aws.transport import AioTransport, BotoTransport
    from airflow_provider_bedrock_llm.core.services import ServiceCall
    from airflow_provider_bedrock_llm.core.transport import AsyncEventStream, EventStream

    Calls = Mapping[tuple[str, str], ServiceCall]

__all__ = ["AsyncServiceSwitch", "ServiceSwitch", "require_litellm"]

_LONGEST_TEXT_CHARACTERS = 600
_NEVER_CONNECTED = frozenset({"ConnectError", "ConnectTimeout", "ClientConnectorError", "ConnectionRefusedError"})


def require_litellm(service: str) -> None:
    """Find out whether LiteLLM is installed, without importing it.

    Args:
        service: who needs it.

    Raises:
        ConfigurationError: it is not.
    """
    if importlib.util.find_spec("litellm") is None:
        raise ConfigurationError(
            f"{service} is called through LiteLLM, which is not installed. Install it with "
            "`pip install 'airflow-provider-bedrock-llm[router]'`, or leave candidates of other services than Bedrock "
            "out."
        )


@cache
def _litellm() -> Any:
    """LiteLLM without a word to anybody. Takes seconds."""
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    litellm: Any = importlib.import_module("litellm")
    litellm.telemetry = False
    litellm.suppress_debug_info = True
    logging.getLogger("LiteLLM").setLevel(logging.WARNING)  # it logs prompts
    return litellm


@cache
def _without_mcp() -> dict[str, Any]:
    """LiteLLM 1.106 looks at every tool whether it is one of its gateway's, with a library that it does not bring."""
    if importlib.util.find_spec("mcp") is not None:
        return {}
    _litellm()
    has_gateway = importlib.util.find_spec("litellm.responses.mcp.chat_completions_handler") is not None
    return {"_skip_mcp_handler": True} if has_gateway else {}


class _Caller:
    """What threads and event loops share: a request in LiteLLM's words, and what comes of it in the engine's."""

    def __init__(self, calls: Calls, read_timeout_seconds: float) -> None:
        self._calls = calls
        self._keys = {key for call in calls.values() for key in call.keys}
        self._timeout_seconds = read_timeout_seconds
        self._turns = itertools.count()

    def arguments(self, request: WireRequest) -> dict[str, Any] | Failure:
        service, model = str(request.service), request.params["modelId"]
        call = self._calls[service, model]
        if not call.keys:
            return Failure(FailureKind.SERVICE, "AuthenticationError", f"There is no key for {service}.", 401)
        try:
            chat = chat_request(request.params)
        except UntranslatableError as error:
            return Failure(FailureKind.REJECTED, type(error).__name__, str(error))
        key = call.keys[next(self._turns) % len(call.keys)]
        return {
            **chat,
            "model": call.model,
            "api_base": call.api_base,
            "api_key": key or "none",
            "timeout": self._timeout_seconds,
            "num_retries": 0,
            "max_retries": 0,
            **(_without_mcp() if "tools" in chat else {}),
        }

    def reply(self, completion: Any, started: float) -> Reply | Failure:
        seconds = time.monotonic() - started
        data = completion.model_dump()
        try:
            return Reply(converse_reply(data), data.get("id"), seconds)
        except (KeyError, IndexError, TypeError) as error:
            return Failure(FailureKind.CONNECTION_LOST, type(error).__name__, "The answer is no chat completion.")

    def failure(self, error: Exception, started: float) -> Failure:
        """What LiteLLM raised. Its exceptions are named after OpenAI's, whoever answered."""
        litellm = _litellm()
        seconds = time.monotonic() - started
        name = type(error).__name__
        text = str(error).removeprefix(f"litellm.{name}: ").removeprefix(f"{name}: ")
        for key in filter(None, self._keys):
            text = text.replace(key, "***")  # services quote what they do not like
        text = text[:_LONGEST_TEXT_CHARACTERS]
        if _never_connected(error):
            kind = FailureKind.CONNECTION_FAILED
        elif isinstance(error, litellm.Timeout):
            kind = FailureKind.READ_TIMEOUT
        elif isinstance(error, litellm.APIConnectionError):
            kind = FailureKind.CONNECTION_LOST
        else:
            kind = FailureKind.SERVICE
        return Failure(
            kind,
            name,
            text,
            getattr(error, "status_code", None),
            retry_after_seconds=_retry_after_seconds(error),
            duration_seconds=seconds,
        )


class ServiceSwitch:
    """For threads: Bedrock's requests go one way, those of other services the other.

    Args:
        bedrock: calls Bedrock.
        calls: (service, model) -> how it is called.
        read_timeout_seconds: how long a service may take.
    """

    def __init__(self, bedrock: BotoTransport, calls: Calls, read_timeout_seconds: float) -> None:
        self._bedrock = bedrock
        self._caller = _Caller(calls, read_timeout_seconds)

    def send(self, request: WireRequest) -> Reply | Failure:
        """Send one request and wait for its outcome."""
        if request.service is None:
            return self._bedrock.send(request)
        arguments = self._caller.arguments(request)
        if isinstance(arguments, Failure):
            return arguments
        litellm = _litellm()
        started = time.monotonic()
        try:
            return self._caller.reply(litellm.completion(**arguments), started)
        except Exception as error:  # noqa: BLE001 - LiteLLM raises whatever its providers do
            return self._caller.failure(error, started)

    def open_stream(self, request: WireRequest) -> EventStream | Failure:
        """Send one request and wait for its answer to begin; that of another service comes in one piece."""
        if request.service is None:
            return self._bedrock.open_stream(request)
        outcome = self.send(request)
        return outcome if isinstance(outcome, Failure) else _WholeAnswer(outcome)

    def refresh_credentials(self) -> None:
        """Pass on."""
        self._bedrock.refresh_credentials()


class AsyncServiceSwitch:
    """The same for an event loop."""

    def __init__(self, bedrock: LeanTransport | AioTransport, calls: Calls, read_timeout_seconds: float) -> None:
        self._bedrock = bedrock
        self._caller = _Caller(calls, read_timeout_seconds)
        self._clients: dict[tuple[str, str], Any] = {}

    async def send(self, request: WireRequest) -> Reply | Failure:
        """Send one request and await its outcome. A cancellation passes through."""
        if request.service is None:
            return await self._bedrock.send(request)
        litellm = await asyncio.to_thread(_litellm)
        arguments = self._caller.arguments(request)
        if isinstance(arguments, Failure):
            return arguments
        started = time.monotonic()
        try:
            completion = await litellm.acompletion(**arguments, client=self._client(arguments))
            return self._caller.reply(completion, started)
        except Exception as error:  # noqa: BLE001 - LiteLLM raises whatever its providers do
            return self._caller.failure(error, started)

    async def open_stream(self, request: WireRequest) -> AsyncEventStream | Failure:
        """Send one request and await the beginning of its answer; that of another service comes in one piece."""
        if request.service is None:
            return await self._bedrock.open_stream(request)
        outcome = await self.send(request)
        return outcome if isinstance(outcome, Failure) else _AsyncWholeAnswer(outcome)

    async def refresh_credentials(self) -> None:
        """Pass on."""
        await self._bedrock.refresh_credentials()

    async def close(self) -> None:
        """Close every connection."""
        await self._bedrock.close()
        for client in self._clients.values():
            await client.close()

    def _client(self, arguments: Mapping[str, Any]) -> Any:
        """A client of this transport's own, which it can close; LiteLLM's live on in its cache, past their loop."""
        if not arguments["model"].startswith(OPENAI_SHAPED):
            return None
        key = (str(arguments["api_base"]), arguments["api_key"])
        if key not in self._clients:
            openai: Any = importlib.import_module("openai")  # LiteLLM brings it
            self._clients[key] = openai.AsyncOpenAI(
                api_key=arguments["api_key"],
                base_url=arguments["api_base"],
                timeout=arguments["timeout"],
                max_retries=0,
            )
        return self._clients[key]


class _WholeAnswer:
    """An answer as the events of a stream."""

    def __init__(self, reply: Reply) -> None:
        self.request_id = reply.request_id
        self._reply = reply

    def __iter__(self) -> Iterator[Mapping[str, Any] | Failure]:
        return converse_events(self._reply.data)

    def close(self) -> None:
        """There is nothing to let go of."""


class _AsyncWholeAnswer(_WholeAnswer):
    """The same on an event loop."""

    async def __aiter__(self) -> AsyncIterator[Mapping[str, Any] | Failure]:
        for event in converse_events(self._reply.data):
            yield event


def _never_connected(error: BaseException | None) -> bool:
    while error is not None:
        if type(error).__name__ in _NEVER_CONNECTED:
            return True
        error = error.__cause__ or error.__context__
    return False


def _retry_after_seconds(error: Exception) -> float | None:
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    try:
        seconds = float(headers.get("retry-after", ""))
    except ValueError:
        return None
    return seconds if seconds >= 0 else None
