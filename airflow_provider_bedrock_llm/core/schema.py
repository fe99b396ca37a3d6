"""Structured output: a JSON Schema or pydantic model goes in; a validated value, or what to ask again, comes out."""

from __future__ import annotations

import importlib
import json
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, best_match
from pydantic import BaseModel, ValidationError

from airflow_provider_bedrock_llm.core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_bedrock_llm.core.response import BedrockResponse

__all__ = ["OutputSchema", "Verdict", "load_object"]

_FENCE = re.compile(r"^\s*```(?:json)?\s*\n(.*?)\n?\s*```\s*$", re.DOTALL)
_UNSAFE_NAME = re.compile(r"[^a-zA-Z0-9_-]+")
_NAME_LENGTH = 64
_NAMED_SCHEMAS = frozenset({"properties", "patternProperties", "$defs", "definitions"})
_LITERALS = frozenset({"enum", "const", "default", "examples"})


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check says of an answer.

    Args:
        value: the validated value; meaningful where `error` is None.
        error: why the answer was rejected.
        ask_again: whether the same question can get a better answer. An answer that was cut off at maxTokens is cut
            off again.
    """

    value: Any = None
    error: str | None = None
    ask_again: bool = True


@dataclass(frozen=True)
class OutputSchema:
    """The shape that answers must have.

    Args:
        json_schema: the JSON Schema (draft 2020-12).
        model: the pydantic class that it was made from, if any; values are then instances of it.
        name: what the model is told the shape is called.
    """

    json_schema: Mapping[str, Any]
    model: type[BaseModel] | None = None
    name: str = "answer"

    def __post_init__(self) -> None:
        try:
            Draft202012Validator.check_schema(dict(self.json_schema))
        except SchemaError as error:
            raise ConfigurationError(
                f"output_schema is not a JSON Schema: {error.message} (at {_path(error.path)}). Correct the schema."
            ) from error

    @classmethod
    def of(cls, schema: Mapping[str, Any] | type[BaseModel] | str) -> Self:
        """Take a schema in any of its forms.

        Args:
            schema: a JSON Schema, a pydantic class, or the dotted path of either ("package.module:name").

        Raises:
            ConfigurationError: it is none of these, or not a valid JSON Schema.
        """
        if isinstance(schema, str):
            return cls.of(load_object(schema, "output_schema"))
        if isinstance(schema, type) and issubclass(schema, BaseModel):
            return cls(schema.model_json_schema(), schema, _safe_name(schema.__name__))
        if hasattr(schema, "keys"):
            return cls(schema, None, _safe_name(str(schema.get("title") or "answer")))
        raise ConfigurationError(
            f"output_schema is {type(schema).__name__}, which has no schema. "
            "Give a JSON Schema, a pydantic class, or the dotted path of one."
        )

    def apply_to(self, params: dict[str, Any], *, native: bool) -> dict[str, Any]:
        """Ask for the shape.

        Args:
            params: parameters of Converse; not changed.
            native: whether the model takes `outputConfig`; a forced strict tool asks otherwise.

        Returns:
            The parameters with the request for the shape.
        """
        if native:
            text_format = {"type": "json_schema", "structure": {"jsonSchema": self._wire_schema}}
            return params | {"outputConfig": {**params.get("outputConfig", {}), "textFormat": text_format}}
        tools = (params.get("toolConfig") or {}).get("tools") or []
        choice = {"tool": {"name": self.name}}
        return params | {"toolConfig": {"tools": [*tools, {"toolSpec": self._tool}], "toolChoice": choice}}

    def check(self, response: BedrockResponse) -> Verdict:
        """Find the value in an answer and hold it against the schema."""
        try:
            verdict = self.validate(self._value_of(response))
        except ValueError as error:
            verdict = Verdict(error=str(error))
        if verdict.error is not None and response.get_stop_reason() == "max_tokens":
            return Verdict(error="it was cut off at maxTokens; raise maxTokens", ask_again=False)
        return verdict

    def validate(self, value: Any) -> Verdict:
        """Hold a value against the schema."""
        value = self._repaired(value)
        if self.model is not None:
            try:
                return Verdict(self.model.model_validate(value))
            except ValidationError as error:
                first = error.errors(include_url=False, include_context=False, include_input=False)[0]
                return Verdict(error=f"{_path(first['loc'])}: {first['msg']}")
        found = best_match(self._validator.iter_errors(value))
        if found is not None:
            return Verdict(error=f"{_path(found.absolute_path)}: breaks the schema's {found.validator!r} rule")
        return Verdict(value)

    def messages_to_ask_again(self, response: BedrockResponse, error: str) -> list[dict[str, Any]]:
        """The turns to append so that the model sees its answer and what was wrong with it."""
        blocks = response.get_content_blocks()
        text = f"This does not fit the required JSON Schema: {error}. Answer again, with all of it."
        uses = [block["toolUse"] for block in blocks if "toolUse" in block]
        content: list[dict[str, Any]] = [
            {"toolResult": {"toolUseId": use["toolUseId"], "content": [{"text": text}], "status": "error"}}
            for use in uses
        ]
        if not blocks:
            return []
        return [{"role": "assistant", "content": blocks}, {"role": "user", "content": content or [{"text": text}]}]

    def _value_of(self, response: BedrockResponse) -> Any:
        for block in response.get_content_blocks():
            if "toolUse" in block and block["toolUse"]["name"] == self.name:
                return block["toolUse"]["input"]
        text = response.get_content()
        if text is None:
            raise ValueError("the answer has no text")
        fenced = _FENCE.match(text)
        try:
            return json.loads(fenced.group(1) if fenced else text)
        except json.JSONDecodeError as error:
            raise ValueError(f"the answer is not JSON: {error.msg} at character {error.pos}") from error

    def _repaired(self, value: Any) -> Any:
        """Undo what models do under forced tools: a list or object written as a JSON text (langchain-aws#1221)."""
        properties = self.json_schema.get("properties")
        if not isinstance(value, dict) or not isinstance(properties, dict):
            return value
        repaired = dict(value)
        for name, rule in properties.items():
            held = repaired.get(name)
            if isinstance(held, str) and isinstance(rule, dict) and rule.get("type") in {"array", "object"}:
                try:
                    repaired[name] = json.loads(held)
                except json.JSONDecodeError:
                    continue
        return repaired

    @cached_property
    def _validator(self) -> Draft202012Validator:
        return Draft202012Validator(dict(self.json_schema))

    @cached_property
    def _closed(self) -> dict[str, Any]:
        closed: dict[str, Any] = _close(dict(self.json_schema))
        return closed

    @cached_property
    def _wire_schema(self) -> dict[str, Any]:
        wire = {"schema": json.dumps(self._closed), "name": self.name}
        description = self.json_schema.get("description")
        return wire | ({"description": description} if description else {})

    @cached_property
    def _tool(self) -> dict[str, Any]:
        description = self.json_schema.get("description") or "Give the answer by calling this tool."
        return {"name": self.name, "description": description, "inputSchema": {"json": self._closed}, "strict": True}


def load_object(path: str, setting: str) -> Any:
    """Import what a dotted path names.

    Args:
        path: "package.module:name" or "package.module.name".
        setting: the setting that holds the path, for the error.

    Raises:
        ConfigurationError: there is no such thing.
    """
    module_name, _, name = path.partition(":") if ":" in path else path.rpartition(".")
    try:
        return getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(
            f"{setting}={path!r} cannot be imported: {error}. "
            "Give the path as 'package.module:name', of a module that workers and triggerers can import."
        ) from error


def _close(schema: Any) -> Any:
    """Bedrock refuses objects that leave `additionalProperties` open, at any depth (future-agi#412)."""
    if isinstance(schema, list):
        return [_close(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _NAMED_SCHEMAS and isinstance(value, dict):
            closed[key] = {name: _close(inner) for name, inner in value.items()}
        else:
            closed[key] = value if key in _LITERALS else _close(value)
    if closed.get("type") == "object" and isinstance(closed.get("properties"), dict):
        closed.setdefault("additionalProperties", False)
    return closed


def _safe_name(name: str) -> str:
    return _UNSAFE_NAME.sub("_", name).strip("_")[:_NAME_LENGTH] or "answer"


def _path(parts: Any) -> str:
    return ".".join(str(part) for part in parts) or "the answer"
