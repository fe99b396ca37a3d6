"""What a record came to: as a line of the journal, and as a row of the output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.core.response import Usage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_bedrock_llm.core.response import BedrockResponse
    from airflow_provider_bedrock_llm.jobs.record import Asked, BadRecord, Record

__all__ = ["OUTPUT_COLUMNS", "ROUTING_COLUMNS", "bad_row", "journal_line", "output_row"]

OUTPUT_COLUMNS = ("id", "answer", "error", "stop_reason", "model", "region", "usage", "cost_usd")
"""Columns that every output row has; input columns of the same name get the prefix `input_`."""

ROUTING_COLUMNS = ("candidate", "routing_reason", "seconds")
"""Columns that the rows of a job with candidates have, too."""

_ALL = "*"


def journal_line(asked: Asked, response: BedrockResponse) -> dict[str, Any]:
    """A finished record as the journal keeps it. The order of the members is what `ledger` reads fast.

    Args:
        asked: the record and its request.
        response: what came.
    """
    line: dict[str, Any] = {
        "hash": asked.hash,
        "key": f"{asked.key:016x}",
        "row": f"{asked.row:016x}",
        "usage": _tokens(response.usage),
        "cost_usd": response.cost_usd,
        "model": response.model_used,
        "region": response.region_used,
        "id": asked.id,
        "index": asked.index,
        "seconds": round(response.total_duration_ms / 1000, 3),
    }
    if response.routing_reason is not None:
        line |= {"candidate": response.candidate, "routing_reason": response.routing_reason}
    if response.success:
        line["stop_reason"] = response.get_stop_reason()
        line["answer"] = _answer(response)
    else:
        line["error"] = {"cause": _cause(response), "message": str(response.error)}
    if response.is_truncated:
        line = {"max_tokens": asked.max_tokens, **line}
    if response.features_disabled:
        line = {"features_disabled": list(response.features_disabled), **line}
    elif response.success and len(response.attempts) == 1:
        return line
    calls = [
        [f"{call.model_used} in {call.region_used}", call.fault, _tokens(call.usage), call.cost_usd]
        for call in response.attempts
    ]
    return {"calls": calls, **line}


def _tokens(usage: Usage) -> list[int]:
    return [
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_input_tokens,
        usage.cache_write_input_tokens,
    ]


def _answer(response: BedrockResponse) -> Any:
    value = response.structured_output
    if value is not None:
        return value.model_dump(mode="json") if hasattr(value, "model_dump") else value
    text = response.get_content()
    return (
        response.to_dict()["response_data"].get("output", {}).get("message", {}).get("content")
        if text is None
        else text
    )


def _cause(response: BedrockResponse) -> str:
    """The last call's fault, or the error where nothing was called."""
    fault = response.attempts[-1].fault if response.attempts else None
    return fault or type(response.error).__name__


def output_row(
    record: Record, keep: Sequence[str], line: Mapping[str, Any], columns: Sequence[str] = OUTPUT_COLUMNS
) -> dict[str, Any]:
    """A finished record as the output shows it.

    Args:
        record: the row of the input.
        keep: the input columns to carry; `*` for all.
        line: its line in the journal.
        columns: those that every row of the job has.
    """
    return {
        **_kept(record.id, record.fields, keep, columns),
        "answer": line.get("answer"),
        "error": line.get("error"),
        "stop_reason": line.get("stop_reason"),
        "model": line.get("model"),
        "region": line.get("region"),
        "usage": Usage(*line["usage"]).to_wire(),
        "cost_usd": line.get("cost_usd"),
        **{name: line.get(name) for name in columns[len(OUTPUT_COLUMNS) :]},
    }


def bad_row(bad: BadRecord, keep: Sequence[str], columns: Sequence[str] = OUTPUT_COLUMNS) -> dict[str, Any]:
    """A row that was skipped, as the output shows it."""
    empty: dict[str, Any] = dict.fromkeys(columns[1:])
    return {
        **_kept(bad.id, bad.fields, keep, columns),
        **empty,
        "error": {"cause": bad.cause, "message": bad.problem},
        "usage": Usage().to_wire(),
        "cost_usd": 0.0,
    }


def _kept(
    record_id: str | None, fields: Mapping[str, Any], keep: Sequence[str], columns: Sequence[str]
) -> dict[str, Any]:
    row: dict[str, Any] = {"id": record_id}
    for column in fields if _ALL in keep else keep:
        value = fields.get(column)
        if column not in columns:
            row[column] = value
        elif column != "id" or str(value) != record_id:
            row[f"input_{column}"] = value
    return row
