"""A text that a regular expression matches: enough for the patterns that JSON Schemas of everyday use hold."""

from __future__ import annotations

import importlib
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import random

__all__ = ["text_matching"]

# The standard library's own parser of patterns. It has no public name since sre_parse went away.
_parser: Any = importlib.import_module("re._parser")
_MORE_THAN_MINIMUM = 3
_PRINTABLE = [chr(code) for code in range(32, 127)]
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_CATEGORIES = {
    "CATEGORY_DIGIT": re.compile(r"\d"),
    "CATEGORY_NOT_DIGIT": re.compile(r"\D"),
    "CATEGORY_WORD": re.compile(r"\w"),
    "CATEGORY_NOT_WORD": re.compile(r"\W"),
    "CATEGORY_SPACE": re.compile(r"\s"),
    "CATEGORY_NOT_SPACE": re.compile(r"\S"),
}


def text_matching(pattern: str, draws: random.Random, at_least: int = 0) -> str:
    """A short text in which `pattern` is found; repeats are stretched towards `at_least` characters.

    ValueError for what is not supported (look-around) or not a pattern.
    """
    try:
        tree = _parser.parse(pattern)
    except re.error as error:
        raise ValueError(f"pattern={pattern!r} is not a regular expression: {error}.") from error
    for stretch in (0, at_least):
        text = _sequence(tree, draws, stretch, {})
        if len(text) >= at_least:
            break
    return text


def _sequence(items: Any, draws: random.Random, stretch: int, groups: dict[int, str]) -> str:
    return "".join(_item(str(op), argument, draws, stretch, groups) for op, argument in items)


def _item(op: str, argument: Any, draws: random.Random, stretch: int, groups: dict[int, str]) -> str:
    if op == "LITERAL":
        return chr(argument)
    if op == "NOT_LITERAL":
        return next(one for one in _LETTERS if ord(one) != argument)
    if op == "ANY":
        return draws.choice(_LETTERS)
    if op == "IN":
        return draws.choice(_choices(argument))
    if op == "BRANCH":
        return _sequence(draws.choice(argument[1]), draws, stretch, groups)
    if op == "SUBPATTERN":
        text = _sequence(argument[3], draws, stretch, groups)
        if argument[0] is not None:
            groups[argument[0]] = text
        return text
    if op == "ATOMIC_GROUP":
        return _sequence(argument, draws, stretch, groups)
    if op == "GROUPREF":
        return groups.get(argument, "")
    if op in {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}:
        low, high, inner = argument
        most = min(int(high), max(int(low) + _MORE_THAN_MINIMUM, stretch))
        times = most if stretch else draws.randint(int(low), most)
        return "".join(_sequence(inner, draws, stretch, groups) for _ in range(times))
    if op == "AT":
        return ""
    raise ValueError(f"pattern element {op} cannot be made up here. Use a simpler pattern.")


def _choices(items: Any) -> list[str]:
    negated = False
    chosen: list[str] = []
    for op, argument in items:
        name = str(op)
        if name == "NEGATE":
            negated = True
        elif name == "LITERAL":
            chosen.append(chr(argument))
        elif name == "RANGE":
            chosen += [chr(code) for code in range(argument[0], min(argument[1], argument[0] + 255) + 1)]
        else:
            kind = _CATEGORIES[str(argument)]
            chosen += [one for one in _PRINTABLE if kind.match(one)]
    if not negated:
        return chosen
    banned = set(chosen)
    return [one for one in _PRINTABLE if one not in banned] or ["\u00e9"]
