"""The input of a job, as a stream: JSONL or CSV, plain or gzip, from any storage.

It can be read any number of times, always in the same order, and memory does not grow with it. What tells repeated
rows apart does grow: 9 to 23 bytes a record while ids are checked.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
import zlib
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.core.errors import SourceError
from airflow_provider_bedrock_llm.jobs.hash_table import HashTable, hash_key
from airflow_provider_bedrock_llm.jobs.record import BadRecord, Record, composite_id, content_id, single_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow_provider_bedrock_llm.jobs.storage import Location

__all__ = ["FORMATS", "RecordReader", "Row", "Source", "format_of"]

FORMATS = ("jsonl", "csv")
_SUFFIXES = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "csv"}
_LONGEST_CSV_FIELD_CHARACTERS = 64 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"


class Row:
    """What stands in one place of the file. Its columns are read when they are wanted, which may be never.

    Args:
        line: the line where it ends, from 1.
        header: the columns of a CSV file; None for JSONL.
        content: the text of a JSONL line, or the cells of a CSV row.
        problem: what is wrong with it, as far as that is known without looking into it.
    """

    __slots__ = ("content", "header", "line", "problem")

    def __init__(
        self, line: int, header: Sequence[str] | None, content: str | list[str], problem: str | None = None
    ) -> None:
        self.line = line
        self.header = header
        self.content = content
        self.problem = problem

    @property
    def text(self) -> str:
        """The same for two rows if they hold the same."""
        return self.content if isinstance(self.content, str) else repr(self.content)

    def fields(self) -> Mapping[str, Any]:
        """The columns.

        Raises:
            ValueError: the row is malformed; says why, without quoting it.
        """
        if self.problem is not None:
            raise ValueError(self.problem)
        if self.header is not None:
            return dict(zip(self.header, self.content, strict=True))
        try:
            fields = json.loads(str(self.content))
        except (ValueError, RecursionError) as error:
            raise ValueError(_reason(error)) from error
        if not isinstance(fields, dict):
            raise ValueError(f"it holds a JSON {type(fields).__name__}, not an object")  # noqa: TRY004
        return fields


@dataclass(frozen=True, slots=True)
class Source:
    """A file of rows.

    Args:
        location: where it is.
        format: one of `FORMATS`.
        delimiter: what separates the columns of a CSV file.
    """

    location: Location
    format: str
    delimiter: str = ","

    def rows(self) -> Iterator[Row]:
        """Read it from the start.

        Raises:
            SourceError: it cannot be opened or read on, or it has no usable header.
        """
        with _reading(self.location) as stream:
            lines = _Lines(stream)
            yield from self._csv_rows(lines) if self.format == "csv" else _jsonl_rows(lines)

    def header(self) -> list[str] | None:
        """The columns of a CSV file; None where each row has its own."""
        if self.format != "csv":
            return None
        with _reading(self.location) as stream:
            return self._header(csv.reader(_Lines(stream), delimiter=self.delimiter, strict=True))

    def fingerprint(self) -> str:
        """Changes when the file changes.

        Raises:
            SourceError: there is no such file.
        """
        with _as_source_error(self.location):
            return self.location.fingerprint()

    def _csv_rows(self, lines: _Lines) -> Iterator[Row]:
        csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_CSV_FIELD_CHARACTERS))
        reader = csv.reader(lines, delimiter=self.delimiter, strict=True)
        header = self._header(reader)
        width = len(header)
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except (csv.Error, UnicodeDecodeError) as error:
                yield Row(lines.number, header, [], _reason(error))
                continue
            if len(cells) == width:
                yield Row(lines.number, header, cells)
            elif cells:
                problem = f"it has {len(cells)} columns, and the header {width}"
                yield Row(lines.number, header, cells, problem)

    def _header(self, reader: Iterator[list[str]]) -> list[str]:
        try:
            header = next((cells for cells in reader if cells), [])
        except (csv.Error, UnicodeDecodeError) as error:
            raise SourceError(
                f"The header of {self.location.uri!r} is malformed: {_reason(error)}. Correct its first line."
            ) from error
        repeated = next((name for index, name in enumerate(header) if name in header[:index]), None)
        if repeated is not None:
            raise SourceError(
                f"The header of {self.location.uri!r} names the column {repeated!r} twice. Rename one of them."
            )
        return header


def format_of(uri: str) -> str | None:
    """The format that a file's name tells, None where it tells none."""
    name = uri.lower().removesuffix(".gz")
    return next((kind for suffix, kind in _SUFFIXES.items() if name.endswith(suffix)), None)


