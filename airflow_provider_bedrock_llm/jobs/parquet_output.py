"""The output as Parquet, one row group after the other, so that memory holds one."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.jobs.output_format import Unclosed, arrow

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from airflow_provider_bedrock_llm.jobs.columns import Columns, Kind

__all__ = ["arrow_schema", "write_parquet"]

_ROWS_PER_GROUP = 10_000
_CHARACTERS_PER_GROUP = 16 * 1024 * 1024


def write_parquet(
    stream: IO[bytes], rows: Iterable[Mapping[str, Any]], columns: Columns, without: Sequence[str] = ()
) -> None:
    """Write rows of the output.

    Args:
        stream: takes the bytes; it is not closed.
        rows: as `output_row` makes them.
        columns: names and kinds.
        without: columns that the folder's name tells already.

    Raises:
        ConfigurationError: pyarrow is not installed.
        OutputError: a value does not fit its column.
    """
    pa = arrow("Parquet")
    from pyarrow import parquet  # noqa: PLC0415 - an extra

    schema = arrow_schema(columns, without)
    group: list[dict[str, Any]] = []
    characters = 0
    with parquet.ParquetWriter(pa.PythonFile(Unclosed(stream), "w"), schema) as writer:
        for row in rows:
            flat = columns.flatten(row, nested=True)
            group.append(flat)
            characters += sum(len(value) for value in flat.values() if isinstance(value, str))
            if len(group) >= _ROWS_PER_GROUP or characters >= _CHARACTERS_PER_GROUP:
                writer.write_table(pa.Table.from_pylist(group, schema))
                group.clear()
                characters = 0
        if group:
            writer.write_table(pa.Table.from_pylist(group, schema))


def arrow_schema(columns: Columns, without: Sequence[str] = ()) -> Any:
    """The columns as an Arrow schema."""
    pa = arrow("Parquet")
    return pa.schema([(name, _arrow_type(pa, kind)) for name, kind in columns.kinds.items() if name not in without])


def _arrow_type(pa: Any, kind: Kind) -> Any:
    if kind.items is not None:
        return pa.list_(_arrow_type(pa, kind.items))
    if kind.members is not None:
        return pa.struct([(name, _arrow_type(pa, member)) for name, member in kind.members.items()])
    plain = {"integer": pa.int64(), "number": pa.float64(), "boolean": pa.bool_()}
    return plain.get(kind.name, pa.string())
