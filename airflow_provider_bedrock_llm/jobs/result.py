"""What a record came to: as a line of the journal, and as a row of the output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.core.response import Usage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_bedrock_llm.core.response import BedrockResponse
    from airflow_provider_bedrock_llm.jobs.record import BadRecord, Record

__all__ = ["OUTPUT_COLUMNS", "bad_row", "journal_line", "output_row"]

OUTPUT_COLUMNS = ("id", "answer", "error", "stop_reason", "model", "region", "usage", "cost_usd")
"""Columns that every output row has; input columns of the same name get the prefix `input_`."""

_ALL = "*"


def journal_line(index: int, record_id: str, request_hash: str, response: BedrockResponse) -> dict[str, Any]:
    """A finished record as the journal keeps it.

    Args:
        index: the record's place in the input.
        record_id: its id.
        request_hash: of the request that was asked.
        response: what came.
    """
    usage = response.usage
    line: dict[str, Any] = {"hash": request_hash, "id": record_id, "index": index}
    if response.success:
        line["answer"] = _answer(response)
        line["stop_reason"] = response.get_stop_reason()
    else:
        line["error"] = {"cause": _cause(response), "message": str(response.error)}
    if usage != Usage():
        line["usage"] = {name: tokens for name, tokens in usage.to_wire().items() if tokens}
    line["cost_usd"] = response.cost_usd
    line["model"] = response.model_used
    line["region"] = response.region_used
    line["seconds"] = round(response.total_duration_ms / 1000, 3)
    if len(response.attempts) != 1 or not response.success:
        line["calls"] = [
            [f"{call.model_used} in {call.region_used}", call.fault, call.usage.total_tokens, call.cost_usd]
            for call in response.attempts
        ]
    return line


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


def output_row(record: Record, keep: Sequence[str], line: Mapping[str, Any]) -> dict[str, Any]:
    """A finished record as the output shows it.

    Args:
        record: the row of the input.
        keep: the input columns to carry; `*` for all.
        line: its line in the journal.
    """
    return {
        **_kept(record.id, record.fields, keep),
        "answer": line.get("answer"),
        "error": line.get("error"),
        "stop_reason": line.get("stop_reason"),
        "model": line.get("model"),
        "region": line.get("region"),
        "usage": Usage.from_wire(line.get("usage")).to_wire(),
        "cost_usd": line.get("cost_usd"),
    }


def bad_row(bad: BadRecord, keep: Sequence[str]) -> dict[str, Any]:
    """A row that was skipped, as the output shows it."""
    empty: dict[str, Any] = dict.fromkeys(OUTPUT_COLUMNS[1:])
    return {
        **_kept(bad.id, bad.fields, keep),
        **empty,
        "error": {"cause": bad.cause, "message": bad.problem},
        "usage": Usage().to_wire(),
        "cost_usd": 0.0,
    }


def _kept(record_id: str | None, fields: Mapping[str, Any], keep: Sequence[str]) -> dict[str, Any]:
    row: dict[str, Any] = {"id": record_id}
    for column in fields if _ALL in keep else keep:
        value = fields.get(column)
        if column not in OUTPUT_COLUMNS:
            row[column] = value
        elif column != "id" or str(value) != record_id:
            row[f"input_{column}"] = value
    return row
