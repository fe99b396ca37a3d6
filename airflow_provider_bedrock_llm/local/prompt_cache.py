"""Prompt caching as Bedrock accounts for it: what a cache point writes the first time and reads after.

Tokens are counted up to each cache point, in the order tools, system, messages. What a call reads from the cache or
writes to it is not part of its `inputTokens`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .token_count import count_block

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["CacheUse", "PromptCache"]

_TTL_SECONDS = {"5m": 300.0, "1h": 3_600.0}
_KEPT_PREFIXES = 100_000


@dataclass(frozen=True, slots=True)
class CacheUse:
    """Tokens read from the cache and written to it; `writes` has them by time to live."""

    read_tokens: int = 0
    write_tokens: int = 0
    writes: tuple[tuple[str, int], ...] = ()


class PromptCache:
    """The prefixes that are in the cache, each until its time is over; a read renews it."""

    def __init__(self) -> None:
        self._until: dict[tuple[str, bytes], float] = {}

    def reset(self) -> None:
        self._until.clear()

    def account(self, body: Mapping[str, Any], scope: str, min_tokens: int, now: float) -> CacheUse:
        """What this request reads and writes. `scope` keeps accounts, regions and models apart."""
        points = [point for point in _points(body) if point[1] >= min_tokens]
        read = 0
        for digest, tokens, ttl in points:
            if self._until.get((scope, digest), 0.0) > now:
                read = tokens
                self._until[scope, digest] = now + _TTL_SECONDS[ttl]
        writes, before = [], read
        for digest, tokens, ttl in points:
            if tokens > read:
                writes.append((ttl, tokens - before))
                before = tokens
                if len(self._until) < _KEPT_PREFIXES:
                    self._until[scope, digest] = now + _TTL_SECONDS[ttl]
        return CacheUse(read, before - read, tuple(writes))


def _points(body: Mapping[str, Any]) -> Iterator[tuple[bytes, int, str]]:
    running, tokens = hashlib.sha256(), 0
    for block in _blocks(body):
        if "cachePoint" in block:
            yield running.digest(), tokens, block["cachePoint"].get("ttl", "5m")
        else:
            running.update(json.dumps(block, sort_keys=True).encode())
            tokens += count_block(block)


def _blocks(body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from (body.get("toolConfig") or {}).get("tools", ())
    yield from body.get("system") or ()
    for message in body.get("messages") or ():
        yield from message["content"]
