"""The loops that run a model's tools: they ask, call the functions, and tell their results."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest
from airflow_provider_bedrock_llm.core.tools import PendingTool, Tool, ToolCall, ToolDialogue, ToolLimits, ToolRun

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from airflow_provider_bedrock_llm.core.response import BedrockResponse

__all__ = ["run_tools", "run_tools_async"]


def run_tools(
    ask: Callable[[BedrockConverseRequest], BedrockResponse],
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Callable[..., Any] | Tool],
    *,
    max_turns: int = 10,
    max_cost_usd: float | None = None,
    tool_choice: Mapping[str, Any] | None = None,
    raise_on: tuple[type[Exception], ...] = (),
    **fields: Any,
) -> ToolRun:
    """Let a model use Python functions until it has its answer.

    What a function raises is told to the model, which may try again or do without. Functions of one turn run one
    after the other; async ones too, each on an event loop of its own.

    Args:
        ask: sends one request, such as `Engine.ask`.
        messages: Converse messages; the last one is the question.
        tools: functions whose parameters have type hints, or `Tool`s.
        max_turns: how often the model is asked at most.
        max_cost_usd: no further turn once so much was paid.
        tool_choice: forces a tool in the first turn: `{"any": {}}` or `{"tool": {"name": ...}}`.
        raise_on: exceptions of the functions that end the round trip instead.
        **fields: the other fields of `BedrockConverseRequest`.

    Raises:
        ConfigurationError: a function cannot be a tool.
        ToolLimitError: a limit was met; `run` has what was said and done.
        LLMManagerError: no answer; which kind says why.
    """
    limits = ToolLimits(max_turns, max_cost_usd)
    dialogue = ToolDialogue(BedrockConverseRequest(messages, **fields), tools, limits, tool_choice)
    request = dialogue.first
    while pending := dialogue.take(_answered(ask(request))):
        request = dialogue.tell([_call(one, raise_on) for one in pending])
    return dialogue.run


async def run_tools_async(
    ask: Callable[[BedrockConverseRequest], Awaitable[BedrockResponse]],
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Callable[..., Any] | Tool],
    *,
    max_turns: int = 10,
    max_cost_usd: float | None = None,
    tool_choice: Mapping[str, Any] | None = None,
    raise_on: tuple[type[Exception], ...] = (),
    **fields: Any,
) -> ToolRun:
    """The same on an event loop; see `run_tools`.

    Functions of one turn run at once: async ones on the loop, plain ones each in a thread.
    """
    limits = ToolLimits(max_turns, max_cost_usd)
    dialogue = ToolDialogue(BedrockConverseRequest(messages, **fields), tools, limits, tool_choice)
    request = dialogue.first
    while pending := dialogue.take(_answered(await ask(request))):
        results = await asyncio.gather(*(_call_async(one, raise_on) for one in pending), return_exceptions=True)
        request = dialogue.tell([_result(result) for result in results])
    return dialogue.run


def _answered(response: BedrockResponse) -> BedrockResponse:
    if response.error is not None:
        raise response.error
    return response


def _call(pending: PendingTool, raise_on: tuple[type[Exception], ...]) -> ToolCall:
    if pending.tool is None or pending.error is not None:
        return pending.refused(pending.error or "")
    try:
        value = pending.tool.function(*pending.args, **(pending.kwargs or {}))
        if inspect.isawaitable(value):
            value = asyncio.run(_await(value))
    except raise_on:
        raise
    except Exception as error:  # noqa: BLE001 - the caller's code; its errors are the model's to deal with
        return pending.failed(error)
    return pending.returned(value)


async def _call_async(pending: PendingTool, raise_on: tuple[type[Exception], ...]) -> ToolCall:
    if pending.tool is None or pending.error is not None:
        return pending.refused(pending.error or "")
    function, kwargs = pending.tool.function, pending.kwargs or {}
    try:
        if inspect.iscoroutinefunction(function):
            value = await function(*pending.args, **kwargs)
        else:
            value = await asyncio.to_thread(function, *pending.args, **kwargs)
            value = await value if inspect.isawaitable(value) else value
    except raise_on:
        raise
    except Exception as error:  # noqa: BLE001 - the caller's code; its errors are the model's to deal with
        return pending.failed(error)
    return pending.returned(value)


async def _await(value: Awaitable[Any]) -> Any:
    return await value


def _result(result: ToolCall | BaseException) -> ToolCall:
    if isinstance(result, BaseException):
        raise result
    return result