class RecordReader:
    """Gives every row its id, and tells those apart that cannot be asked. One per pass, in order.

    Ids are not compared here. Rows without id columns get an id from what they hold, and rows that hold the same are
    numbered.

    Args:
        id_columns: columns that make the id; none for an id from the content.
        required_columns: columns that the templates need.
    """

    def __init__(self, id_columns: tuple[str, ...], required_columns: frozenset[str]) -> None:
        self._id_columns = id_columns
        self._single = id_columns[0] if len(id_columns) == 1 else None
        self._required = required_columns
        self._seen = HashTable()

    def read(self, index: int, row: Row) -> Record | BadRecord:
        """The record in a row.

        Args:
            index: the row's place in the input, from 0.
            row: the row.
        """
        line = row.line
        try:
            fields = row.fields()
        except ValueError as error:
            return BadRecord(index, None, {}, line, "malformed", f"line {line} is malformed: {error}")
        record_id = self._id_of(fields)
        if record_id is None:
            names = " and ".join(repr(column) for column in self._id_columns)
            problem = f"line {line} has no id in {names}: a text that is not empty, or a number"
            return BadRecord(index, None, fields, line, "missing_id", problem)
        if not self._required <= fields.keys():
            missing = ", ".join(repr(name) for name in sorted(self._required - fields.keys()))
            problem = f"line {line} lacks {missing}, which the template needs"
            return BadRecord(index, record_id, fields, line, "missing_column", problem)
        return Record(index, record_id, fields, line)

    def _id_of(self, fields: Mapping[str, Any]) -> str | None:
        if self._single is not None:
            return single_id(fields, self._single)
        if self._id_columns:
            return composite_id(fields, self._id_columns)
        first = content_id(fields, 1)
        key = hash_key(first)
        occurrence = (self._seen.get(key) or 0) + 1
        self._seen.put(key, occurrence)
        return first if occurrence == 1 else content_id(fields, occurrence)


def _jsonl_rows(lines: _Lines) -> Iterator[Row]:
    while True:
        try:
            line = next(lines)
        except StopIteration:
            return
        except UnicodeDecodeError as error:
            yield Row(lines.number, None, "", _reason(error))
            continue
        if not line.isspace():
            yield Row(lines.number, None, line)


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


@contextlib.contextmanager
def _reading(location: Location) -> Iterator[IO[bytes]]:
    with _as_source_error(location), contextlib.ExitStack() as stack:
        stream: IO[bytes] = stack.enter_context(location.open())
        if location.name.endswith(".gz"):
            stream = stack.enter_context(io.BufferedReader(gzip.GzipFile(fileobj=stream)))
        yield stream


@contextlib.contextmanager
def _as_source_error(location: Location) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise SourceError(
            f"The source {location.uri!r} does not exist. Check `source`, and that this process sees that storage."
        ) from error
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError(
            f"The source {location.uri!r} cannot be read: {type(error).__name__}: {error}. "
            "Check the file and the access."
        ) from error


def _reason(error: Exception) -> str:
    """What is wrong, without quoting the data."""
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at character {error.pos + 1}"
    if isinstance(error, UnicodeDecodeError):
        return f"it is not UTF-8 (byte {error.start + 1} of the line)"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return str(error)
