"""A repeatable stand-in for a tokenizer: about four characters a token."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["count_block", "count_request", "count_text"]

_IMAGE_TOKENS = 1_500
_MEDIA_TOKENS = 2_000


def count_text(text: str) -> int:
    """Tokens of a text: its length over four, rounded up."""
    return (len(text) + 3) // 4


def count_block(block: Mapping[str, Any]) -> int:
    """Tokens of one content block, system block or tool."""
    text = block.get("text")
    if isinstance(text, str):
        return (len(text) + 3) // 4
    if "cachePoint" in block:
        return 0
    if "image" in block:
        return _IMAGE_TOKENS
    if "video" in block or "audio" in block:
        return _MEDIA_TOKENS
    if "document" in block:
        source = block["document"].get("source", {})
        return (len(source.get("bytes", "")) * 3 // 4 + len(source.get("text", "")) + 3) // 4 + 10
    return count_text(json.dumps(block, ensure_ascii=False))


def count_request(body: Mapping[str, Any]) -> int:
    """Input tokens of a Converse body: system, messages and tools."""
    total = _count(body.get("system") or ())
    for message in body.get("messages") or ():
        total += 4 + _count(message["content"])
    tools = (body.get("toolConfig") or {}).get("tools")
    if tools:
        total += _count(tools)
    return total


def _count(blocks: Iterable[Mapping[str, Any]]) -> int:
    return sum(map(count_block, blocks))
