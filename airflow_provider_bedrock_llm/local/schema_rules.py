"""What Bedrock refuses about the JSON Schema of a structured output."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .wire_errors import validation

if TYPE_CHECKING:
    from .answers import ConverseCall
    from .models import LocalModel

__all__ = ["check_output_schema"]

_PREFIX = "The model returned the following errors: output_config.format.schema: "


def check_output_schema(call: ConverseCall, model: LocalModel) -> None:
    """Refuse a schema that is no JSON, or that the model's vendor does not take.

    Anthropic's models want `additionalProperties: false` on every object, and say so in these words.
    """
    if not (call.body.get("outputConfig") or {}).get("textFormat"):
        return
    if not model.structured_output:
        raise validation("This model doesn't support the outputConfig.textFormat field. Remove it and try again.")
    try:
        schema = call.output_schema
    except json.JSONDecodeError:
        raise validation(f"{_PREFIX}Invalid JSON schema: not valid JSON") from None
    if model.model_id.startswith("anthropic.") and _has_open_object(schema):
        raise validation(f"{_PREFIX}For 'object' type, 'additionalProperties' must be explicitly set to false")


def _has_open_object(schema: Any) -> bool:
    if isinstance(schema, list):
        return any(_has_open_object(part) for part in schema)
    if not isinstance(schema, dict):
        return False
    if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        return True
    named = [part for key in ("properties", "$defs", "definitions") for part in schema.get(key, {}).values()]
    parts = [schema[key] for key in ("items", "anyOf", "allOf", "oneOf") if key in schema]
    return any(_has_open_object(part) for part in (*named, *parts))
