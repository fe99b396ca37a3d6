"""Data for training routers: every query for every candidate as the rows of a job, and the job's output as scored rows.

The job between the two is an ordinary one, with `override_columns={"model": "candidate"}`: killed and run again it
pays only for what is missing, and a further candidate pays for its own rows alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from airflow_provider_bedrock_llm.core.errors import ConfigurationError, SourceError
from airflow_provider_bedrock_llm.core.schema import load_object
from airflow_provider_bedrock_llm.jobs.source import Source
from airflow_provider_bedrock_llm.jobs.storage import absolute_uri, open_location

__all__ = ["expand_queries", "write_training_rows"]

Score = Callable[[Mapping[str, Any]], float]

_ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def expand_queries(source_uri: str, candidates: list[str], target_uri: str) -> str:
    """Write each row of a file once per candidate, with the column `candidate`. Memory does not grow with the rows.

    Args:
        source_uri: queries, a CSV or JSONL file.
        candidates: the candidates' names.
        target_uri: where the JSONL goes. The same queries and names make the same file.

    Returns:
        Where it is.

    Raises:
        SourceError: a row is no object, or has a column `candidate` already.
        ConfigurationError: no candidate is named.
    """
    if not candidates:
        raise ConfigurationError("candidates is empty. Name at least one candidate to ask.")
    source = Source(open_location(absolute_uri(source_uri), "source"))
    place = open_location(absolute_uri(target_uri), "target")
    with place.writer() as stream:
        for row in source.rows():
            try:
                fields = row.fields()
            except ValueError as error:
                raise SourceError(f"{row.place}: {error}. Correct the row.") from error
            if "candidate" in fields:
                raise SourceError(f"{row.place} has a column 'candidate' already. Give it another name there.")
            for name in candidates:
                stream.write(_ENCODE({**fields, "candidate": name}).encode() + b"\n")
    return place.uri


def write_training_rows(
    output_uri: str, score: str | Score, target_uri: str, *, query_column: str = "query"
) -> dict[str, int]:
    """Turn the output of such a job into a router's training rows.

    Args:
        output_uri: the job's output, as JSONL, with the queries' columns kept.
        score: a function, or the dotted path of one: it is given the row of the output, and returns how good the
            answer is. It is not asked about rows without an answer, whose score is 0.
        target_uri: where the rows go: `query`, `model`, `answer`, `input_tokens`, `output_tokens`, `seconds`,
            `cost_usd`, `score`.
        query_column: the column with the query.

    Returns:
        How many rows there are, and how many of them have an answer.
    """
    function: Score = load_object(score, "score") if isinstance(score, str) else score
    rows = answered = 0
    with (
        open_location(absolute_uri(output_uri), "output").open() as lines,
        open_location(absolute_uri(target_uri), "target").writer() as stream,
    ):
        for line in lines:
            row = json.loads(line)
            has_answer = row["error"] is None
            rows += 1
            answered += has_answer
            trained = {
                "query": row[query_column],
                "model": row["candidate"],
                "answer": row["answer"],
                "input_tokens": row["usage"]["inputTokens"],
                "output_tokens": row["usage"]["outputTokens"],
                "seconds": row["seconds"],
                "cost_usd": row["cost_usd"],
                "score": float(function(row)) if has_answer else 0.0,
            }
            stream.write(_ENCODE(trained).encode() + b"\n")
    return {"rows": rows, "answered": answered}
