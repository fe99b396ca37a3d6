"""Structured output: a JSON Schema or pydantic model goes in; a validated value, or what to ask again, comes out."""

from __future__ import annotations

import importlib
import json
import math
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn, Self

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, best_match
from pydantic import BaseModel, ValidationError
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from airflow_provider_bedrock_llm.core.errors import ConfigurationError
from airflow_provider_bedrock_llm.core.response import CUT_OFF
from airflow_provider_bedrock_llm.core.schema_repair import repaired
from airflow_provider_bedrock_llm.core.wire_schema import (
    closed_schema,
    compiles_a_grammar,
    grammar_schema,
    takes_forced_tool,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_provider_bedrock_llm.core.response import BedrockResponse

__all__ = ["OutputSchema", "Verdict", "load_object"]

_FENCE = re.compile(r"^\s*```(?:json)?\s*\n(.*?)\n?\s*```\s*$", re.DOTALL)
_UNSAFE_NAME = re.compile(r"[^a-zA-Z0-9_-]+")
_NAME_LENGTH = 64
_LITERALS = frozenset({"enum", "const", "default", "examples"})
_RULE_LENGTH = 200
_ENDS_AGAIN = {
    "max_tokens": CUT_OFF,
    "model_context_window_exceeded": "it was cut off at the end of the model's context; shorten the prompt",
    "guardrail_intervened": "a guardrail intervened",
    "content_filtered": "a content filter took it away",
}
"""Stop reasons that the same question meets again."""


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
        _check_references(dict(self.json_schema))

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
            native: whether the model takes `outputConfig`. Otherwise, and where it takes this schema only as a tool,
                a forced tool asks.

        Returns:
            The parameters with the request for the shape.
        """
        model_id = params.get("modelId", "")
        wire = self._grammar if compiles_a_grammar(model_id) else self._closed
        if native and wire is not None:
            text_format = {"type": "json_schema", "structure": {"jsonSchema": self._format(wire)}}
            return params | {"outputConfig": {**params.get("outputConfig", {}), "textFormat": text_format}}
        tools = (params.get("toolConfig") or {}).get("tools") or []
        tool_config: dict[str, Any] = {"tools": [*tools, {"toolSpec": self._tool}]}
        if takes_forced_tool(model_id):
            tool_config["toolChoice"] = {"tool": {"name": self.name}}
        return params | {"toolConfig": tool_config}

    def check(self, response: BedrockResponse) -> Verdict:
        """Find the value in an answer and hold it against the schema."""
        try:
            verdict = self.validate(self._value_of(response))
        except ValueError as error:
            verdict = Verdict(error=str(error))
        except RecursionError:
            verdict = Verdict(error="the answer is nested too deeply")
        ended = _ENDS_AGAIN.get(response.get_stop_reason() or "")
        if verdict.error is not None and ended is not None:
            return Verdict(error=ended, ask_again=False)
        return verdict

    def validate(self, value: Any) -> Verdict:
        """Hold a value against the schema."""
        value = repaired(value, self.json_schema, _load_json)
        if self.model is not None:
            return _validated(self.model, value)
        found = best_match(self._validator.iter_errors(value))
        if found is not None:
            rule = json.dumps(found.validator_value, ensure_ascii=False)
            rule = rule if len(rule) <= _RULE_LENGTH else f"{rule[:_RULE_LENGTH]}..."
            return Verdict(error=f"{_path(found.absolute_path)}: breaks the schema's rule {found.validator!r}: {rule}")
        return Verdict(value)

    def messages_to_ask_again(self, response: BedrockResponse, error: str) -> list[dict[str, Any]]:
        """The turns to append so that the model sees its answer and what was wrong with it; none where Bedrock would
        not take the answer back.
        """
        blocks = [block for block in response.get_content_blocks() if _may_go_back(block)]
        if not blocks:
            return []
        text = f"This does not fit the required JSON Schema: {error}. Answer again, with all of it."
        content: list[dict[str, Any]] = [
            {"toolResult": {"toolUseId": use["toolUseId"], "content": [{"text": text}], "status": "error"}}
            for use in (block.get("toolUse") for block in blocks)
            if use is not None and use.get("type") != "server_tool_use"
        ]
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
            return _load_json(fenced.group(1) if fenced else text)
        except json.JSONDecodeError as error:
            raise ValueError(f"the answer is not JSON: {error.msg} at character {error.pos}") from error

    @cached_property
    def _validator(self) -> Draft202012Validator:
        return Draft202012Validator(dict(self.json_schema), registry=Registry())  # which fetches nothing

    @cached_property
    def _closed(self) -> dict[str, Any]:
        return closed_schema(self.json_schema)

    @cached_property
    def _grammar(self) -> dict[str, Any] | None:
        return grammar_schema(self.json_schema)

    def _format(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        text_format = {"schema": json.dumps(schema), "name": self.name}
        description = self.json_schema.get("description")
        return text_format | ({"description": description} if description else {})

    @cached_property
    def _tool(self) -> dict[str, Any]:
        """Not strict: only models with native structured output take `strict`, and its grammar refuses the same."""
        description = self.json_schema.get("description") or "Give the answer by calling this tool."
        return {"name": self.name, "description": description, "inputSchema": {"json": self._closed}}


def _validated(model: type[BaseModel], value: Any) -> Verdict:
    try:
        # As JSON, so that strict classes take dates, enums and tuples in the form that JSON has for them.
        return Verdict(model.model_validate_json(json.dumps(value)))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        return Verdict(error=f"{_path(first['loc'])}: {first['msg']}")
    except Exception as error:  # noqa: BLE001 - the caller's code; its fault must not lose a paid answer's record
        return Verdict(error=f"{model.__name__} raised {type(error).__name__}", ask_again=False)


def _load_json(text: str) -> Any:
    """Read JSON as its standard has it: Python's reader also takes NaN and infinities, which others cannot read."""
    return json.loads(text, parse_constant=_not_json, parse_float=_finite)


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _not_json(text)


def _not_json(text: str) -> NoReturn:
    raise ValueError(f"the answer is not JSON: {text} is not a number that JSON has")


def _may_go_back(block: Mapping[str, Any]) -> bool:
    """Bedrock refuses blank texts; botocore refuses the stand-in for blocks that it does not know."""
    return bool(block["text"].strip()) if "text" in block else "SDK_UNKNOWN_MEMBER" not in block


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


def _check_references(schema: dict[str, Any]) -> None:
    """A reference that leads nowhere would be met only after the first answer was paid for."""
    resource = DRAFT202012.create_resource(schema)
    base = resource.id() or ""
    resolver = Registry().with_resource(base, resource).resolver(base)
    for reference in _references(schema):
        try:
            resolver.lookup(reference)
        except Unresolvable as error:
            raise ConfigurationError(
                f"output_schema refers to {reference!r}, which is not in it. Put it under $defs; nothing is fetched."
            ) from error


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, list):
        for item in schema:
            yield from _references(item)
    elif isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"]
        for key, value in schema.items():
            if key not in _LITERALS and not (isinstance(value, dict) and "$id" in value):
                yield from _references(value)


def _safe_name(name: str) -> str:
    return _UNSAFE_NAME.sub("_", name).strip("_")[:_NAME_LENGTH] or "answer"


def _path(parts: Any) -> str:
    return ".".join(str(part) for part in parts) or "the answer"
