"""Prompt caching: where cache points go, and what they were worth.

What decides the places, and where it is known from:

- at most four points in a request, none for a model that does not cache, none before the model's minimum of tokens
  (AWS's user guide; the catalog's facts by model). A point too early is ignored by Bedrock, not refused.
- tools are cached by Anthropic's models only (user guide, table of supported models; pydantic-ai's Bedrock profile).
- times to live may not grow from tools over system to messages (strands-agents/harness-sdk#3677).
- Bedrock refuses a point that comes first in a message (the same), after reasoning (anomalyco/opencode#36517,
  0xPlaygrounds/rig#1673), after a document that is no PDF (strands-agents/harness-sdk#1966) and after a video
  (pydantic-ai).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.core.cache_config import (
    MAX_CACHE_POINTS,
    CacheConfig,
    CachePlace,
    CachePoint,
    CacheStrategy,
)
from airflow_provider_bedrock_llm.core.pricing import cost_usd

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_bedrock_llm.core.model_card import ModelCard
    from airflow_provider_bedrock_llm.core.pricing import Prices

__all__ = [
    "CacheConfig",
    "CachePlace",
    "CachePoint",
    "CacheStrategy",
    "FixedPart",
    "cache_savings_usd",
    "estimate_tokens",
    "place_cache_points",
    "without_cache_points",
]

_MIN_TOKENS = 1_024
_CHARACTERS_PER_TOKEN = 4
_MEDIA_TOKENS = 1_500
_TEXT_DOCUMENTS = frozenset({"txt", "md", "csv", "html"})
_CACHES_TOOLS = "anthropic."
_FIRST_MESSAGE = 2
"""The section of the first message, behind tools and system."""

Params = dict[str, Any]


@dataclass(frozen=True, slots=True)
class FixedPart:
    """What the requests of a job have in common.

    Args:
        system: whether the system blocks are the same in all of them.
        prompt_prefix: text that the first message of each begins with.
    """

    system: bool = True
    prompt_prefix: str = ""


@dataclass(frozen=True, slots=True)
class _Spot:
    """A place in one request: after so many blocks of a section."""

    place: CachePlace | None
    section: int
    index: int
    tokens: int
    ttl: str | None


# What is left out first, where the caller's own points leave no room for all, stands last.
_PRIORITY = {
    place: rank
    for rank, place in enumerate(
        (CachePlace.SYSTEM, CachePlace.PROMPT, CachePlace.TOOLS, CachePlace.CONTEXT, CachePlace.CONVERSATION)
    )
}
_SAME_EACH_TIME = (CachePlace.TOOLS, CachePlace.SYSTEM, CachePlace.PROMPT)


def place_cache_points(
    params: Mapping[str, Any], config: CacheConfig, card: ModelCard | None, fixed: FixedPart | None = None
) -> Params:
    """Put cache points into a request for one model.

    Args:
        params: parameters of Converse; not changed. Points that are in it stay, count as points, and are taken out
            only for a model that is known not to cache.
        config: whether and where.
        card: what is known about the model that is asked; None where nothing is.
        fixed: what the request has in common with others of a job; None for a request of its own.

    Returns:
        The parameters with points. What the model reads is the same, except that a job's fixed prompt becomes a
        text block of its own.
    """
    if not config.enabled:
        return dict(params)
    caches = card.supports("prompt_caching") if card is not None else None
    if caches is False:
        return without_cache_points(params)
    if caches is None and config.strategy is CacheStrategy.CONSERVATIVE:
        return dict(params)
    prefix = fixed.prompt_prefix if fixed is not None else ""
    split = _split_prompt(params, prefix)
    if split is not None:
        spots = _choose(split, config, card, fixed, with_prompt=True)
        if any(spot.place is CachePlace.PROMPT for spot in spots):
            return _insert(split, spots)
    return _insert(params, _choose(params, config, card, fixed, with_prompt=False))


def without_cache_points(params: Mapping[str, Any]) -> Params:
    """The same request without any cache point; for a model that does not take them."""
    sections = [[block for block in blocks if "cachePoint" not in block] for blocks in _sections(params)]
    return _with_sections(params, sections)


def estimate_tokens(block: Mapping[str, Any]) -> int:
    """Tokens of a content block, system block or tool: four characters of text each, and 1,500 for what is no text."""
    if "cachePoint" in block:
        return 0
    if isinstance(text := block.get("text"), str):
        return len(text) // _CHARACTERS_PER_TOKEN
    if "document" in block:
        source = block["document"].get("source", {})
        if block["document"].get("format") in _TEXT_DOCUMENTS and "bytes" in source:
            return len(source["bytes"]) // _CHARACTERS_PER_TOKEN
        if "bytes" in source or "s3Location" in source:
            return _MEDIA_TOKENS
    if block.keys() & {"image", "video", "audio"}:
        return _MEDIA_TOKENS
    return len(json.dumps(block, ensure_ascii=False, default=lambda _: "")) // _CHARACTERS_PER_TOKEN


def cache_savings_usd(usage: Mapping[str, Any], prices: Prices | None, *, tier: str | None = None) -> float | None:
    """What the cache saved on one answer, in US dollars; below zero where it was written and hardly read.

    Args:
        usage: Converse's `usage`.
        prices: of the id that was sent.
        tier: the service tier that answered.

    Returns:
        0.0 where the cache took no part; None where it did, and a price that is needed is not known.
    """
    cached = int(usage.get("cacheReadInputTokens") or 0) + int(usage.get("cacheWriteInputTokens") or 0)
    if cached == 0:
        return 0.0
    paid = cost_usd(usage, prices, tier=tier)
    uncached = {
        "inputTokens": int(usage.get("inputTokens") or 0) + cached,
        "outputTokens": usage.get("outputTokens"),
    }
    full = cost_usd(uncached, prices, tier=tier)
    return None if paid is None or full is None else full - paid


def _choose(
    params: Mapping[str, Any],
    config: CacheConfig,
    card: ModelCard | None,
    fixed: FixedPart | None,
    *,
    with_prompt: bool,
) -> list[_Spot]:
    """The caller's own points, as they are, and the new ones, in the order of the request."""
    sections = _sections(params)
    tokens = _tokens_before(sections)
    own = [
        _Spot(None, section, index, 0, block["cachePoint"].get("ttl"))
        for section, blocks in enumerate(sections)
        for index, block in enumerate(blocks)
        if "cachePoint" in block
    ]
    minimum = max(config.cache_point_threshold, _min_tokens(card))
    found = [
        _Spot(place, section, index, tokens[section][index], ttl)
        for place, ttl in _wanted(config, card, fixed).items()
        if (place is not CachePlace.PROMPT or with_prompt)
        for section, index in [_position(place, params, sections)]
        if index > 0 and tokens[section][index] >= minimum
    ]
    taken = {(spot.section, spot.index) for spot in own} | {(spot.section, spot.index + 1) for spot in own}
    free: dict[tuple[int, int], _Spot] = {}
    for spot in sorted(found, key=lambda one: _PRIORITY[one.place or CachePlace.CONVERSATION]):
        if (spot.section, spot.index) not in taken and len(own) + len(free) < MAX_CACHE_POINTS:
            free.setdefault((spot.section, spot.index), spot)
    return _with_lives(sorted([*own, *free.values()], key=lambda one: (one.section, one.index)), card)


