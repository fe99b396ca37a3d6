"""A small word-list sentiment: a stand-in for a model's judgement, good enough for a demo on reviews."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

__all__ = ["Sentiment", "sentiment_of"]

_GOOD_WORDS = """
amazing awesome beautiful best better clear comfortable cool crisp delighted durable easily easy enjoy enjoyed
excellent excited fantastic fast favorite fine flawless flawlessly fun glad good great happy helpful impressed
impressive incredible inexpensive intuitive like liked likes love loved loves lovely nice outstanding perfect
perfectly pleased pleasant powerful quick recommend recommended reliable satisfied sharp sleek smooth solid sturdy
super superb terrific useful versatile well wonderful works worth
"""
_GOOD = frozenset(_GOOD_WORDS.split())
_BAD_WORDS = """
annoying awful bad broke broken bulky cheap complaint complaints crap crappy dead defective difficult disappointed
disappointing disappointment dislike error errors expensive fail failed failing fails failure faulty flimsy
frustrating garbage hard hate horrible issue issues junk lack lacks lousy mediocre noisy poor poorly problem
problems refund return returned returning scratched slow terrible trouble ugly uncomfortable unfortunately unhappy
unreliable useless waste wasted weak worse worst worthless wrong
"""
_BAD = frozenset(_BAD_WORDS.split())
_NEGATIONS = frozenset(["not", "no", "never", "cannot", "without", "hardly", "nothing", "neither", "nor"])
_WORD = re.compile(r"[a-z']+")
_TAGGED = re.compile(r"<([a-zA-Z_]\w*)[^>]*>(.*?)</\1>", re.DOTALL)
_NEUTRAL_BELOW = 0.15


class Sentiment(NamedTuple):
    """`score` from -1 (bad) to 1 (good), `strength` from 0 to 1: how much of the text spoke of it."""

    score: float
    strength: float

    @property
    def label(self) -> str:
        if abs(self.score) < _NEUTRAL_BELOW:
            return "neutral"
        return "positive" if self.score > 0 else "negative"


@lru_cache(maxsize=1024)
def sentiment_of(text: str) -> Sentiment:
    """Good words against bad ones, a negation just before turning a word round.

    Where the prompt puts its data between tags, only what stands in the last pair is judged.
    """
    tagged = _TAGGED.findall(text)
    words = _WORD.findall((tagged[-1][1] if tagged else text).lower())
    good = bad = 0
    for place, word in enumerate(words):
        value = (word in _GOOD) - (word in _BAD)
        if value and any(_negates(one) for one in words[max(0, place - 3) : place]):
            value = -value
        good += value > 0
        bad += value < 0
    told = good + bad
    return Sentiment((good - bad) / (told + 1) if told else 0.0, min(1.0, told / 4))


def _negates(word: str) -> bool:
    return word in _NEGATIONS or word.endswith("n't")
