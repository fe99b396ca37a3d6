"""Python functions as tools of a model: their schema, their input, their result, and what is said in which turn.

Nothing is called here. `ToolDialogue` takes the model's answers and says which functions to call with what; the loops
in `aws.tools` call them and hand back what came of it.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from pydantic import PydanticSchemaGenerationError, TypeAdapter, ValidationError
from pydantic_core import ArgsKwargs, from_json, to_json

from airflow_provider_bedrock_llm.core.errors import ConfigurationError, ToolLimitError
from airflow_provider_bedrock_llm.core.response import BedrockResponse, Usage

if TYPE_CHECKING:
    from airflow_provider_bedrock_llm.core.answer_parts import ToolUse
    from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest

__all__ = ["PendingTool", "Tool", "ToolCall", "ToolDialogue", "ToolLimits", "ToolOutput", "ToolRun"]

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_SHOWN_ERRORS = 5
_WANTS_RESULTS = frozenset({"tool_use", "end_turn"})
"""Some models say end_turn beside a tool use; with any other reason the tool's input may be cut off."""


@dataclass(frozen=True, slots=True)
class ToolOutput:
    """A tool's result in Converse's own blocks, for images and documents; other results need no wrapping.

    Args:
        content: blocks of `text`, `json`, `image`, `document`, `video` or `searchResult`.
    """

    content: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that a model may ask for.

    Args:
        function: what is called; plain or async.
        name: what the model calls it.
        description: tells the model what it is good for.
        input_schema: JSON Schema of the arguments.
        strict: hold the model to the schema already while it writes, where the model can.
        bind: checks and converts arguments: `ArgsKwargs` -> (args, kwargs).
    """

    function: Callable[..., Any]
    name: str
    description: str | None
    input_schema: Mapping[str, Any]
    strict: bool
    bind: TypeAdapter[Any]

    @classmethod
    def of(
        cls,
        function: Callable[..., Any] | Self,
        *,
        name: str | None = None,
        description: str | None = None,
        strict: bool = False,
    ) -> Self:
        """Make a tool of a function: the schema comes from its type hints, the description from its docstring.

        Describe a parameter by `Annotated[str, pydantic.Field(description=...)]`, or in the docstring.

        Args:
            function: a function or a bound method whose parameters can be given by name.
            name: instead of the function's.
            description: instead of the docstring.
            strict: see `Tool`.

        Raises:
            ConfigurationError: the function cannot be a tool; the text says why.
        """
        if isinstance(function, cls):
            return function
        if not inspect.isroutine(function):
            raise ConfigurationError(f"The tool {function!r} is not a function. Give a function or a bound method.")
        name = name or function.__name__
        if not _NAME.fullmatch(name):
            raise ConfigurationError(
                f"The tool name {name!r} is not allowed. Give `Tool.of(function, name=...)` 1 to 64 letters, digits, _ "
                "and -."
            )
        adapter = _binder(function, name)
        schema = adapter.json_schema()
        if schema.get("type") != "object":
            raise ConfigurationError(
                f"The tool {name!r} has parameters that cannot be given by name. Use named parameters only."
            )
        return cls(function, name, description or inspect.getdoc(function), schema, strict, adapter)

    def to_wire(self) -> dict[str, Any]:
        """The entry of `toolConfig.tools`."""
        spec: dict[str, Any] = {"name": self.name, "inputSchema": {"json": dict(self.input_schema)}}
        if self.description:
            spec["description"] = self.description
        if self.strict:
            spec["strict"] = True
        return {"toolSpec": spec}

    def arguments(self, given: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments to call the function with, checked and converted to the types of its hints.

        Raises:
            ValueError: they do not fit; the text is for the model.
        """
        if not isinstance(given, Mapping):
            raise ValueError("The input is not a JSON object. Call the tool again with a complete one.")  # noqa: TRY004
        try:
            args, kwargs = self.bind.validate_python(ArgsKwargs((), dict(given)))
        except ValidationError as error:
            found = error.errors(include_url=False, include_context=False, include_input=False)
            faults = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in found[:_SHOWN_ERRORS]]
            raise ValueError(f"The input does not fit the schema. {'; '.join(faults)}.") from error
        return args, kwargs


