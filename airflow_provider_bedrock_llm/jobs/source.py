"""The input of a job, as a stream of rows: JSONL, CSV or Parquet, in one file or several, from any storage.

It can be read any number of times, always in the same order, and memory does not grow with it. What tells repeated
rows apart does grow: 9 to 23 bytes a record while ids are checked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_bedrock_llm.jobs.parquet_source import parquet_header, parquet_rows
from airflow_provider_bedrock_llm.jobs.source_files import SourceFile, find_files
from airflow_provider_bedrock_llm.jobs.text_source import csv_header, csv_rows, jsonl_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_bedrock_llm.jobs.row import Row
    from airflow_provider_bedrock_llm.jobs.storage import Location

__all__ = ["Source"]


@dataclass(frozen=True, slots=True)
class Source:
    """Files of rows.

    Args:
        location: a file, a pattern or a folder; see `find_files`.
        format: one of `FORMATS`; None to tell from the names of the files.
        delimiter: what separates the columns of a CSV file.
    """

    location: Location
    format: str | None = None
    delimiter: str = ","

    def rows(self) -> Iterator[Row]:
        """Read it from the start, file by file.

        Raises:
            SourceError: it cannot be opened or read on, or a file has no usable header.
        """
        files = self._files()
        expected = self._header(files[0]) if len(files) > 1 else None
        for file in files:
            with file.reading() as stream:
                if file.format == "parquet":
                    yield from parquet_rows(stream, file.origin, file.location.uri)
                elif file.format == "csv":
                    yield from csv_rows(stream, file.origin, file.location.uri, self._delimiter(file), expected)
                else:
                    yield from jsonl_rows(stream, file.origin)

    def header(self) -> list[str] | None:
        """The columns of its first file; None where each row has its own.

        Raises:
            SourceError: as `rows`.
        """
        return None if self.format == "jsonl" else self._header(self._files()[0])

    def fingerprint(self) -> str:
        """Changes when a file changes, comes or goes.

        Raises:
            SourceError: there is no such file.
        """
        files = self._files()
        return files[0].stamp if len(files) == 1 else "\n".join(f"{file.location.uri} {file.stamp}" for file in files)

    def _files(self) -> list[SourceFile]:
        return find_files(self.location, self.format)

    def _header(self, file: SourceFile) -> list[str] | None:
        if file.format == "jsonl":
            return None
        with file.reading() as stream:
            if file.format == "parquet":
                return parquet_header(stream, file.location.uri)
            return csv_header(stream, file.location.uri, self._delimiter(file))

    def _delimiter(self, file: SourceFile) -> str:
        is_tsv = ".tsv" in file.location.name.lower()
        return "\t" if is_tsv and self.delimiter == "," else self.delimiter
