"""ConverseStream's events -> text as it comes, and at the end what Converse would have answered.

A fold never raises, whatever comes: events that it does not know are kept where Converse has a place for them, and
members of the wrong type are left out. Text and reasoning have no contentBlockStart, `usage` comes after messageStop
(both as recorded from AWS), and a stream that ends without messageStop is broken, although botocore says nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from airflow_provider_bedrock_llm.core.transport import Failure, FailureKind

__all__ = ["StreamFold", "StreamRecovery", "StreamRestarted"]

_CITATION = "citation"
_UNKNOWN = "SDK_UNKNOWN_MEMBER"
_EXCEPTION = "Exception"


class StreamRecovery(StrEnum):
    """What happens when a stream breaks after text of it was passed on. Before that, the rules of retries hold."""

    FAIL = "fail"
    """The request has failed."""
    RESTART = "restart"
    """The request is asked again; a `StreamRestarted` among the pieces says that all text before it is void."""
    CONTINUE = "continue"
    """The text so far is sent as the beginning of the answer, to a model that goes on from there. Where that cannot
    be (another kind of model, a tool use or reasoning under way, structured output), the request has failed."""


@dataclass(frozen=True, slots=True)
class StreamRestarted:
    """Stands among the pieces of a stream: everything before it is void, the answer starts anew.

    Args:
        cause: the fault that broke the stream.
        void_characters: length of the text that is void.
    """

    cause: str
    void_characters: int


@dataclass(slots=True)
class _Block:
    """A content block that is still being said."""

    start: dict[str, Any] = field(default_factory=dict)
    deltas: list[Mapping[str, Any]] = field(default_factory=list)
    citations: list[Any] = field(default_factory=list)

    @property
    def has_more_than_text(self) -> bool:
        return bool(self.start or self.citations or any(delta.keys() - {"text"} for delta in self.deltas))

    def finished(self) -> list[dict[str, Any]]:
        """The block as Converse gives it: one, unless a stream mixes kinds under one index."""
        said = _joined(self.deltas) if self.deltas else {}
        blocks = []
        text = said.pop("text", None)
        if self.citations:
            content = [{"text": text}] if text is not None else []
            blocks.append({"citationsContent": {"content": content, "citations": self.citations}})
        elif text is not None:
            blocks.append({"text": text})
        for kind in dict.fromkeys([*self.start, *said]):
            blocks += _SHAPES.get(kind, _plain)(kind, self.start.get(kind), said.get(kind))
        return blocks


class StreamFold:
    """Hears one stream, event by event.

    Args:
        before: the text blocks of an answer that this stream continues.
    """

    __slots__ = ("_before", "_blocks", "_heard", "_last", "_members", "_owed", "_role", "_said", "_stopped", "failure")

    def __init__(self, before: Sequence[Mapping[str, Any]] = ()) -> None:
        self._before = list(before)
        self._blocks: dict[int, _Block] = {}
        self._members: dict[str, Any] = {}
        self._role = "assistant"
        self._last = 0
        self._heard = 0
        self._said: list[str] = []
        self._owed = _trailing_space(before[-1]["text"]) if before else ""
        self.failure: Failure | None = None
        self._stopped = False

    @property
    def has_begun(self) -> bool:
        """Whether any event came."""
        return self._heard > 0

    @property
    def is_complete(self) -> bool:
        """Whether the model finished its answer: messageStop came. `usage` may still be missing."""
        return self._stopped

    @property
    def text(self) -> str:
        """The text so far, that of `before` included."""
        return "".join([*(block["text"] for block in self._before), *self._said])

    @property
    def is_only_text(self) -> bool:
        """Whether nothing but text was said."""
        return not any(block.has_more_than_text for block in self._blocks.values())

    def hear(self, event: Any) -> str:
        """Take the next event, as botocore yields it.

        Returns:
            The text in it, "" where there is none. Reasoning and the input of tools are not text.
        """
        self._heard += 1
        piece = ""
        for kind, member in _mapping(event).items():
            if kind == "contentBlockDelta":
                piece += self._hear_delta(member)
            elif kind == "contentBlockStart":
                self._block(member).start.update(_mapping(_mapping(member).get("start")))
            elif kind == "messageStart":
                role = _mapping(member).get("role")
                self._role = role if isinstance(role, str) else self._role
            elif kind == "messageStop":
                self._members.update(_mapping(member))
                self._stopped = self.failure is None
            elif kind == "metadata":
                self._members.update(_mapping(member))
            elif isinstance(kind, str) and kind.endswith(_EXCEPTION) and not self._stopped:
                self.failure = _failure(kind, _mapping(member))
        return piece

    def content(self) -> list[dict[str, Any]]:
        """The content blocks so far, in their order."""
        blocks = [block for index in sorted(self._blocks) for block in self._blocks[index].finished()]
        if not self._before:
            return blocks
        *whole, cut = [dict(block) for block in self._before]
        if blocks and blocks[0].keys() == {"text"}:
            cut["text"] += blocks.pop(0)["text"]
        return [*whole, cut, *blocks]

    def response_data(self) -> dict[str, Any]:
        """The answer in the shape of Converse's."""
        return {**self._members, "output": {"message": {"role": self._role, "content": self.content()}}}

    def _hear_delta(self, member: Any) -> str:
        delta = _mapping(_mapping(member).get("delta"))
        block = self._block(member)
        if _CITATION in delta:
            block.citations.append(delta[_CITATION])
            delta = {kind: value for kind, value in delta.items() if kind != _CITATION}
        text = delta.get("text")
        if isinstance(text, str):
            text = self._without_repeated_space(text)
            delta = {**delta, "text": text}
            self._said.append(text)
        elif "text" in delta:
            delta = {kind: value for kind, value in delta.items() if kind != "text"}
        if delta:
            block.deltas.append(delta)
        return text if isinstance(text, str) else ""

    def _without_repeated_space(self, text: str) -> str:
        """A model must not be given an answer that ends in space, so it may say again the space that was cut off."""
        while self._owed and text:
            if text[0] != self._owed[0]:
                self._owed = ""
                break
            self._owed, text = self._owed[1:], text[1:]
        return text

    def _block(self, member: Any) -> _Block:
        index = _mapping(member).get("contentBlockIndex")
        self._last = index if isinstance(index, int) else self._last
        return self._blocks.setdefault(self._last, _Block())