@dataclass(frozen=True, slots=True)
class PendingTool:
    """A tool use that waits for its result.

    Args:
        use: what the model asked for.
        tool: what is to be called; None where there is nothing to call.
        args: positional arguments.
        kwargs: named arguments.
        error: why nothing is to be called, for the model.
    """

    use: ToolUse
    tool: Tool | None = None
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] | None = None
    error: str | None = None

    def failed(self, error: BaseException) -> ToolCall:
        """The function raised."""
        return self.refused(f"{type(error).__name__}: {error}")

    def refused(self, error: str) -> ToolCall:
        """There is no result, and this is why."""
        return ToolCall(self.use.tool_use_id, self.use.name, self.use.input, ({"text": error},), error)

    def returned(self, value: Any) -> ToolCall:
        """The function returned."""
        try:
            content = tuple(_content_of(value))
        except Exception as error:  # noqa: BLE001 - pydantic serializes by the value's own code
            return self.failed(error)
        return ToolCall(self.use.tool_use_id, self.use.name, self.use.input, content)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool use with its result.

    Args:
        tool_use_id: the model's id of it.
        name: the tool.
        input: what the model gave.
        content: the result, in Converse's blocks.
        error: why there is none; it was told to the model.
    """

    tool_use_id: str
    name: str
    input: Any
    content: tuple[Mapping[str, Any], ...]
    error: str | None = None

    def to_wire(self) -> dict[str, Any]:
        """The content block for the model."""
        status = "success" if self.error is None else "error"
        return {"toolResult": {"toolUseId": self.tool_use_id, "content": list(self.content), "status": status}}


@dataclass(frozen=True, slots=True)
class ToolRun:
    """A round trip with tools.

    Args:
        response: the last answer.
        messages: the whole conversation, the last answer included; go on from it with another question.
        calls: every tool use, in order.
        turns: how often a model was asked.
        usage: tokens of all turns.
        cost_usd: price of all turns; None where a price is not known.
    """

    response: BedrockResponse
    messages: tuple[Mapping[str, Any], ...]
    calls: tuple[ToolCall, ...]
    turns: int
    usage: Usage
    cost_usd: float | None

    def followed_by(self, response: BedrockResponse, question: Mapping[str, Any]) -> ToolRun:
        """The same with one more turn without tools."""
        known = None if self.cost_usd is None or response.cost_usd is None else self.cost_usd + response.cost_usd
        messages = (*self.messages, question, response.to_message())
        return ToolRun(response, messages, self.calls, self.turns + 1, self.usage + response.usage, known)


@dataclass(frozen=True, slots=True)
class ToolLimits:
    """When to stop.

    Args:
        max_turns: how often a model is asked at most.
        max_cost_usd: no further turn once so much was paid; the turn that reaches it is paid in full.
    """

    max_turns: int = 10
    max_cost_usd: float | None = None

    def __post_init__(self) -> None:
        if self.max_turns < 1:
            raise ConfigurationError(f"max_turns={self.max_turns} leaves nothing to do. Give at least 1.")
        if self.max_cost_usd is not None and not self.max_cost_usd > 0:
            raise ConfigurationError(f"max_cost_usd={self.max_cost_usd} leaves nothing to spend. Give more than 0.")

    def broken_by(self, run: ToolRun) -> str | None:
        """Why there must be no further turn, if so."""
        if run.turns >= self.max_turns:
            return f"The model still wants tools after {run.turns} turns. Raise `max_turns` (now {self.max_turns})"
        if self.max_cost_usd is None:
            return None
        if run.cost_usd is None:
            return (
                f"The price of {run.response.model_used} is not known, so `max_cost_usd` (now {self.max_cost_usd:g}) "
                "cannot be kept. Use `max_turns` alone"
            )
        if run.cost_usd >= self.max_cost_usd:
            return (
                f"{run.turns} turns cost {run.cost_usd:.6f} USD, and the model still wants tools. Raise `max_cost_usd` "
                f"(now {self.max_cost_usd:g})"
            )
        return None


class ToolDialogue:
    """One round trip: asks, hears which tools are wanted, tells their results, until the model needs none.

    Args:
        request: the first question. Tools of its own (`systemTool`, cache points) are kept; a tool choice, there or
            here, holds for the first turn only, as it would never end otherwise.
        tools: functions, or `Tool`s.
        limits: when to stop.
        tool_choice: `{"any": {}}` or `{"tool": {"name": ...}}` forces a tool in the first turn.

    Raises:
        ConfigurationError: a function cannot be a tool, or two have one name.
    """

    def __init__(
        self,
        request: BedrockConverseRequest,
        tools: Sequence[Callable[..., Any] | Tool],
        limits: ToolLimits,
        tool_choice: Mapping[str, Any] | None = None,
    ) -> None:
        made = [Tool.of(tool) for tool in tools]
        self._tools = {tool.name: tool for tool in made}
        if len(self._tools) < len(made) or not made:
            names = ", ".join(tool.name for tool in made) or "none"
            raise ConfigurationError(f"The tools are {names}. Give at least one, and each name once.")
        given = dict(request.tool_config or {})
        choice = tool_choice or given.get("toolChoice")
        specs = [*given.get("tools", ()), *(tool.to_wire() for tool in made)]
        self._rest = replace(request, tool_config={"tools": specs})
        self.first = replace(request, tool_config={"tools": specs, **({"toolChoice": choice} if choice else {})})
        self._limits = limits
        self._messages: list[Mapping[str, Any]] = list(request.messages)
        self._calls: list[ToolCall] = []
        self._responses: list[BedrockResponse] = []

    def take(self, response: BedrockResponse) -> list[PendingTool]:
        """The model's answer. Empty where it is the last one.

        Raises:
            ToolLimitError: it wants tools, and a limit is met. Nothing of what it wants was called.
        """
        self._responses.append(response)
        self._messages.append(response.to_message())
        if response.get_stop_reason() not in _WANTS_RESULTS:
            return []
        pending = [self._pending(use) for use in response.get_tool_uses() if not use.runs_on_server]
        broken = self._limits.broken_by(self.run) if pending else None
        if broken is not None:
            raise ToolLimitError(f"{broken}, or look at `run` for what was said until then.", run=self.run)
        return pending

    def tell(self, results: Sequence[ToolCall]) -> BedrockConverseRequest:
        """The results of what was pending, in its order; the next request."""
        self._calls += results
        self._messages.append({"role": "user", "content": [result.to_wire() for result in results]})
        return replace(self._rest, messages=tuple(self._messages))

    @property
    def run(self) -> ToolRun:
        """What was said and done so far."""
        usage, costs = Usage(), [response.cost_usd for response in self._responses]
        for response in self._responses:
            usage += response.usage
        known = [cost for cost in costs if cost is not None]
        return ToolRun(
            self._responses[-1],
            tuple(self._messages),
            tuple(self._calls),
            len(self._responses),
            usage,
            sum(known) if len(known) == len(costs) else None,
        )

    def _pending(self, use: ToolUse) -> PendingTool:
        tool = self._tools.get(use.name)
        if tool is None:
            return PendingTool(use, error=f"There is no tool {use.name!r}. There are: {', '.join(self._tools)}.")
        try:
            args, kwargs = tool.arguments(use.input)
        except ValueError as error:
            return PendingTool(use, tool, error=str(error))
        return PendingTool(use, tool, args, kwargs)


def _binder(function: Callable[..., Any], name: str) -> TypeAdapter[Any]:
    """Checks arguments as pydantic's validate_call does, without calling: what the function raises is its own."""

    @functools.wraps(function)
    def bind(*args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return args, kwargs

    checked: Any = bind
    try:
        return TypeAdapter(checked)
    except (PydanticSchemaGenerationError, NameError) as error:
        raise ConfigurationError(
            f"The tool {name!r} has a parameter that JSON cannot hold: {error}. Use types that pydantic knows."
        ) from error


def _content_of(value: Any) -> Sequence[Mapping[str, Any]]:
    """A result in Converse's blocks. `json` takes objects only, and text must not be blank."""
    if isinstance(value, ToolOutput):
        return value.content
    if isinstance(value, str) and value.strip():
        return [{"text": value}]
    plain = from_json(to_json(value, bytes_mode="base64", inf_nan_mode="strings"))
    return [{"json": plain if isinstance(plain, dict) else {"result": plain}}]
