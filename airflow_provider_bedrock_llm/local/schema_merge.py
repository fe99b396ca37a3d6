"""JSON Schemas put together: what must hold when several must hold at once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["merge_schemas", "resolve_pointer"]

_LARGER = frozenset({"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"})
_SMALLER = frozenset({"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"})


def resolve_pointer(root: Any, reference: str) -> Any:
    """What a local `$ref` points at; ValueError for a remote or a dangling one."""
    if not reference.startswith("#"):
        raise ValueError(f"$ref={reference!r} is outside the schema. Only references within it are followed.")
    found = root
    for step in filter(None, unquote(reference[1:]).split("/")):
        key = step.replace("~1", "/").replace("~0", "~")
        try:
            found = found[int(key)] if isinstance(found, list) else found[key]
        except (KeyError, IndexError, ValueError, TypeError):
            raise ValueError(f"$ref={reference!r} points at nothing in the schema. Correct it.") from None
    return found


def merge_schemas(parts: Iterable[Any]) -> dict[str, Any]:
    """One schema that allows what all of `parts` allow, as far as their keywords can be joined."""
    merged: dict[str, Any] = {}
    for part in parts:
        if part is True:
            continue
        if part is False:
            raise ValueError("a part of the schema is false and allows no value.")
        for key, value in part.items():
            merged[key] = _join(key, merged[key], value) if key in merged else value
    return merged


def _join(key: str, one: Any, other: Any) -> Any:
    if key in _LARGER:
        return max(one, other)
    if key in _SMALLER:
        return min(one, other)
    if key == "required":
        return [*one, *(name for name in other if name not in one)]
    if key == "properties":
        joined = dict(one)
        for name, schema in other.items():
            joined[name] = {"allOf": [joined[name], schema]} if name in joined else schema
        return joined
    if key == "enum":
        return [option for option in one if option in other]
    if key == "type":
        return _join_types(one, other)
    if key == "items":
        return {"allOf": [one, other]}
    if key == "additionalProperties" and False in {
        one if isinstance(one, bool) else None,
        other if isinstance(other, bool) else None,
    }:
        return False
    if key in {"allOf", "$defs", "definitions"}:
        return [*one, *other] if isinstance(one, list) else {**one, **other}
    if key == "multipleOf" and isinstance(one, int) and isinstance(other, int):
        return math.lcm(one, other)
    return other


def _join_types(one: Any, other: Any) -> Any:
    left = {one} if isinstance(one, str) else set(one)
    right = {other} if isinstance(other, str) else set(other)
    both = left & right
    if "integer" in left | right and "number" in left | right:
        both.add("integer")
    if not both:
        raise ValueError(f"no value is both {one} and {other}.")
    return sorted(both)
