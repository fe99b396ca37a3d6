"""What one answer of Converse holds, read in the types that a caller wants."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - a type of public fields
from dataclasses import dataclass
from typing import Any, Self

__all__ = ["Citation", "ConverseAnswer", "Reasoning", "ToolUse"]

_UNKNOWN = "SDK_UNKNOWN_MEMBER"
_SERVER_TOOL = "server_tool_use"


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A tool that the model wants used.

    Args:
        tool_use_id: what the result must name.
        name: the tool.
        input: its arguments, an object. A text where the model's JSON was cut or broken.
        type: `server_tool_use` where AWS runs the tool itself.
    """

    tool_use_id: str
    name: str
    input: Any
    type: str | None = None

    @classmethod
    def from_wire(cls, use: Mapping[str, Any]) -> Self:
        """Read a `toolUse` block."""
        return cls(use.get("toolUseId", ""), use.get("name", ""), use.get("input"), use.get("type"))

    def to_wire(self) -> dict[str, Any]:
        """The content block."""
        use = {"toolUseId": self.tool_use_id, "name": self.name, "input": self.input}
        return {"toolUse": use | ({"type": self.type} if self.type is not None else {})}

    @property
    def runs_on_server(self) -> bool:
        """Whether AWS runs the tool, and its result stands in the same answer."""
        return self.type == _SERVER_TOOL


@dataclass(frozen=True, slots=True)
class Reasoning:
    """What the model thought before it answered.

    Args:
        text: the thought, which may be a summary or empty; None where it is redacted.
        signature: proves to the model, when the thought is sent back, that it is its own.
        redacted_content: the encrypted thought.
    """

    text: str | None = None
    signature: str | None = None
    redacted_content: bytes | None = None

    @classmethod
    def from_wire(cls, reasoning: Mapping[str, Any]) -> Self:
        """Read a `reasoningContent` block."""
        told = reasoning.get("reasoningText") or {}
        return cls(told.get("text"), told.get("signature"), reasoning.get("redactedContent"))

    def to_wire(self) -> dict[str, Any]:
        """The content block."""
        if self.redacted_content is not None:
            return {"reasoningContent": {"redactedContent": self.redacted_content}}
        told = {"text": self.text or ""} | ({"signature": self.signature} if self.signature is not None else {})
        return {"reasoningContent": {"reasoningText": told}}


@dataclass(frozen=True, slots=True)
class Citation:
    """A source of something that the answer says.

    Args:
        text: what the answer says.
        title: the source's title.
        source: where it is from.
        source_content: the passages of the source.
        location: where in the source, as AWS says it: `{"documentPage": {...}}` and so on.
    """

    text: str
    title: str | None = None
    source: str | None = None
    source_content: tuple[str, ...] = ()
    location: Mapping[str, Any] | None = None

    @classmethod
    def from_wire(cls, citation: Mapping[str, Any], text: str) -> Self:
        """Read one of the `citations` of a `citationsContent` block."""
        return cls(
            text,
            citation.get("title"),
            citation.get("source"),
            tuple(passage["text"] for passage in citation.get("sourceContent") or () if "text" in passage),
            citation.get("location"),
        )


