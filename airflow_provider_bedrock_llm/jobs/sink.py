"""Where the rows of a job go, as a value: files, folders by partition, dead letters, a table."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - pydantic reads the annotations
from typing import Literal

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from airflow_provider_bedrock_llm.core.errors import ConfigurationError
from airflow_provider_bedrock_llm.jobs.output_format import OutputFormat
from airflow_provider_bedrock_llm.jobs.storage import absolute_uri

__all__ = ["Sink", "TableSink"]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class TableSink:
    """A table that takes the rows with an answer.

    Args:
        conn_id: an Airflow connection whose hook is a DbApiHook.
        table: its name, with the schema where that is needed.
        columns: the table's columns by those of the output; none for the same names.
    """

    conn_id: str
    table: str
    columns: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        if not self.conn_id or not self.table:
            raise ConfigurationError(
                f"output_conn_id={self.conn_id!r} and output_table={self.table!r} go together. Give both, or neither."
            )


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Sink:
    """What the output looks like.

    Args:
        format: one of `OUTPUT_FORMATS`; None to tell from the name of the output.
        partition_by: columns that become folders, `country=DE/`, the first outermost.
        failed_rows: `keep` rows without an answer in the output, with their error, or `drop` them from it.
        dead_letter_uri: a JSONL file of the rows without an answer; None for none.
        table: a table to write as well; None for none.
    """

    format: str | None = None
    partition_by: tuple[str, ...] = ()
    failed_rows: Literal["keep", "drop"] = "keep"
    dead_letter_uri: str | None = None
    table: TableSink | None = None

    def __post_init__(self) -> None:
        if self.format is not None:
            OutputFormat.named(self.format)
        if self.dead_letter_uri is not None:
            object.__setattr__(self, "dead_letter_uri", absolute_uri(self.dead_letter_uri))
        if len(set(self.partition_by)) != len(self.partition_by):
            raise ConfigurationError(f"partition_by={list(self.partition_by)!r} names a column twice. Name each once.")

    def format_for(self, output_uri: str | None) -> OutputFormat:
        """The format of an output with this name."""
        return OutputFormat.named(self.format) if self.format else OutputFormat.of_file(output_uri or "")
