"""What a field's name tells about its value, where it speaks of sentiment or asks for a piece of the text."""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from .sentiment import sentiment_of

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["choice", "flag", "number", "phrase", "words"]

_TAGS = re.compile(r"</?[a-zA-Z_]\w*[^>]*>")
_SENTIMENT = ("sentiment", "polarity", "score", "rating", "stars", "tone", "satisfaction")
_CERTAINTY = ("confidence", "certainty", "probability", "strength")
_LISTS = ("topic", "keyword", "aspect", "tag", "theme", "categor")
_RATING = (1.0, 5.0)
_PHRASE_WORDS = 12


def number(name: str, text: str, low: float | None, high: float | None) -> float | None:
    """A number for a field that names a sentiment or a certainty, spread over its bounds; else None."""
    lowered = name.lower()
    if any(word in lowered for word in _CERTAINTY):
        share = 0.5 + sentiment_of(text).strength / 2
        default = (0.0, 1.0)
    elif any(word in lowered for word in _SENTIMENT):
        share = (sentiment_of(text).score + 1) / 2
        default = _RATING if "rating" in lowered or "star" in lowered else (-1.0, 1.0)
    else:
        return None
    start = default[0] if low is None else low
    end = max(start, default[1]) if high is None else high
    return round(start + share * (end - start), 3)


def choice(name: str, options: Sequence[Any], text: str) -> Any | None:
    """The option that names the text's sentiment, or one that the text itself names; else None."""
    texts = [option for option in options if isinstance(option, str)]
    label = sentiment_of(text).label
    labelled = [option for option in texts if label in option.lower()]
    if labelled and any("positive" in option.lower() or "negative" in option.lower() for option in texts):
        return min(labelled, key=len)
    if label == "neutral" and any(word in name.lower() for word in _SENTIMENT):
        return next((option for option in texts if option.lower() in {"mixed", "none", "unknown"}), None)
    return None


def flag(name: str, text: str) -> bool | None:
    """Whether a yes-or-no field about sentiment holds; None for other fields."""
    lowered = name.lower()
    if any(word in lowered for word in ("positive", "recommend", "satisfied", "happy")):
        return sentiment_of(text).score > 0
    if any(word in lowered for word in ("negative", "complain", "problem", "defect")):
        return sentiment_of(text).score < 0
    return None


def phrase(name: str, text: str) -> str:
    """A short text for a field: its sentiment, its language, or the first words of what was sent."""
    lowered = name.lower()
    if "sentiment" in lowered or lowered == "label":
        return sentiment_of(text).label
    if lowered in {"language", "lang", "language_code"}:
        return "en"
    found = _TAGS.sub(" ", text).split()
    return " ".join(found[:_PHRASE_WORDS]) or "nothing"


def words(name: str, text: str) -> list[str]:
    """The words that a list of topics or keywords would hold; empty for other fields."""
    if not any(word in name.lower() for word in _LISTS):
        return []
    return list(_frequent(text))


@lru_cache(maxsize=256)
def _frequent(text: str) -> tuple[str, ...]:
    long_words = list(re.findall(r"[a-z]{5,}", _TAGS.sub(" ", text).lower()))
    return tuple(word for word, _ in Counter(long_words).most_common(5))