def _wanted(config: CacheConfig, card: ModelCard | None, fixed: FixedPart | None) -> dict[CachePlace, str | None]:
    if config.strategy is CacheStrategy.CUSTOM:
        wanted: dict[CachePlace, str | None] = {point.place: point.ttl for point in config.custom_points}
    else:
        guessed = config.strategy is CacheStrategy.AGGRESSIVE and fixed is None
        places = tuple(CachePlace) if guessed else _SAME_EACH_TIME
        wanted = dict.fromkeys(places, config.ttl)
        if fixed is not None and not fixed.system:
            wanted.pop(CachePlace.SYSTEM)
            wanted.pop(CachePlace.PROMPT)
    if card is None or not card.model_id.startswith(_CACHES_TOOLS):
        wanted.pop(CachePlace.TOOLS, None)
    return wanted


def _position(place: CachePlace, params: Mapping[str, Any], sections: Sequence[Sequence[Any]]) -> tuple[int, int]:
    """Section and number of blocks before the point; no blocks where the request has no such place."""
    if place in {CachePlace.TOOLS, CachePlace.SYSTEM}:
        section = 0 if place is CachePlace.TOOLS else 1
        return section, len(sections[section])
    if place is CachePlace.PROMPT:
        return _FIRST_MESSAGE, 1
    messages = params.get("messages") or ()
    last = max((number for number, message in enumerate(messages) if message.get("role") == "user"), default=None)
    if last is None or (last > 0 and _answers_thoughts(messages[last - 1], messages[last])):
        return _FIRST_MESSAGE, 0
    blocks = sections[_FIRST_MESSAGE + last]
    index = len(blocks)
    if place is CachePlace.CONTEXT:
        index = max((number for number, block in enumerate(blocks) if "text" in block), default=0)
    while index > 0 and _refuses_point(blocks[index - 1]):
        index -= 1
    return _FIRST_MESSAGE + last, index