def _mapping(value: Any) -> Mapping[Any, Any]:
    return value if isinstance(value, Mapping) else {}


def _trailing_space(text: str) -> str:
    return text[len(text.rstrip()) :]


def _failure(kind: str, told: Mapping[str, Any]) -> Failure:
    status = told.get("originalStatusCode")
    return Failure(
        FailureKind.STREAM,
        kind,
        str(told.get("message") or ""),
        original_status=status if isinstance(status, int) else None,
    )


def _joined(values: Sequence[Any]) -> Any:
    """Put increments together: texts, bytes and lists one after the other, objects member by member."""
    last = values[-1]
    if isinstance(last, str):
        return "".join(value for value in values if isinstance(value, str))
    if isinstance(last, (bytes, bytearray)):
        return b"".join(value for value in values if isinstance(value, (bytes, bytearray)))
    if isinstance(last, list):
        return [item for value in values if isinstance(value, list) for item in value]
    if isinstance(last, Mapping):
        parts: dict[Any, list[Any]] = {}
        for value in values:
            for name, member in _mapping(value).items():
                parts.setdefault(name, []).append(member)
        return {name: members[-1] if name == _UNKNOWN else _joined(members) for name, members in parts.items()}
    return last


def _plain(kind: str, start: Any, said: Any) -> list[dict[str, Any]]:
    if isinstance(start, Mapping) and isinstance(said, Mapping):
        return [{kind: {**start, **said}}]
    return [{kind: start if said is None else said}]


def _tool_use(kind: str, start: Any, said: Any) -> list[dict[str, Any]]:
    told = _mapping(said).get("input")
    return [{kind: {**_mapping(start), "input": _parsed(told) if isinstance(told, str) else told or {}}}]


def _parsed(text: str) -> Any:
    """A tool's input that is not JSON, as when the answer was cut at maxTokens, is kept as the text it is."""
    try:
        return json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return text


def _tool_result(kind: str, start: Any, said: Any) -> list[dict[str, Any]]:
    return [{kind: {**_mapping(start), "content": said if isinstance(said, list) else []}}]


def _reasoning(kind: str, _start: Any, said: Any) -> list[dict[str, Any]]:
    told = _mapping(said)
    reasoning = {name: told[name] for name in ("text", "signature") if name in told}
    blocks: list[dict[str, Any]] = [{kind: {"reasoningText": {"text": "", **reasoning}}}] if reasoning else []
    rest = {name: value for name, value in told.items() if name not in reasoning}
    return [*blocks, {kind: rest}] if rest else blocks


_SHAPES = {
    "toolUse": _tool_use,
    "toolResult": _tool_result,
    "reasoningContent": _reasoning,
}
