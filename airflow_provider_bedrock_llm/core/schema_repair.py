"""Undo what models do to values under forced tools: a list or an object that is written as a JSON text.

Seen at any depth (langchain-aws#1221); done only where the schema allows no text in that place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["repaired"]

_MOST_REFERENCES = 20


def repaired(value: Any, schema: Mapping[str, Any], load: Callable[[str], Any]) -> Any:
    """The value with such texts read.

    Args:
        value: what the model gave.
        schema: the JSON Schema of it.
        load: reads JSON; raises ValueError for what is none.
    """
    return _repaired(value, schema, schema, load)


def _repaired(value: Any, schema: Any, root: Mapping[str, Any], load: Callable[[str], Any]) -> Any:
    options = list(_options(schema, root))
    kinds = {kind for option in options for kind in _kinds(option)}
    if isinstance(value, str) and kinds and kinds <= {"array", "object", "null"}:
        try:
            value = load(value)
        except ValueError:
            return value
    fitting = [option for option in options if ("object" if isinstance(value, dict) else "array") in _kinds(option)]
    if len(fitting) != 1:  # of several options nobody knows which was meant
        return value
    (option,) = fitting
    if isinstance(value, dict):
        properties = option.get("properties") or {}
        return {
            name: _repaired(inner, properties[name], root, load) if name in properties else inner
            for name, inner in value.items()
        }
    if isinstance(value, list) and isinstance(option.get("items"), dict):
        return [_repaired(item, option["items"], root, load) for item in value]
    return value


def _options(schema: Any, root: Mapping[str, Any], depth: int = 0) -> list[Mapping[str, Any]]:
    """What may stand in a place: the schema itself, what it refers to, or each of its alternatives."""
    if not isinstance(schema, dict) or depth > _MOST_REFERENCES:
        return []
    if "$ref" in schema:
        return _options(_referred(schema["$ref"], root), root, depth + 1)
    alternatives = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    if alternatives:
        return [option for one in alternatives for option in _options(one, root, depth + 1)]
    return [schema]


def _referred(reference: str, root: Mapping[str, Any]) -> Any:
    found: Any = root
    for step in reference.removeprefix("#").strip("/").split("/"):
        found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) and step else found
    return found


def _kinds(schema: Mapping[str, Any]) -> set[str]:
    """JSON's types that a schema allows; a type that is not given may be any, a text too."""
    kinds = schema.get("type")
    if isinstance(kinds, list):
        return set(kinds)
    return {kinds} if isinstance(kinds, str) else {"string"}
