"""botocore's service models, compiled once into plain functions that check a request.

botocore's own ParamValidator walks the model for every call; here each shape becomes a closure, so that a valid
Converse request is checked in microseconds. What is found wrong is told in the words of AWS's front end.
"""

from __future__ import annotations

import binascii
import functools
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from botocore.loaders import Loader
from botocore.model import ServiceModel, Shape

from .wire_errors import ErrorReply, Refused

__all__ = ["Violation", "compile_shape", "load_service", "refuse"]


class Violation(NamedTuple):
    """One thing wrong with a value. `kind` is "type", "unknown", "union" or "constraint"."""

    kind: str
    path: tuple[str | int, ...]
    text: str
    value: Any = None
    sensitive: bool = False

    def under(self, step: str | int) -> Violation:
        return self._replace(path=(step, *self.path))


# AWS answers with toolUse blocks of type tool_use, and takes them back when a client repeats the message.
_BEYOND_THE_ENUM = {"ToolUseType": ("tool_use",)}

Check = Callable[[Any], list[Violation] | None]


@functools.cache
def load_service(name: str) -> ServiceModel:
    """The newest API version of a service model that the installed botocore carries."""
    return ServiceModel(Loader().load_service_model(name, "service-2"), name)


def compile_shape(shape: Shape, only: frozenset[str] | None = None) -> Check:
    """A function that returns None for a valid JSON value, and else what is wrong with it.

    `only` restricts the outermost structure to these members (those that travel in the body).
    """
    return _compile(shape, {}, only)


def _compile(shape: Shape, seen: dict[str, Check], only: frozenset[str] | None = None) -> Check:
    if shape.name in seen:
        return seen[shape.name]
    seen[shape.name] = lambda value: seen[shape.name](value)  # noqa: PLW0108 - looked up late: shapes may recurse
    kind = shape.type_name
    check: Check
    if getattr(shape, "is_document_type", False):
        check = _accept
    elif kind == "structure":
        check = _structure(shape, seen, only)
    elif kind == "list":
        check = _list(shape, seen)
    elif kind == "map":
        check = _map(shape, seen)
    elif kind == "string":
        check = _string(shape)
    elif kind == "blob":
        check = _blob(shape)
    elif kind == "boolean":
        check = _boolean
    elif kind in {"integer", "long", "float", "double"}:
        check = _number(shape)
    else:
        check = _accept
    seen[shape.name] = check
    return check


def _accept(_value: Any) -> None:
    return None


_TOKENS = {str: "STRING_VALUE", int: "NUMBER_VALUE", float: "NUMBER_VALUE", bool: "BOOLEAN_VALUE"}


def _wrong_type(value: Any, wanted: str) -> list[Violation]:
    if isinstance(value, dict):
        text = "Start of structure or map found where not expected."
    elif isinstance(value, list):
        text = "Start of list found where not expected."
    else:
        article = "an" if wanted[0] in "AEIOU" else "a"
        text = f"{_TOKENS.get(type(value), 'NULL_VALUE')} can not be converted to {article} {wanted}"
    return [Violation("type", (), text, value)]


def _structure(shape: Any, seen: dict[str, Check], only: frozenset[str] | None) -> Check:
    members = {
        member.serialization.get("name", name): _compile(member, seen)
        for name, member in shape.members.items()
        if only is None or name in only
    }
    required = tuple(name for name in shape.required_members if only is None or name in only)
    is_union, union_name = bool(shape.is_tagged_union), shape.name
    get = members.get

    def check(value: Any) -> list[Violation] | None:
        if type(value) is not dict:
            return _wrong_type(value, "Structure")
        found: list[Violation] | None = None
        present = 0
        for name, member in value.items():
            inner = get(name)
            if inner is None:
                found = [*(found or ()), Violation("unknown", (), name)]
            elif member is not None:
                present += 1
                wrong = inner(member)
                if wrong:
                    found = [*(found or ()), *(one.under(name) for one in wrong)]
        for name in required:
            if value.get(name) is None:
                found = [*(found or ()), Violation("constraint", (name,), "Member must not be null")]
        if is_union and present != 1 and not found:
            found = [Violation("union", (), _union_text(union_name, members, present))]
        return found

    return check


def _union_text(name: str, members: Mapping[str, Any], present: int) -> str:
    rule = "must set only one" if present else "must set one"
    return f"{name} object at {{path}} {rule} of the following keys: {', '.join(members)}."


def _list(shape: Any, seen: dict[str, Check]) -> Check:
    inner = _compile(shape.member, seen)
    limits = _length_limits(shape)

    def check(value: Any) -> list[Violation] | None:
        if type(value) is not list:
            return _wrong_type(value, "List")
        found: list[Violation] | None = limits(value) if limits else None
        for index, item in enumerate(value):
            wrong = _wrong_type(item, "Structure") if item is None else inner(item)
            if wrong:
                found = [*(found or ()), *(one.under(index) for one in wrong)]
        return found

    return check


