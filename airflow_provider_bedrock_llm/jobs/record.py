"""One row of the input: its place, its id, its columns."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Asked", "BadRecord", "Origin", "Record", "composite_id", "content_id", "single_id"]

_CONTENT_ID_BYTES = 12


class Origin(NamedTuple):
    """The file that rows come from, as errors name it.

    Attributes:
        unit: what is counted in it: `line`, or `row` where it has no lines.
        file: its name, where the source has several.
    """

    unit: str = "line"
    file: str | None = None

    def place(self, number: int) -> str:
        """Such as `line 7 of part-02.csv`."""
        return f"{self.unit} {number} of {self.file}" if self.file else f"{self.unit} {number}"


_LINES = Origin()


@dataclass(frozen=True, slots=True)
class Record:
    """A row that can be asked.

    Args:
        index: its place in the input, from 0; blank lines do not count.
        id: what names it in the output; unique in the job.
        fields: its columns.
        line: the line of the file where it ends, from 1; the row where a file has no lines.
        origin: the file.
    """

    index: int
    id: str
    fields: Mapping[str, Any]
    line: int
    origin: Origin = _LINES

    @property
    def place(self) -> str:
        """Where it stands, for people."""
        return self.origin.place(self.line)


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A row that cannot be asked.

    Args:
        index: its place in the input, from 0.
        id: its id, where it has a valid one.
        fields: its columns, as far as they could be read.
        line: the line of the file.
        cause: a short name for counting: `malformed`, `missing_id`, `duplicate_id`, `missing_column`, `template`.
        problem: one sentence that names the row and what is wrong with it.
    """

    index: int
    id: str | None
    fields: Mapping[str, Any]
    line: int
    cause: str
    problem: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A record whose answer is awaited.

    Args:
        index: its place in the input.
        id: its id.
        hash: names its request by what shapes the answer.
        key: under which the ledger finds its answer again: request and record in 64 bits.
        row: finds it too, as long as neither row nor settings change at all, without a look into the row.
        max_tokens: the limit on its answer; None for the model's own.
        cut_place: where its answer is that was cut off at a lower limit (`Place.pack`); 0 where there is none.
    """

    index: int
    id: str
    hash: str
    key: int
    row: int
    max_tokens: int | None = None
    cut_place: int = 0


def single_id(fields: Mapping[str, Any], column: str) -> str | None:
    """The id from one column; None where there is none. Numbers and texts are ids, other values are not."""
    value = fields.get(column)
    if isinstance(value, str):
        return value or None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    return None


def composite_id(fields: Mapping[str, Any], columns: Sequence[str]) -> str | None:
    """The id from several columns, as a JSON list, because any separator could occur in a value."""
    parts = [single_id(fields, column) for column in columns]
    return None if None in parts else json.dumps(parts, ensure_ascii=False, separators=(",", ":"))


def content_id(fields: Mapping[str, Any], occurrence: int) -> str:
    """The id of a row without id columns: a hash of what it holds.

    Args:
        fields: its columns.
        occurrence: 1 for the first row with this content; further ones get a suffix.
    """
    text = json.dumps(fields, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[: 2 * _CONTENT_ID_BYTES]
    return digest if occurrence == 1 else f"{digest}-{occurrence}"
