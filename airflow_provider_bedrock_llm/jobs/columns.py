"""The output's rows as columns: what Parquet, CSV and tables take.

Columns come in this order: `id`; the kept columns of the input; the answer; then `error_cause`, `error_message`,
`stop_reason`, `model`, `region`, `input_tokens`, `output_tokens`, `cache_read_input_tokens`,
`cache_write_input_tokens`, `cost_usd`. An answer whose schema is an object is a column per property, by the property's
name (`answer_...` where that is taken); any other answer is the column `answer`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.core.errors import OutputError
from airflow_provider_bedrock_llm.jobs.result import OUTPUT_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Columns", "Kind", "fit", "kind_of_schema", "kind_of_value"]

_DEEPEST = 12
_INT64 = 1 << 63
_USAGE = {
    "input_tokens": "inputTokens",
    "output_tokens": "outputTokens",
    "cache_read_input_tokens": "cacheReadInputTokens",
    "cache_write_input_tokens": "cacheWriteInputTokens",
}


@dataclass(frozen=True)
class Kind:
    """What a column holds.

    Args:
        name: `string`, `integer` (64 bits), `number`, `boolean`, `json` (any value, as JSON text), `array`, `object`.
        items: of what an array is.
        members: of what an object is.
    """

    name: str
    items: Kind | None = None
    members: Mapping[str, Kind] | None = None

    @property
    def is_nested(self) -> bool:
        """Whether it has parts."""
        return self.items is not None or self.members is not None


STRING, INTEGER, NUMBER, BOOLEAN, JSON = (Kind(name) for name in ("string", "integer", "number", "boolean", "json"))
_PLAIN = {"string": STRING, "integer": INTEGER, "number": NUMBER, "boolean": BOOLEAN}

OWN_COLUMNS: Mapping[str, Kind] = {
    "error_cause": STRING,
    "error_message": STRING,
    "stop_reason": STRING,
    "model": STRING,
    "region": STRING,
    **dict.fromkeys(_USAGE, INTEGER),
    "cost_usd": NUMBER,
}
"""What stands behind the answer in each row."""


class Columns:
    """Names and kinds of the columns, and each row in them.

    Kinds of the answer come from the schema alone, so they are the same for every run. Kinds of kept columns come from
    all of their values: integers, numbers, booleans, else text; lists, objects and mixtures are JSON text. The values
    of a CSV file are text.

    Args:
        answer_schema: the JSON Schema of the answers; None for free text.
    """

    def __init__(self, answer_schema: Mapping[str, Any] | None) -> None:
        answer = STRING if answer_schema is None else kind_of_schema(answer_schema)
        self._properties = answer.members
        self._answer = answer
        self._kept: dict[str, Kind | None] = {}
        self._names: tuple[dict[str, str], dict[str, str]] | None = None

    def keep(self, *names: str) -> None:
        """Note columns of the input, in order, before their values are known."""
        for name in names:
            self._kept.setdefault(name, None)

    def note(self, row: Mapping[str, Any]) -> None:
        """Learn the kinds of kept columns from a row."""
        for name, value in row.items():
            if name in OUTPUT_COLUMNS:
                continue
            if value is None:
                self._kept.setdefault(name, None)
                continue
            known, kind = self._kept.get(name), kind_of_value(value)
            if known is not kind:
                self._kept[name] = _merged(known, kind)
        self._names = None

    @property
    def kinds(self) -> dict[str, Kind]:
        """All columns in their order."""
        kept, properties = self._renamed()
        found = {"id": STRING}
        found |= {shown: self._kept[name] or STRING for name, shown in kept.items()}
        if self._properties is None:
            found["answer"] = self._answer
        else:
            found |= {shown: self._properties[name] for name, shown in properties.items()}
        return {**found, **OWN_COLUMNS}

    @property
    def answer_names(self) -> list[str]:
        """The columns of the answer."""
        return ["answer"] if self._properties is None else list(self._renamed()[1].values())

    @property
    def kept_names(self) -> list[str]:
        """The columns of the input, as they are called here."""
        return list(self._renamed()[0].values())

    def flatten(self, row: Mapping[str, Any], *, nested: bool = False) -> dict[str, Any]:
        """A row of the output in columns.

        Args:
            row: as `output_row` makes it.
            nested: lists and objects as they are; else as JSON text.

        Raises:
            OutputError: a value does not fit its column.
        """
        kept, properties = self._renamed()
        answer, error, usage = row.get("answer"), row.get("error") or {}, row.get("usage") or {}
        flat: dict[str, Any] = {"id": row.get("id")}
        for name, shown in kept.items():
            flat[shown] = self._fitted(row, shown, row.get(name), self._kept[name] or STRING, nested)
        if self._properties is None:
            flat["answer"] = self._fitted(row, "answer", answer, self._answer, nested)
        else:
            values = answer if isinstance(answer, dict) else {}
            for name, shown in properties.items():
                flat[shown] = self._fitted(row, shown, values.get(name), self._properties[name], nested)
        return flat | {
            "error_cause": error.get("cause"),
            "error_message": error.get("message"),
            "stop_reason": row.get("stop_reason"),
            "model": row.get("model"),
            "region": row.get("region"),
            **{name: usage.get(member, 0) for name, member in _USAGE.items()},
            "cost_usd": row.get("cost_usd"),
        }

    @staticmethod
    def _fitted(row: Mapping[str, Any], column: str, value: Any, kind: Kind, nested: bool) -> Any:
        if value is None:
            return None
        try:
            return fit(value, JSON if kind.is_nested and not nested else kind)
        except (TypeError, ValueError, OverflowError) as error:
            raise OutputError(
                f"The row {row.get('id')!r} has a value of {column!r} that is no 64-bit {kind.name}. "
                "Write the output as JSONL, or say in output_schema what the value may be; the answers are kept."
            ) from error

    def _renamed(self) -> tuple[dict[str, str], dict[str, str]]:
        """Kept columns and properties, each with the name that it has here."""
        if self._names is None:
            own = {"id", "answer", *OWN_COLUMNS}
            kept = {name: f"input_{name}" if name in own else name for name in self._kept}
            taken = own | set(kept.values())
            properties = {name: f"answer_{name}" if name in taken else name for name in self._properties or ()}
            self._names = kept, properties
        return self._names


def kind_of_schema(schema: Mapping[str, Any]) -> Kind:
    """What a JSON Schema lets through, as a column. What it leaves open is `json`."""
    return _kind(schema, schema.get("$defs") or schema.get("definitions") or {}, _DEEPEST)


def _kind(schema: Any, definitions: Mapping[str, Any], depth: int) -> Kind:
    if not isinstance(schema, dict) or depth == 0:
        return JSON
    if "$ref" in schema:
        return _kind(definitions.get(str(schema["$ref"]).rpartition("/")[2]), definitions, depth - 1)
    choices = schema.get("anyOf") or schema.get("oneOf")
    if choices:
        some = [choice for choice in choices if not (isinstance(choice, dict) and choice.get("type") == "null")]
        return _kind(some[0], definitions, depth - 1) if len(some) == 1 else JSON
    names = schema.get("type")
    if isinstance(names, list):
        some = [name for name in names if name != "null"]
        names = some[0] if len(some) == 1 else None
    if names is None and isinstance(schema.get("enum", [schema.get("const")]), list):
        values = schema.get("enum", [schema.get("const")])
        kinds = {kind_of_value(value) for value in values if value is not None}
        return kinds.pop() if len(kinds) == 1 else JSON
    if names == "array":
        items = schema.get("items")
        return Kind("array", items=_kind(items, definitions, depth - 1)) if items else JSON
    if names == "object":
        members = schema.get("properties") or {}
        if not members or schema.get("additionalProperties"):
            return JSON
        return Kind("object", members={name: _kind(part, definitions, depth - 1) for name, part in members.items()})
    return _PLAIN.get(str(names), JSON)


def kind_of_value(value: Any) -> Kind:
    """The column that takes a value which is not None."""
    if isinstance(value, str):
        return STRING
    if isinstance(value, bool):
        return BOOLEAN
    if isinstance(value, int):
        return INTEGER if -_INT64 <= value < _INT64 else JSON
    return NUMBER if isinstance(value, float) else JSON


def _merged(one: Kind | None, other: Kind) -> Kind:
    if one is None or one is other:
        return other
    return NUMBER if {one, other} == {INTEGER, NUMBER} else JSON


def fit(value: Any, kind: Kind) -> Any:
    """A value as its column takes it.

    Raises:
        ValueError: the column cannot take it.
        OverflowError: it is too large for the column.
    """
    if value is None:
        return None
    if kind.items is not None:
        if not isinstance(value, list):
            raise ValueError(kind.name)
        return [fit(item, kind.items) for item in value]
    if kind.members is not None:
        if not isinstance(value, dict):
            raise ValueError(kind.name)
        return {name: fit(value.get(name), member) for name, member in kind.members.items()}
    if kind == INTEGER:
        whole = int(value)
        if whole != value or not -_INT64 <= whole < _INT64:
            raise ValueError(kind.name)
        return whole
    if kind == NUMBER:
        return float(value)
    if kind == BOOLEAN:
        return bool(value)
    return _text(value)


def _text(value: Any) -> str:
    """A text that Parquet, CSV and databases take; half a surrogate pair is none."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace").decode()
