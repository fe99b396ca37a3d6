"""Where answers come from: the seam between the endpoint and whatever makes up a reply.

An answerer is a function `(ConverseCall) -> Answer | str | dict`, plain or async. A text is the reply's text; a dict is
JSON: the input of the forced tool where there is one, else the text. It may raise `Refused` to answer with an error.
A plain function runs on the endpoint's event loop, so it should be quick; an async one may wait.
"""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeAlias

from .token_count import count_block

__all__ = ["Answer", "Answerer", "ConverseCall", "complete", "load_answerer"]

Block: TypeAlias = Mapping[str, Any]
_CHARACTERS_A_TOKEN = 4


@dataclass(frozen=True)
class ConverseCall:
    """One Converse or ConverseStream request, as an answerer sees it. `body` is the request's JSON."""

    operation: str
    model_id: str
    asked_id: str
    region: str
    body: Mapping[str, Any]

    @property
    def messages(self) -> Sequence[Mapping[str, Any]]:
        return self.body.get("messages") or ()

    @cached_property
    def text(self) -> str:
        """The text of the last user message."""
        for message in reversed(self.messages):
            if message["role"] == "user":
                return _joined(message["content"])
        return ""

    @cached_property
    def system(self) -> str:
        return _joined(self.body.get("system") or ())

    @cached_property
    def prompt(self) -> str:
        """All text of the request: system prompt and every message."""
        parts = [self.system, *(_joined(message["content"]) for message in self.messages)]
        return "\n".join(part for part in parts if part)

    @property
    def metadata(self) -> Mapping[str, str]:
        return self.body.get("requestMetadata") or {}

    @property
    def max_tokens(self) -> int | None:
        return (self.body.get("inferenceConfig") or {}).get("maxTokens")

    @property
    def stop_sequences(self) -> Sequence[str]:
        return (self.body.get("inferenceConfig") or {}).get("stopSequences") or ()

    @cached_property
    def output_schema(self) -> Any | None:
        """The JSON Schema of outputConfig.textFormat, parsed; None where there is none."""
        text_format = (self.body.get("outputConfig") or {}).get("textFormat")
        return json.loads(text_format["structure"]["jsonSchema"]["schema"]) if text_format else None

    @cached_property
    def forced_tool(self) -> Mapping[str, Any] | None:
        """The toolSpec that toolChoice forces (`any` forces the first), unless its result is already there."""
        config = self.body.get("toolConfig") or {}
        choice = config.get("toolChoice") or {}
        specs = [tool["toolSpec"] for tool in config.get("tools", ()) if "toolSpec" in tool]
        if "tool" in choice:
            return next((spec for spec in specs if spec["name"] == choice["tool"]["name"]), None)
        return specs[0] if "any" in choice and specs else None

    @cached_property
    def digest(self) -> str:
        """A hash of what is asked; equal requests have equal digests."""
        return hashlib.sha256(self.prompt.encode()).hexdigest()


@dataclass(frozen=True)
class Answer:
    """A reply: text or content blocks. What is None is worked out by the endpoint.

    `output_tokens` and `input_tokens` replace the heuristic count, `delay_seconds` adds to the endpoint's latency.
    """

    text: str = ""
    content: Sequence[Block] = field(default_factory=tuple)
    stop_reason: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    delay_seconds: float = 0.0
    trace: Mapping[str, Any] | None = None

    @property
    def blocks(self) -> Sequence[Block]:
        return self.content or ({"text": self.text},)


Answerer: TypeAlias = Callable[
    [ConverseCall], "Answer | str | dict[str, Any] | Awaitable[Answer | str | dict[str, Any]]"
]


def complete(call: ConverseCall, given: Answer | str | Mapping[str, Any]) -> Answer:
    """The full answer: a dict put where the request wants it, stop sequences and maxTokens obeyed, tokens counted."""
    if isinstance(given, str):
        answer = Answer(given)
    elif isinstance(given, Answer):
        answer = given
    elif call.forced_tool is not None:
        answer = Answer(content=(tool_use(call, call.forced_tool["name"], given),))
    else:
        answer = Answer(json.dumps(given, ensure_ascii=False))
    blocks, stop = _stopped(answer.blocks, call.stop_sequences)
    blocks, tokens, cut = _within(blocks, call.max_tokens)
    if answer.stop_reason:
        stop = answer.stop_reason
    elif cut:
        stop = "max_tokens"
    elif not stop:
        stop = "tool_use" if any("toolUse" in block for block in blocks) else "end_turn"
    spent = answer.output_tokens if answer.output_tokens is not None else tokens
    return replace(answer, text="", content=tuple(blocks), stop_reason=stop, output_tokens=spent)


def tool_use(call: ConverseCall, name: str, arguments: Any, number: int = 0) -> dict[str, Any]:
    """A toolUse block with an id of AWS's form, the same for the same request."""
    digest = hashlib.sha256(f"{call.digest}{name}{number}".encode()).hexdigest()
    identifier = f"tooluse_{digest[:22]}"
    return {"toolUse": {"toolUseId": identifier, "name": name, "input": arguments, "type": "tool_use"}}


def _joined(blocks: Sequence[Block]) -> str:
    if len(blocks) == 1 and "text" in blocks[0]:
        return str(blocks[0]["text"])
    parts = []
    for block in blocks:
        if "text" in block:
            parts.append(block["text"])
        elif "guardContent" in block and "text" in block["guardContent"]:
            parts.append(block["guardContent"]["text"]["text"])
        elif "toolResult" in block:
            parts.append(_joined([one for one in block["toolResult"]["content"] if "text" in one]))
    return "\n".join(parts)


def _stopped(blocks: Sequence[Block], sequences: Sequence[str]) -> tuple[list[Block], str]:
    if not sequences:
        return list(blocks), ""
    kept: list[Block] = []
    for block in blocks:
        text = block.get("text")
        found = [text.find(one) for one in sequences if one in text] if isinstance(text, str) else []
        if found:
            return [*kept, {"text": text[: min(found)]}], "stop_sequence"  # type: ignore[index]
        kept.append(block)
    return kept, ""


def _within(blocks: list[Block], max_tokens: int | None) -> tuple[list[Block], int, bool]:
    total = 0
    kept: list[Block] = []
    for block in blocks:
        tokens = max(1, count_block(block))
        if max_tokens is not None and total + tokens > max_tokens:
            left = max_tokens - total
            if isinstance(block.get("text"), str) and left:
                kept.append({"text": block["text"][: left * _CHARACTERS_A_TOKEN]})
            elif "toolUse" in block:
                kept.append({"toolUse": {**block["toolUse"], "input": {}}})
            return kept, max_tokens, True
        total += tokens
        kept.append(block)
    return kept, total, False


def load_answerer(name: str) -> Answerer:
    """The function that `module:function` names; ValueError says what is wrong with the name."""
    module_name, _, function_name = name.partition(":")
    if not module_name or not function_name:
        raise ValueError(f"answers={name!r} is not module:function. Give both, such as my_answers:answer.")
    answerer: Answerer | None = getattr(importlib.import_module(module_name), function_name, None)
    if answerer is None:
        raise ValueError(f"answers={name!r}: {module_name} has no function {function_name}. Check its name.")
    return answerer