def _map(shape: Any, seen: dict[str, Check]) -> Check:
    check_key, check_value = _compile(shape.key, seen), _compile(shape.value, seen)
    limits = _length_limits(shape)

    def check(value: Any) -> list[Violation] | None:
        if type(value) is not dict:
            return _wrong_type(value, "Map")
        found: list[Violation] | None = limits(value) if limits else None
        for key, item in value.items():
            wrong = [*(check_key(key) or ()), *(check_value(item) or ())]
            if wrong:
                found = [*(found or ()), *(one.under(key) for one in wrong)]
        return found

    return check


def _length_limits(shape: Shape) -> Check | None:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    sensitive = bool(shape.metadata.get("sensitive"))
    if not low and high is None:
        return None

    def check(value: Any) -> list[Violation] | None:
        if low and len(value) < low:
            text = f"Member must have length greater than or equal to {low}"
        elif high is not None and len(value) > high:
            text = f"Member must have length less than or equal to {high}"
        else:
            return None
        return [Violation("constraint", (), text, value, sensitive)]

    return check


def _string(shape: Any) -> Check:
    limits = _length_limits(shape)
    pattern = re.compile(shape.metadata["pattern"]) if "pattern" in shape.metadata else None
    allowed = frozenset((*shape.enum, *_BEYOND_THE_ENUM.get(shape.name, ()))) if shape.enum else frozenset()
    sensitive = bool(shape.metadata.get("sensitive"))
    if not limits and not pattern and not allowed:
        return lambda value: None if type(value) is str else _wrong_type(value, "String")

    def check(value: Any) -> list[Violation] | None:
        if type(value) is not str:
            return _wrong_type(value, "String")
        if allowed and value not in allowed:
            text = f"Member must satisfy enum value set: [{', '.join(shape.enum)}]"
            return [Violation("constraint", (), text, value, sensitive)]
        found = limits(value) if limits else None
        if pattern and not pattern.fullmatch(value):
            text = f"Member must satisfy regular expression pattern: {pattern.pattern}"
            found = [*(found or ()), Violation("constraint", (), text, value, sensitive)]
        return found

    return check


def _blob(shape: Shape) -> Check:
    limits = _length_limits(shape)

    def check(value: Any) -> list[Violation] | None:
        if type(value) is not str:
            return _wrong_type(value, "Blob")
        try:
            data = binascii.a2b_base64(value, strict_mode=True)
        except (binascii.Error, ValueError):
            return [Violation("type", (), "Unable to decode base64 data", value)]
        return [one._replace(sensitive=True) for one in limits(data) or ()] if limits else None

    return check


def _boolean(value: Any) -> list[Violation] | None:
    return None if type(value) is bool else _wrong_type(value, "Boolean")


def _number(shape: Shape) -> Check:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    whole = shape.type_name in {"integer", "long"}
    wanted = shape.type_name.capitalize()

    def check(value: Any) -> list[Violation] | None:
        if type(value) is not int and (whole or type(value) is not float):
            return _wrong_type(value, wanted)
        if low is not None and value < low:
            text = f"Member must have value greater than or equal to {low}"
        elif high is not None and value > high:
            text = f"Member must have value less than or equal to {high}"
        else:
            return None
        return [Violation("constraint", (), text, value)]

    return check


def refuse(found: list[Violation]) -> Refused:
    """The reply that AWS's front end gives: what cannot be read first, then constraints, all of them at once.

    AWS drops some unknown members silently; here each is refused, in the words of a model's own schema check, so
    that a misspelt setting shows.
    """
    first = {kind: one for one in reversed(found) for kind in (one.kind,)}
    if "type" in first:
        return Refused(ErrorReply("SerializationException", 400, first["type"].text))
    if "unknown" in first:
        one = first["unknown"]
        pointer = "#" + "".join(f"/{step}" for step in one.path)
        text = (
            f"The model returned the following errors: Malformed input request: {pointer}: extraneous key "
            f"[{one.text}] is not permitted, please reformat your input and try again."
        )
        return Refused(ErrorReply("ValidationException", 400, text))
    if "union" in first:
        one = first["union"]
        path = ".".join(str(step) for step in one.path)
        return Refused(ErrorReply("ValidationException", 400, one.text.replace("{path}", path)))
    lines = "; ".join(_constraint_text(one) for one in found)
    count = f"{len(found)} validation error{'s' if len(found) > 1 else ''} detected"
    return Refused(ErrorReply("ValidationException", 400, f"{count}: {lines}"))


def _constraint_text(one: Violation) -> str:
    steps = (f"{step + 1}.member" if isinstance(step, int) else step for step in one.path)
    shown = "null" if one.value is None else f"'{one.value}'"
    value = "Value" if one.sensitive else f"Value {shown}"
    return f"{value} at '{'.'.join(steps)}' failed to satisfy constraint: {one.text}"
