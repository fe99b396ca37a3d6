"""Rows of text files: JSONL and CSV."""

from __future__ import annotations

import csv
from typing import IO, TYPE_CHECKING

from airflow_provider_bedrock_llm.core.errors import SourceError
from airflow_provider_bedrock_llm.jobs.row import Row, reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_bedrock_llm.jobs.record import Origin

__all__ = ["csv_header", "csv_rows", "jsonl_rows"]

_LONGEST_CSV_FIELD_CHARACTERS = 64 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"


def jsonl_rows(stream: IO[bytes], origin: Origin) -> Iterator[Row]:
    """One row per line that is not blank."""
    lines = _Lines(stream)
    while True:
        try:
            line = next(lines)
        except StopIteration:
            return
        except UnicodeDecodeError as error:
            yield Row(origin, lines.number, "", problem=reason(error))
            continue
        if not line.isspace():
            yield Row(origin, lines.number, line)


def csv_header(stream: IO[bytes], uri: str, delimiter: str) -> list[str]:
    """The columns.

    Args:
        stream: the file from its start.
        uri: the file, for errors.
        delimiter: what separates columns.

    Raises:
        SourceError: the header is malformed, or names a column twice.
    """
    return _header(csv.reader(_Lines(stream), delimiter=delimiter, strict=True), uri)


def csv_rows(
    stream: IO[bytes], origin: Origin, uri: str, delimiter: str, expected: list[str] | None = None
) -> Iterator[Row]:
    """One row per record of the file, whose fields may hold newlines.

    Args:
        stream: the file from its start.
        origin: names the file in errors about a row.
        uri: the file, for other errors.
        delimiter: what separates columns.
        expected: the header of the files before it.

    Raises:
        SourceError: the header is malformed, or not the one of the files before.
    """
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_CSV_FIELD_CHARACTERS))
    lines = _Lines(stream)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    header = _header(reader, uri)
    if expected is not None and header != expected:
        raise SourceError(
            f"The header of {uri!r} is not that of the first file: it has {', '.join(header) or 'no column'}, and the "
            f"first {', '.join(expected)}. Give files with the same columns in the same order."
        )
    width = len(header)
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except (csv.Error, UnicodeDecodeError) as error:
            yield Row(origin, lines.number, [], header, reason(error))
            continue
        if len(cells) == width:
            yield Row(origin, lines.number, cells, header)
        elif cells:
            problem = f"it has {len(cells)} columns, and the header {width}"
            yield Row(origin, lines.number, cells, header, problem)


def _header(reader: Iterator[list[str]], uri: str) -> list[str]:
    try:
        header = next((cells for cells in reader if cells), [])
    except (csv.Error, UnicodeDecodeError) as error:
        raise SourceError(f"The header of {uri!r} is malformed: {reason(error)}. Correct its first line.") from error
    repeated = next((name for index, name in enumerate(header) if name in header[:index]), None)
    if repeated is not None:
        raise SourceError(f"The header of {uri!r} names the column {repeated!r} twice. Rename one of them.")
    return header


class _Lines:
    """Lines of a UTF-8 stream. One that cannot be decoded raises, and the next call goes on behind it."""

    __slots__ = ("_stream", "number")

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.number = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._stream.readline()
        if not line:
            raise StopIteration
        self.number += 1
        return (line.removeprefix(_BOM) if self.number == 1 else line).decode()
