"""A finished job's rows once more, elsewhere, in another format, or some of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_bedrock_llm.jobs.output import columns_of, read_rows
from airflow_provider_bedrock_llm.jobs.output_format import OutputFormat, write_rows
from airflow_provider_bedrock_llm.jobs.storage import open_location

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_bedrock_llm.jobs.job import JobSpec

__all__ = ["Choice", "export_rows"]

Choice = Literal["all", "answered", "failed"]


def export_rows(spec: JobSpec, uri: str, format_name: str | None = None, choice: Choice = "all") -> int:
    """Write a finished job's rows to a file. Asks nobody anything.

    Args:
        spec: the job.
        uri: of the file; its name tells the format, unless that is given.
        format_name: one of `OUTPUT_FORMATS`.
        choice: which rows.

    Returns:
        How many rows were written.

    Raises:
        OutputError: the job has no rows yet, or the file cannot be written.
        ConfigurationError: the format is not known, or its package is missing.
    """
    output_format = OutputFormat.named(format_name) if format_name else OutputFormat.of_file(uri)
    columns = columns_of(spec, read_rows(spec) if output_format.is_flat else ())
    count = 0

    def counted() -> Iterator[dict[str, Any]]:
        nonlocal count
        for row in read_rows(spec):
            if choice == "all" or (row["error"] is None) == (choice == "answered"):
                count += 1
                yield row

    with open_location(uri, "to").writer() as stream:
        write_rows(stream, counted(), output_format, columns)
    return count