def _answers_thoughts(before: Mapping[str, Any], message: Mapping[str, Any]) -> bool:
    """Bedrock counts tool results to the turn of the model whose thoughts asked for them."""
    return any("reasoningContent" in block for block in before["content"]) and any(
        "toolResult" in block for block in message["content"]
    )


def _refuses_point(block: Mapping[str, Any]) -> bool:
    if "document" in block:
        return bool(block["document"].get("format") != "pdf")
    return bool(block.keys() & {"video", "reasoningContent", "cachePoint"})


def _with_lives(spots: Sequence[_Spot], card: ModelCard | None) -> list[_Spot]:
    """Give each new point a time to live that Bedrock takes in its place, and drop from all what the model has not."""
    known = card.capabilities.get("prompt_cache_ttls") if card is not None else None
    lived: list[_Spot] = []
    for number, spot in enumerate(spots):
        own_later = any(later.ttl == "1h" for later in spots[number:] if later.place is None)
        short_before = any(before.ttl != "1h" for before in lived)
        ttl: str | None = spot.ttl
        if spot.place is not None:
            is_long = (ttl == "1h" and "1h" in (known or ())) or own_later
            ttl = "1h" if is_long and not short_before else None
        if known is not None and ttl not in known:
            ttl = None
        lived.append(_Spot(spot.place, spot.section, spot.index, spot.tokens, ttl))
    return lived


def _min_tokens(card: ModelCard | None) -> int:
    known = card.capabilities.get("prompt_cache_min_tokens") if card is not None else None
    return int(known) if known is not None else _MIN_TOKENS


def _split_prompt(params: Mapping[str, Any], prefix: str) -> Params | None:
    """The request with the fixed part of its first text as a block of its own; None where it does not begin so."""
    messages = list(params.get("messages") or ())
    blocks = list(messages[0]["content"]) if messages else []
    text = blocks[0].get("text") if blocks else None
    if not prefix.strip() or not isinstance(text, str) or not text.startswith(prefix):
        return None
    rest = text[len(prefix) :]
    if not rest.strip():
        return None
    content = [{"text": prefix}, {"text": rest}, *blocks[1:]]
    return dict(params) | {"messages": [{**messages[0], "content": content}, *messages[1:]]}


def _sections(params: Mapping[str, Any]) -> list[Sequence[Mapping[str, Any]]]:
    """Tools, system and the content of each message: what Bedrock reads, in its order."""
    tools = (params.get("toolConfig") or {}).get("tools") or ()
    messages = params.get("messages") or ()
    return [tools, params.get("system") or (), *(message["content"] for message in messages)]


def _tokens_before(sections: Sequence[Sequence[Mapping[str, Any]]]) -> list[list[int]]:
    """For each section, the tokens of the request before each of its blocks and after the last."""
    total = 0
    counted = []
    for blocks in sections:
        before = [total]
        for block in blocks:
            total += estimate_tokens(block)
            before.append(total)
        counted.append(before)
    return counted


def _insert(params: Mapping[str, Any], spots: Sequence[_Spot]) -> Params:
    sections = [list(blocks) for blocks in _sections(params)]
    for spot in reversed(spots):
        point = {"cachePoint": {"type": "default"} | ({"ttl": spot.ttl} if spot.ttl is not None else {})}
        if spot.place is None:
            sections[spot.section][spot.index] = point
        else:
            sections[spot.section].insert(spot.index, point)
    return _with_sections(params, sections)


def _with_sections(params: Mapping[str, Any], sections: Sequence[list[Any]]) -> Params:
    tools, system, *contents = sections
    changed = dict(params)
    if tools:
        changed["toolConfig"] = {**params["toolConfig"], "tools": tools}
    if system:
        changed["system"] = system
    if contents:
        changed["messages"] = [
            {**message, "content": content} for message, content in zip(params["messages"], contents, strict=True)
        ]
    return changed
