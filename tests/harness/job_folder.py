"""Jobs over small local files, for tests."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.core.config import ParallelProcessingConfig
from airflow_provider_bedrock_llm.jobs.job import JobSpec
from airflow_provider_bedrock_llm.jobs.keeper import Pace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

QUICK = Pace(flush_seconds=0.02, patience_seconds=0.5, drain_seconds=5.0)


def rows_of(count: int) -> list[dict[str, Any]]:
    return [{"id": f"r{number}", "text": f"text {number}", "kind": number % 3} for number in range(count)]


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def job_of(tmp_path: Path, rows: Iterable[Mapping[str, Any]] | None = None, **settings: Any) -> JobSpec:
    """A job over `rows.jsonl` in a folder, which is written where rows are given."""
    source = tmp_path / "rows.jsonl"
    if rows is not None:
        write_rows(source, rows)
    concurrency = settings.pop("concurrency", 8)
    defaults: dict[str, Any] = {
        "job_uri": str(tmp_path / "job"),
        "models": ("amazon.nova-lite-v1:0",),
        "prompt_template": "Rate: {{ text }}",
        "source_uri": str(source),
        "id_columns": ("id",),
        "parallel": ParallelProcessingConfig(max_concurrent_requests=concurrency),
    }
    return JobSpec(**defaults | settings)


def output_of(spec: JobSpec) -> list[dict[str, Any]]:
    return [json.loads(line) for line in spec.output.read().splitlines()]


def kept_lines(spec: JobSpec) -> list[dict[str, Any]]:
    """Every whole line of every part."""
    folder = spec.folder.child("results")
    return [json.loads(line) for name in folder.names() for line in folder.child(name).read().splitlines()]


def assert_exact(spec: JobSpec, rows: Iterable[Mapping[str, Any]]) -> None:
    """The output has each row once, in input order, with the answer to its own prompt."""
    expected = [(row["id"], f"answer to Rate: {row['text']}") for row in rows]
    assert [(row["id"], row["answer"]) for row in output_of(spec)] == expected


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - what is waited for lies in files and counters
        await asyncio.sleep(0.001)