class ConverseAnswer:
    """Reads an answer in the shape of Converse; what is not in it reads as empty or None."""

    __slots__ = ()

    response_data: Mapping[str, Any]

    def get_content_blocks(self) -> list[Mapping[str, Any]]:
        """The blocks of the answer, in order; empty without an answer."""
        message = (self.response_data.get("output") or {}).get("message") or {}
        return list(message.get("content") or [])

    def get_content_blocks_by_type(self, kind: str) -> list[Any]:
        """What the blocks of one kind hold.

        Args:
            kind: the block's member in the API: `text`, `toolUse`, `image`, `reasoningContent`, ...
        """
        return [block[kind] for block in self.get_content_blocks() if kind in block]

    def get_content(self) -> str | None:
        """The text of the answer, cited text included: all of it, joined; None without any."""
        texts = [text for block in self.get_content_blocks() for text in _texts(block)]
        return "".join(texts) if texts else None

    def get_text_blocks(self) -> list[str]:
        """The text blocks, one by one, without cited text."""
        return self.get_content_blocks_by_type("text")

    def get_image_blocks(self) -> list[Mapping[str, Any]]:
        """The images of the answer: `{"format": ..., "source": {"bytes": ...}}`."""
        return self.get_content_blocks_by_type("image")

    def get_tool_uses(self) -> list[ToolUse]:
        """The tools that the model wants used, or that AWS used for it."""
        return [ToolUse.from_wire(use) for use in self.get_content_blocks_by_type("toolUse")]

    def has_tool_use(self) -> bool:
        """Whether the model waits for the result of a tool of the caller's."""
        return any(not use.runs_on_server for use in self.get_tool_uses())

    def get_reasoning(self) -> list[Reasoning]:
        """The model's thoughts, in order."""
        return [Reasoning.from_wire(reasoning) for reasoning in self.get_content_blocks_by_type("reasoningContent")]

    def get_citations(self) -> list[Citation]:
        """The sources that the answer names, each with the text that it stands for."""
        return [
            Citation.from_wire(citation, "".join(_texts({"citationsContent": cited})))
            for cited in self.get_content_blocks_by_type("citationsContent")
            for citation in cited.get("citations") or ()
        ]

    def get_stop_reason(self) -> str | None:
        """Why the model stopped: `end_turn`, `max_tokens`, `tool_use`, ... The set is open."""
        reason = self.response_data.get("stopReason")
        return str(reason) if reason is not None else None

    def get_usage(self) -> dict[str, Any] | None:
        """Tokens as AWS reported them for the answer."""
        return self._copy("usage")

    def get_input_tokens(self) -> int:
        """Tokens that went in, without those that the prompt cache read or wrote."""
        return self._tokens("inputTokens")

    def get_output_tokens(self) -> int:
        """Tokens of the answer, reasoning included."""
        return self._tokens("outputTokens")

    def get_total_tokens(self) -> int:
        """All tokens, cached ones included."""
        return self._tokens("totalTokens")

    def get_cache_read_tokens(self) -> int:
        """Tokens that came from the prompt cache."""
        return self._tokens("cacheReadInputTokens")

    def get_cache_write_tokens(self) -> int:
        """Tokens that were written to the prompt cache."""
        return self._tokens("cacheWriteInputTokens")

    def get_cache_details(self) -> list[Mapping[str, Any]]:
        """What was written to the prompt cache, by time to live: `{"ttl": "1h", "inputTokens": ...}`."""
        return list((self.response_data.get("usage") or {}).get("cacheDetails") or ())

    def get_metrics(self) -> dict[str, Any] | None:
        """The server's own latency, as AWS reported it."""
        return self._copy("metrics")

    def get_guardrail_trace(self) -> dict[str, Any] | None:
        """What the guardrail saw and did, where the request asked for its trace."""
        trace = (self.response_data.get("trace") or {}).get("guardrail")
        return dict(trace) if trace else None

    def get_invoked_model_id(self) -> str | None:
        """The model that a prompt router chose."""
        invoked: str | None = ((self.response_data.get("trace") or {}).get("promptRouter") or {}).get("invokedModelId")
        return invoked

    def get_performance_config(self) -> dict[str, Any] | None:
        """The latency mode that served the request, where it asked for one."""
        return self._copy("performanceConfig")

    def get_service_tier(self) -> str | None:
        """The tier that served the request: `default`, `flex`, `priority`, `reserved`; None where AWS did not say."""
        tier: str | None = (self.response_data.get("serviceTier") or {}).get("type")
        return tier

    def get_additional_model_response_fields(self) -> dict[str, Any] | None:
        """The fields that the request asked for by `additional_model_response_field_paths`."""
        return self._copy("additionalModelResponseFields")

    def to_message(self) -> dict[str, Any]:
        """The answer as a message that can be sent back to the model.

        Not sent back is what Converse gives but does not take: blank text, blocks newer than the installed botocore,
        and the `type` that AWS writes on tool uses of the caller's.
        """
        blocks = [_sendable(block) for block in self.get_content_blocks()]
        return {"role": "assistant", "content": [block for block in blocks if block]}

    def _copy(self, name: str) -> dict[str, Any] | None:
        value = self.response_data.get(name)
        return dict(value) if value else None

    def _tokens(self, name: str) -> int:
        return int((self.response_data.get("usage") or {}).get(name) or 0)


def _texts(block: Mapping[str, Any]) -> list[str]:
    if "text" in block:
        return [block["text"]]
    cited = block.get("citationsContent") or {}
    return [part["text"] for part in cited.get("content") or () if "text" in part]


def _sendable(block: Mapping[str, Any]) -> dict[str, Any] | None:
    if _UNKNOWN in block or ("text" in block and not block["text"].strip()):
        return None
    if "toolUse" not in block:
        return dict(block)
    use = ToolUse.from_wire(block["toolUse"])
    given = use.input if hasattr(use.input, "keys") else {}
    return ToolUse(use.tool_use_id, use.name, given, use.type if use.runs_on_server else None).to_wire()
