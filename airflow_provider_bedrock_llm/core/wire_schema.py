"""A JSON Schema in the form in which a model takes it. What is checked afterwards stays the caller's own schema.

Bedrock refuses objects that are open, at any depth (future-agi#412). Anthropic's models, whose grammar is compiled from
the schema, also refuse bounds ("For 'number' type, properties maximum, minimum are not supported": hindsight#1289,
litellm#29624, ai-sdk#17597), which are what pydantic's `Field(ge=1)` becomes. So bounds are told to them in words. A
schema that no grammar can hold goes as a tool; tools that are not strict take everything (litellm#39115).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.core.model_id import ModelIdError, parse_model_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["closed_schema", "compiles_a_grammar", "grammar_schema", "takes_forced_tool"]

_NAMED_SCHEMAS = frozenset({"properties", "patternProperties", "$defs", "definitions"})
"""Keywords that hold schemas by name: the names are the caller's, and never keywords."""

_LITERALS = frozenset({"enum", "const", "default", "examples"})
_TOLD_IN_WORDS = (
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
)
_LEFT_OUT = frozenset({"discriminator", "examples", "$schema", "$id"})
_NOT_IN_A_GRAMMAR = frozenset(
    {"patternProperties", "propertyNames", "prefixItems", "not", "if", "then", "else", "contains", "dependentSchemas"}
)
_GRAMMAR_FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
)
_MIN_ITEMS = 1
"""The largest `minItems` that the grammar takes (instructor#2566)."""


def compiles_a_grammar(model_id: str) -> bool:
    """Whether a model refuses bounds: Anthropic's do, and an ARN that does not tell its model may be one of them."""
    return _provider(model_id) in {None, "anthropic"}


def takes_forced_tool(model_id: str) -> bool:
    """Whether `toolChoice` may name a tool: Meta's models refuse it (bifrost#3196), and call the only tool anyway."""
    return _provider(model_id) != "meta"


def closed_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema with its objects closed, where they are not open on purpose."""
    closed: dict[str, Any] = _adapted(dict(schema), for_grammar=False)
    return closed


def grammar_schema(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """The schema as far as a grammar can hold it, with its bounds in words; None where it can not be held at all."""
    sent: dict[str, Any] = _adapted(dict(schema), for_grammar=True)
    return None if _is_open(sent) or _is_recursive(sent) else sent


def _provider(model_id: str) -> str | None:
    try:
        return parse_model_id(model_id).provider
    except ModelIdError:
        return ""


def _adapted(schema: Any, *, for_grammar: bool) -> Any:
    if isinstance(schema, list):
        return [_adapted(item, for_grammar=for_grammar) for item in schema]
    if not isinstance(schema, dict):
        return schema
    adapted: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _NAMED_SCHEMAS and isinstance(value, dict):
            adapted[key] = {name: _adapted(inner, for_grammar=for_grammar) for name, inner in value.items()}
        else:
            adapted[key] = value if key in _LITERALS else _adapted(value, for_grammar=for_grammar)
    if _may_be(adapted, "object") and isinstance(adapted.get("properties"), dict):
        adapted.setdefault("additionalProperties", False)
    return _in_words(adapted) if for_grammar else adapted


def _in_words(schema: dict[str, Any]) -> dict[str, Any]:
    """Move what the grammar refuses into the description."""
    told = [key for key in _TOLD_IN_WORDS if key in schema]
    if isinstance(schema.get("minItems"), int) and schema["minItems"] > _MIN_ITEMS:
        told.append("minItems")
    if isinstance(schema.get("format"), str) and schema["format"] not in _GRAMMAR_FORMATS:
        told.append("format")
    kept = {key: value for key, value in schema.items() if key not in told and key not in _LEFT_OUT}
    if "oneOf" in kept and "anyOf" not in kept:
        kept["anyOf"] = kept.pop("oneOf")
    if told:
        words = ", ".join(f"{key}: {json.dumps(schema[key], ensure_ascii=False)}" for key in told)
        kept["description"] = f"{kept['description']} ({words})" if kept.get("description") else words
    return kept


def _may_be(schema: Mapping[str, Any], kind: str) -> bool:
    kinds = schema.get("type")
    return kind in kinds if isinstance(kinds, list) else kinds == kind


def _is_open(schema: Any) -> bool:
    """Whether an object takes members that it does not name, or something stands there that no grammar says."""
    return any(
        bool(_NOT_IN_A_GRAMMAR & part.keys())
        or (_may_be(part, "object") and part.get("additionalProperties") is not False)
        for part in _parts(schema)
    )


def _is_recursive(schema: Mapping[str, Any]) -> bool:
    """Whether a definition leads back to itself."""
    definitions = {
        f"#/{place}/{name}": inner
        for place in ("$defs", "definitions")
        for name, inner in schema.get(place, {}).items()
    }
    leads_to = {name: {part["$ref"] for part in _parts(inner) if "$ref" in part} for name, inner in definitions.items()}
    if any(part.get("$ref") == "#" for part in _parts(schema)):
        return True
    for start, reached in leads_to.items():
        seen: set[str] = set()
        todo = set(reached)
        while todo:
            name = todo.pop()
            seen.add(name)
            todo |= leads_to.get(name, set()) - seen
        if start in seen:
            return True
    return False


def _parts(schema: Any) -> Iterator[Mapping[str, Any]]:
    """Every schema in a schema, itself first."""
    if isinstance(schema, list):
        for item in schema:
            yield from _parts(item)
    elif isinstance(schema, dict):
        yield schema
        for key, value in schema.items():
            if key in _NAMED_SCHEMAS and isinstance(value, dict):
                for inner in value.values():
                    yield from _parts(inner)
            elif key not in _LITERALS:
                yield from _parts(value)
