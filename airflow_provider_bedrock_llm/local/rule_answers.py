"""The answers that the endpoint gives by itself: repeatable, quick, and no model.

The same request always gets the same reply. A request with a JSON Schema, or with a forced tool, gets a value that
conforms to it. Where the schema or the prompt speaks of sentiment, the value follows a small word list, so that a demo
on product reviews reads sensibly; it is a stand-in and measures nothing.
"""

from __future__ import annotations

import json
import re
from typing import Any

from .answers import Answer, Block, ConverseCall, tool_use
from .schema_value import UnusableSchemaError, generate_value
from .sentiment import sentiment_of
from .token_count import count_text
from .wire_errors import validation

__all__ = ["answer_by_rule"]

_LABELS = re.compile(r"\b(positive|negative|neutral|mixed)\b", re.IGNORECASE)
_FIRST_WORDS = 8


def answer_by_rule(call: ConverseCall) -> Answer | str:
    """The default answerer."""
    tool = call.forced_tool
    if tool is not None:
        value = _value(tool["inputSchema"]["json"], call, f"tools.{tool['name']}.input_schema")
        return Answer(content=(*_reasoning(call), tool_use(call, tool["name"], value)))
    schema = call.output_schema
    text = (
        _sentence(call)
        if schema is None
        else json.dumps(_value(schema, call, "output_config.format.schema"), ensure_ascii=False)
    )
    thought = _reasoning(call)
    return Answer(content=(*thought, {"text": text})) if thought else text


def _value(schema: Any, call: ConverseCall, place: str) -> Any:
    try:
        return generate_value(schema, call.text)
    except UnusableSchemaError as error:
        raise validation(f"The model returned the following errors: {place}: {error}") from error


def _sentence(call: ConverseCall) -> str:
    if "sentiment" in call.prompt.lower() and _LABELS.search(call.prompt):
        return sentiment_of(call.text).label
    words = call.text.split()
    opening = " ".join(words[:_FIRST_WORDS])
    return f"You wrote {len(words)} words, about {count_text(call.text)} tokens, beginning with: {opening}"


def _reasoning(call: ConverseCall) -> tuple[Block, ...]:
    wish = (call.body.get("additionalModelRequestFields") or {}).get("thinking") or {}
    if not isinstance(wish, dict) or wish.get("type") not in {"enabled", "adaptive"}:
        return ()
    thought = {"text": f"The request has {len(call.messages)} messages.", "signature": call.digest}
    return ({"reasoningContent": {"reasoningText": thought}},)
