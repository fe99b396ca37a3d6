"""An answer in the shapes of Bedrock: the body of Converse, and the events of ConverseStream.

Shaped after recordings of AWS: text has no contentBlockStart, every event carries padding, usage comes last and in
its own event, and usage has members that the service model does not name.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from .answers import Answer, Block
    from .prompt_cache import CacheUse

__all__ = ["Event", "converse_reply", "stream_events", "usage_of"]

_PIECE_CHARACTERS = 24


class Event(NamedTuple):
    """One event of a stream, before framing. `tokens` is the share of the answer that it carries."""

    kind: str
    payload: dict[str, Any]
    tokens: int = 0


def usage_of(input_tokens: int, output_tokens: int, cached: CacheUse, *, caching: bool) -> dict[str, Any]:
    """The usage member. `input_tokens` is everything that was sent; what the cache took part in is taken off."""
    fresh = max(0, input_tokens - cached.read_tokens - cached.write_tokens)
    usage: dict[str, Any] = {
        "inputTokens": fresh,
        "outputTokens": output_tokens,
        "totalTokens": fresh + output_tokens + cached.read_tokens + cached.write_tokens,
        "serverToolUsage": {},
    }
    if caching:
        usage["cacheReadInputTokens"] = usage["cacheReadInputTokenCount"] = cached.read_tokens
        usage["cacheWriteInputTokens"] = usage["cacheWriteInputTokenCount"] = cached.write_tokens
        if cached.writes:
            usage["cacheDetails"] = [{"ttl": ttl, "inputTokens": tokens} for ttl, tokens in cached.writes]
    return usage


def converse_reply(
    body: Mapping[str, Any], answer: Answer, usage: Mapping[str, Any], latency_ms: int
) -> dict[str, Any]:
    """The body of a Converse reply."""
    return {
        "metrics": {"latencyMs": latency_ms},
        "output": {"message": {"content": list(answer.blocks), "role": "assistant"}},
        "stopReason": answer.stop_reason,
        "usage": usage,
        **_echoes(body, answer),
        **_extra_fields(body, answer),
    }


def _echoes(body: Mapping[str, Any], answer: Answer) -> dict[str, Any]:
    echoes = {key: body[key] for key in ("performanceConfig", "serviceTier") if body.get(key)}
    if answer.trace:
        echoes["trace"] = answer.trace
    return echoes


def _extra_fields(body: Mapping[str, Any], answer: Answer) -> dict[str, Any]:
    pointers = body.get("additionalModelResponseFieldPaths")
    if not pointers:
        return {}
    known = {"/stop_reason": answer.stop_reason, "/stop_sequence": None}
    fields = {pointer[1:]: known[pointer] for pointer in pointers if pointer in known}
    return {"additionalModelResponseFields": fields} if fields else {}


def stream_events(
    body: Mapping[str, Any], answer: Answer, usage: Mapping[str, Any], latency_ms: int
) -> Iterator[Event]:
    """The events of a whole ConverseStream reply, in AWS's order."""
    yield Event("messageStart", {"role": "assistant"})
    for index, block in enumerate(answer.blocks):
        start, deltas = _parts(block)
        if start:
            yield Event("contentBlockStart", {"contentBlockIndex": index, "start": start})
        for delta in deltas:
            tokens = (len(json.dumps(delta)) + 3) // 4
            yield Event("contentBlockDelta", {"contentBlockIndex": index, "delta": delta}, tokens)
        yield Event("contentBlockStop", {"contentBlockIndex": index})
    yield Event("messageStop", {"stopReason": answer.stop_reason, **_extra_fields(body, answer)})
    metadata = {"metrics": {"latencyMs": latency_ms}, "usage": usage, **_echoes(body, answer)}
    yield Event("metadata", metadata)


def _parts(block: Block) -> tuple[dict[str, Any] | None, Sequence[dict[str, Any]]]:
    if "text" in block:
        return None, [{"text": piece} for piece in _pieces(block["text"])]
    if "toolUse" in block:
        use = block["toolUse"]
        start = {"toolUse": {key: value for key, value in use.items() if key != "input"}}
        return start, [{"toolUse": {"input": piece}} for piece in _pieces(json.dumps(use["input"]))]
    if "toolResult" in block:
        result = block["toolResult"]
        start = {"toolResult": {key: value for key, value in result.items() if key != "content"}}
        return start, [{"toolResult": [one]} for one in result["content"]]
    if "reasoningContent" in block:
        return None, _reasoning(block["reasoningContent"])
    if "citationsContent" in block:
        cited = block["citationsContent"]
        texts = [{"text": piece} for one in cited.get("content", ()) for piece in _pieces(one["text"])]
        return None, [*texts, *({"citation": one} for one in cited.get("citations", ()))]
    if "image" in block:
        image = block["image"]
        return {"image": {"format": image["format"]}}, [{"image": {"source": image["source"]}}]
    raise ValueError(f"a block of {next(iter(block), 'nothing')} cannot be streamed. Answer with text or toolUse.")


def _reasoning(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    if "redactedContent" in content:
        return [{"reasoningContent": {"redactedContent": content["redactedContent"]}}]
    told = content["reasoningText"]
    deltas = [{"reasoningContent": {"text": piece}} for piece in _pieces(told["text"])]
    if told.get("signature"):
        deltas.append({"reasoningContent": {"signature": told["signature"]}})
    return deltas


def _pieces(text: str) -> list[str]:
    return [text[place : place + _PIECE_CHARACTERS] for place in range(0, len(text), _PIECE_CHARACTERS)] or [""]
