"""A value that conforms to a JSON Schema, the same for the same text.

Covers the vocabulary of everyday schemas: type, enum, const, properties, required, additionalProperties, items,
prefixItems, bounds, multipleOf, lengths, pattern, format, uniqueItems, allOf, anyOf, oneOf, $ref and $defs. What is
not right by construction is checked with the jsonschema library, and other draws are tried.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
from typing import TYPE_CHECKING, Any

from jsonschema.exceptions import SchemaError
from jsonschema.validators import Draft202012Validator, validator_for

from . import field_hints
from .pattern_value import text_matching
from .schema_merge import merge_schemas, resolve_pointer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["UnusableSchemaError", "generate_value"]

_ATTEMPTS = 40
_DEEP = 6
_TOO_DEEP = 40
_NOTES = frozenset({"title", "description", "default", "examples", "$comment"})
_SURE = _NOTES | {
    *("$schema", "$id", "$defs", "definitions", "$ref", "type", "enum", "const", "properties", "required"),
    *(
        "items",
        "minItems",
        "maxItems",
        "minimum",
        "maximum",
        "minLength",
        "maxLength",
        "format",
        "additionalProperties",
    ),
}
_FORMATS: Mapping[str, Callable[[random.Random], str]] = {
    "date": lambda draws: f"2025-{draws.randint(1, 12):02}-{draws.randint(1, 28):02}",
    "time": lambda draws: f"{draws.randint(0, 23):02}:{draws.randint(0, 59):02}:00Z",
    "date-time": lambda draws: f"2025-{draws.randint(1, 12):02}-{draws.randint(1, 28):02}T12:00:00Z",
    "duration": lambda draws: f"P{draws.randint(1, 30)}D",
    "email": lambda draws: f"user{draws.randint(1, 999)}@example.com",
    "hostname": lambda draws: f"host{draws.randint(1, 999)}.example.com",
    "ipv4": lambda draws: f"192.0.2.{draws.randint(1, 254)}",
    "ipv6": lambda draws: f"2001:db8::{draws.randint(1, 9999)}",
    "uri": lambda draws: f"https://example.com/{draws.randint(1, 999)}",
    "uri-reference": lambda draws: f"/{draws.randint(1, 999)}",
    "uuid": lambda draws: f"{draws.getrandbits(32):08x}-0000-4000-8000-{draws.getrandbits(48):012x}",
}


class UnusableSchemaError(ValueError):
    """The schema is not a JSON Schema, or no value for it was found."""


def generate_value(schema: Any, text: str) -> Any:
    """A value for `schema`, made from `text`; `UnusableSchemaError` where there is none to be found."""
    validator = None
    if not _is_sure(schema):
        kind = validator_for(schema, default=Draft202012Validator) if isinstance(schema, dict) else Draft202012Validator
        try:
            kind.check_schema(schema)
        except SchemaError as error:
            raise UnusableSchemaError(f"not a valid JSON Schema: {error.message}") from error
        validator = kind(schema)
    digest = hashlib.sha256(text.encode()).digest()
    problem: Exception | None = None
    for attempt in range(_ATTEMPTS):
        draws = random.Random(digest + bytes((attempt,)))  # noqa: S311 - repeatable on purpose
        try:
            value = _Generator(schema, text, draws, attempt).value(schema, "", 0)
        except (ValueError, TypeError, RecursionError) as error:
            problem = error
            continue
        if validator is None or validator.is_valid(value):
            return value
    raise UnusableSchemaError(f"no value conforms to the schema: {problem or 'its parts contradict each other'}")


def _is_sure(schema: Any) -> bool:
    """Whether values for the schema are right by construction."""
    if not isinstance(schema, dict):
        return schema is True
    if not _SURE.issuperset(schema) or ("enum" in schema and schema.keys() - _NOTES - {"enum", "type"}):
        return False
    if not isinstance(schema.get("additionalProperties", False), bool):
        return False
    children = [*schema.get("properties", {}).values(), *schema.get("$defs", {}).values()]
    if "items" in schema:
        children.append(schema["items"])
    return all(_is_sure(child) for child in children)


class _Generator:
    def __init__(self, root: Any, text: str, draws: random.Random, attempt: int) -> None:
        self._root = root
        self._text = text
        self._draws = draws
        self._attempt = attempt
        self._place = 0

    def value(self, schema: Any, name: str, depth: int) -> Any:
        """A value for one schema; `name` is the property that it is for."""
        if depth > _TOO_DEEP:
            raise UnusableSchemaError("the schema refers to itself without end")
        schema = self._flat(schema, 0)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._of_enum(schema, name)
        return self._of_type(schema, name, depth)

    def _flat(self, schema: Any, hops: int) -> dict[str, Any]:
        """The schema without $ref, allOf, anyOf and oneOf: one alternative chosen, all parts merged."""
        if schema is True:
            return {}
        if not isinstance(schema, dict) or hops > _TOO_DEEP:
            raise UnusableSchemaError("a part of the schema allows no value")
        if "$ref" in schema:
            rest = {key: value for key, value in schema.items() if key != "$ref"}
            target = resolve_pointer(self._root, schema["$ref"])
            return self._flat(merge_schemas([rest, target]) if rest else target, hops + 1)
        for keyword in ("allOf", "anyOf", "oneOf"):
            if keyword in schema:
                rest = {key: value for key, value in schema.items() if key != keyword}
                parts = schema[keyword] if keyword == "allOf" else [self._alternative(schema[keyword])]
                return self._flat(merge_schemas([rest, *(self._flat(part, hops + 1) for part in parts)]), hops + 1)
        return schema

    def _alternative(self, options: list[Any]) -> Any:
        if self._attempt == 0:
            return next((one for one in options if one not in ({"type": "null"}, False)), options[0])
        if self._attempt == 1:
            return options[0]
        return self._draws.choice(options)

    def _of_enum(self, schema: Mapping[str, Any], name: str) -> Any:
        rest = {key: value for key, value in schema.items() if key != "enum"}
        options = schema["enum"]
        if rest.keys() - {"title", "description", "default"}:
            check = Draft202012Validator(
                {
                    **rest,
                    **{
                        key: self._root[key]
                        for key in ("$defs", "definitions")
                        if isinstance(self._root, dict) and key in self._root
                    },
                }
            )
            options = [option for option in options if check.is_valid(option)]
        if not options:
            raise UnusableSchemaError(f"enum of {name or 'the value'} allows nothing")
        hinted = field_hints.choice(name, options, self._text)
        return hinted if hinted is not None else self._draws.choice(options)

    def _of_type(self, schema: Mapping[str, Any], name: str, depth: int) -> Any:
        kind = self._kind(schema)
        if kind == "object":
            return self._object(schema, depth)
        if kind == "array":
            return self._array(schema, name, depth)
        if kind == "string":
            return self._string(schema, name)
        if kind in {"integer", "number"}:
            return self._number(schema, name, whole=kind == "integer")
        if kind == "boolean":
            hinted = field_hints.flag(name, self._text)
            return bool(self._draws.getrandbits(1)) if hinted is None else hinted
        if kind == "null":
            return None
        raise UnusableSchemaError(f"type {kind!r} is none of JSON's")

    def _kind(self, schema: Mapping[str, Any]) -> str:
        kinds = schema.get("type")
        if isinstance(kinds, str):
            return kinds
        if isinstance(kinds, list) and kinds:
            real = [one for one in kinds if one != "null"] or kinds
            return str(real[0] if self._attempt == 0 else self._draws.choice(kinds))
        for kind, words in (
            ("object", {"properties", "required", "additionalProperties", "minProperties", "patternProperties"}),
            ("array", {"items", "prefixItems", "minItems", "uniqueItems", "contains"}),
            ("number", {"minimum", "maximum", "multipleOf", "exclusiveMinimum", "exclusiveMaximum"}),
        ):
            if words & schema.keys():
                return kind
        return "string"

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties") or {}
        required = list(schema.get("required") or ())
        names = [name for name in properties if name in required or (depth < _DEEP and properties[name] is not False)]
        if self._attempt > _ATTEMPTS // 2:
            names = [name for name in names if name in required]
        extra = schema.get("additionalProperties", True)
        result = {}
        for name in [*names, *(name for name in required if name not in properties)]:
            inner = properties.get(name, extra)
            result[name] = self.value(inner, name, depth + 1)
        number = 0
        while len(result) < schema.get("minProperties", 0) and extra is not False:
            number += 1
            result.setdefault(f"field_{number}", self.value(extra, "", depth + 1))
        return result

    def _array(self, schema: Mapping[str, Any], name: str, depth: int) -> list[Any]:
        low, high = schema.get("minItems", 0), schema.get("maxItems")
        first = [self.value(one, name, depth + 1) for one in schema.get("prefixItems", ())]
        inner = schema.get("items", True)
        if inner is False or (depth >= _DEEP and low <= len(first)):
            return first
        wanted = max(low, len(first), self._draws.randint(1, 3))
        if high is not None:
            wanted = min(wanted, max(high, low))
        words = field_hints.words(name, self._text)
        plain = inner in (True, {"type": "string"})
        result = first[:wanted]
        for place in range(len(first), wanted * 20):
            if len(result) >= wanted:
                break
            self._place = place if schema.get("uniqueItems") else 0
            item = words[place] if plain and place < len(words) else self.value(inner, name, depth + 1)
            if not schema.get("uniqueItems") or _unseen(item, result):
                result.append(item)
        return result

    def _string(self, schema: Mapping[str, Any], name: str) -> str:
        low, high = schema.get("minLength", 0), schema.get("maxLength")
        if "pattern" in schema:
            return text_matching(schema["pattern"], self._draws, low)
        make = _FORMATS.get(schema.get("format", ""))
        text = make(self._draws) if make else field_hints.phrase(name, self._text)
        if self._place and not make:
            text = f"{self._place} {text}"
        if len(text) < low:
            text = text.ljust(low, "x")
        return text if high is None else text[:high]

    def _number(self, schema: Mapping[str, Any], name: str, *, whole: bool) -> float:
        step = schema.get("multipleOf") or (1 if whole else None)
        low, high = _bounds(schema, step, whole=whole)
        wanted = field_hints.number(name, self._text, low, high)
        if wanted is None:
            start = low if low is not None else (high - 100 if high is not None else 0)
            end = high if high is not None else start + 100
            wanted = start + (end - start) * self._draws.random()
        if low is not None:
            wanted = max(wanted, low)
        if high is not None:
            wanted = min(wanted, high)
        if not step:
            rounded = round(wanted, 4)
            inside = (low is None or rounded >= low) and (high is None or rounded <= high)
            return rounded if inside else wanted
        steps = round(wanted / step)
        if low is not None:
            steps = max(steps, math.ceil(low / step))
        if high is not None:
            steps = min(steps, math.floor(high / step))
        return steps * step


def _bounds(schema: Mapping[str, Any], step: float | None, *, whole: bool) -> tuple[float | None, float | None]:
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if above is not None:
        just = (math.floor(above / step) + 1) * step if step else _next(above, below, up=True)
        low = just if low is None else max(low, just)
    if below is not None:
        just = (math.ceil(below / step) - 1) * step if step else _next(below, above, up=False)
        high = just if high is None else min(high, just)
    if whole:
        low = None if low is None else math.ceil(low)
        high = None if high is None else math.floor(high)
    if low is not None and high is not None and low > high:
        raise UnusableSchemaError(f"no number lies between {low} and {high}")
    return low, high


def _next(edge: float, other: float | None, *, up: bool) -> float:
    gap = abs(other - edge) / 1_000 if other is not None else max(1e-6, abs(edge) * 1e-6)
    return edge + gap if up else edge - gap


def _unseen(item: Any, items: list[Any]) -> bool:
    shown = json.dumps(item, sort_keys=True)
    return all(json.dumps(one, sort_keys=True) != shown for one in items)
