"""From a row to a record with an id, or to what is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.jobs.hash_table import HashTable, hash_key
from airflow_provider_bedrock_llm.jobs.record import BadRecord, Record, composite_id, content_id, single_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_bedrock_llm.jobs.row import Row

__all__ = ["RecordReader"]


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
            return BadRecord(index, None, {}, line, "malformed", f"{row.place} is malformed: {error}")
        record_id = self._id_of(fields)
        if record_id is None:
            names = " and ".join(repr(column) for column in self._id_columns)
            problem = f"{row.place} has no id in {names}: a text that is not empty, or a number"
            return BadRecord(index, None, fields, line, "missing_id", problem)
        if not self._required <= fields.keys():
            missing = ", ".join(repr(name) for name in sorted(self._required - fields.keys()))
            problem = f"{row.place} lacks {missing}, which the template needs"
            return BadRecord(index, record_id, fields, line, "missing_column", problem)
        return Record(index, record_id, fields, line, row.origin)

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
