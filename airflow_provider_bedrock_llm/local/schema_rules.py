"""What Bedrock refuses about the JSON Schema of a structured output."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .wire_errors import validation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .answers import ConverseCall
    from .models import LocalModel

__all__ = ["check_output_schema"]

_BOUNDS = (
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "maxItems",
    "uniqueItems",
)
_PREFIX = "The model returned the following errors: output_config.format.schema: "


def check_output_schema(call: ConverseCall, model: LocalModel) -> None:
    """Refuse a schema that is no JSON, or that the model's vendor does not take.

    Anthropic's models want `additionalProperties: false` on every object and take no bounds, and say so in these words.
    """
    if not (call.body.get("outputConfig") or {}).get("textFormat"):
        return
    if not model.structured_output:
        raise validation("This model doesn't support the outputConfig.textFormat field. Remove it and try again.")
    try:
        schema = call.output_schema
    except json.JSONDecodeError:
        raise validation(f"{_PREFIX}Invalid JSON schema: not valid JSON") from None
    if not model.model_id.startswith("anthropic."):
        return
    for part in _parts(schema):
        kind = part.get("type")
        if kind == "object" and part.get("additionalProperties") is not False:
            raise validation(f"{_PREFIX}For 'object' type, 'additionalProperties' must be explicitly set to false")
        bounds = sorted((key for key in _BOUNDS if key in part), key=str.lower)
        if bounds:
            named = f"property '{bounds[0]}' is" if len(bounds) == 1 else f"properties {', '.join(bounds)} are"
            raise validation(f"{_PREFIX}For '{kind}' type, {named} not supported")


def _parts(schema: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(schema, list):
        for part in schema:
            yield from _parts(part)
    elif isinstance(schema, dict):
        yield schema
        for key in ("properties", "$defs", "definitions"):
            for part in schema.get(key, {}).values():
                yield from _parts(part)
        for key in ("items", "anyOf", "allOf", "oneOf"):
            yield from _parts(schema.get(key))
