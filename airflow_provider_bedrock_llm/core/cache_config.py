"""Settings of prompt caching."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

__all__ = ["MAX_CACHE_POINTS", "CacheConfig", "CachePlace", "CachePoint", "CacheStrategy"]

MAX_CACHE_POINTS = 4

_STRICT = ConfigDict(strict=True, extra="forbid")

TimeToLive = Literal["5m", "1h"]


class CacheStrategy(StrEnum):
    """How much is cached."""

    CONSERVATIVE = "conservative"
    """What is the same in every request: tools, system, a job's fixed prompt; for models that are known to cache."""
    AGGRESSIVE = "aggressive"
    """Also what the next request probably repeats: the conversation so far, and what stands before the last text of a
    message. A wrong guess costs the price of a cache write. Also for models of which nothing is known."""
    CUSTOM = "custom"
    """The places that `custom_points` names, no others."""


class CachePlace(StrEnum):
    """Where a cache point can be put, in the order in which Bedrock reads a request."""

    TOOLS = "tools"
    """After the last tool."""
    SYSTEM = "system"
    """After the last system block."""
    PROMPT = "prompt"
    """After the text that the prompts of a job have in common."""
    CONTEXT = "context"
    """In the last user message, before its last text: images and documents, then the question."""
    CONVERSATION = "conversation"
    """At the end of the last user message."""


@dataclass(frozen=True, config=_STRICT)
class CachePoint:
    """One place of the CUSTOM strategy.

    Args:
        place: where.
        ttl: how long it is kept; None for what the model does by itself, five minutes.
    """

    place: CachePlace
    ttl: TimeToLive | None = None


@dataclass(frozen=True, config=_STRICT)
class CacheConfig:
    """Whether and where prompts are cached. The seeds' other fields had no effect and are not here.

    Args:
        enabled: nothing is placed or taken away without it; points in the request are the caller's own then.
        strategy: how much is cached.
        cache_point_threshold: tokens (estimated) that must stand before a point, where it is more than the minimum of
            the model.
        ttl: how long what CONSERVATIVE and AGGRESSIVE place is kept. `1h` costs more to write, and goes to models
            that are known to have it; others keep five minutes.
        custom_points: the places of CUSTOM. Bedrock reads tools, system, messages in this order, and `1h` may not
            come after five minutes.

    Raises:
        ValueError: CUSTOM without places, places without CUSTOM, one twice, more than four, or a time to live that
            grows.
    """

    enabled: bool = False
    strategy: CacheStrategy = CacheStrategy.CONSERVATIVE
    cache_point_threshold: Annotated[int, Field(ge=0)] = 0
    ttl: TimeToLive | None = None
    custom_points: tuple[CachePoint, ...] = ()

    def __post_init__(self) -> None:
        is_custom = self.strategy is CacheStrategy.CUSTOM
        if is_custom != bool(self.custom_points):
            raise ValueError(
                f"strategy={self.strategy.value!r} and {len(self.custom_points)} custom_points do not go together. "
                "Give custom_points with CUSTOM, and only with it."
            )
        if is_custom and self.ttl is not None:
            raise ValueError(f"ttl={self.ttl!r} has no effect with CUSTOM. Give each of custom_points its own.")
        places = [point.place for point in self.custom_points]
        if len(set(places)) < len(places) or len(places) > MAX_CACHE_POINTS:
            raise ValueError(f"custom_points names {', '.join(places)}. Name each place once, and four at most.")
        ttls = {point.place: point.ttl for point in self.custom_points}
        is_long = [ttls[place] == "1h" for place in CachePlace if place in ttls]
        if is_long != sorted(is_long, reverse=True):
            raise ValueError(
                "custom_points lets a point of 1h come after one of five minutes, which Bedrock refuses. Give 1h to "
                "the places that come first: tools, system, prompt, context, conversation."
            )
