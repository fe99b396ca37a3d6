"""One row of a file, whose columns are read when they are wanted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_bedrock_llm.jobs.record import Origin

__all__ = ["Row", "reason"]


class Row:
    """What stands in one place of a file. Its columns are read when they are wanted, which may be never.

    Args:
        origin: the file.
        line: the line where it ends, from 1; the row where a file has no lines.
        content: the text of a JSONL line, the cells of a CSV row, or the columns of a Parquet row.
        header: the columns of a CSV file.
        problem: what is wrong with it, as far as that is known without looking into it.
    """

    __slots__ = ("content", "header", "line", "origin", "problem")

    def __init__(
        self,
        origin: Origin,
        line: int,
        content: str | Sequence[str] | Mapping[str, Any],
        header: Sequence[str] | None = None,
        problem: str | None = None,
    ) -> None:
        self.origin = origin
        self.line = line
        self.content = content
        self.header = header
        self.problem = problem

    @property
    def place(self) -> str:
        """Where it stands, for people."""
        return self.origin.place(self.line)

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
        if isinstance(self.content, Mapping):
            return self.content
        try:
            fields = json.loads(str(self.content))
        except (ValueError, RecursionError) as error:
            raise ValueError(reason(error)) from error
        if not isinstance(fields, dict):
            raise ValueError(f"it holds a JSON {type(fields).__name__}, not an object")  # noqa: TRY004
        return fields


def reason(error: Exception) -> str:
    """What is wrong, without quoting the data."""
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at character {error.pos + 1}"
    if isinstance(error, UnicodeDecodeError):
        return f"it is not UTF-8 (byte {error.start + 1} of the line)"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return str(error)
