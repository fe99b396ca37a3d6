"""Rows of Parquet files, through pyarrow: a few at a time, so that memory grows with a row group's width only."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.core.errors import ConfigurationError, SourceError
from airflow_provider_bedrock_llm.jobs.plain_value import plain_value
from airflow_provider_bedrock_llm.jobs.row import Row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_bedrock_llm.jobs.record import Origin

__all__ = ["load_pyarrow", "parquet_header", "parquet_rows"]

_MOST_ROWS_AT_ONCE = 1024
_MOST_BYTES_AT_ONCE = 8 * 1024 * 1024
_COLUMN_BUFFER_BYTES = 4 * 1024 * 1024


def load_pyarrow(what_for: str) -> Any:
    """The module, which is optional.

    Args:
        what_for: what needs it, for the error.

    Raises:
        ConfigurationError: it is not installed.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415 - optional, and heavy
        import pyarrow.parquet  # noqa: PLC0415
    except ImportError as error:
        raise ConfigurationError(
            f"{what_for} needs pyarrow, which is not installed. "
            "Run: pip install 'airflow-provider-bedrock-llm[parquet]'."
        ) from error
    return pa


def parquet_header(stream: IO[bytes], uri: str) -> list[str]:
    """The columns of a file.

    Args:
        stream: the file; it must be able to seek.
        uri: the file, for errors.

    Raises:
        SourceError: it is no Parquet file, or names a column twice.
    """
    return list(_open(stream, uri).schema_arrow.names)


def parquet_rows(stream: IO[bytes], origin: Origin, uri: str) -> Iterator[Row]:
    """One row per row, with values as `plain_value` gives them.

    Args:
        stream: the file; it must be able to seek.
        origin: names the file in errors about a row.
        uri: the file, for other errors.

    Raises:
        SourceError: it is no Parquet file, or broken.
    """
    pyarrow = load_pyarrow("A Parquet source")
    file = _open(stream, uri)
    schema = pyarrow.schema([field.with_type(_readable(field.type, pyarrow)) for field in file.schema_arrow])
    number = 0
    batches = file.iter_batches(batch_size=_rows_at_once(file.metadata), use_threads=False)
    try:
        for batch in batches:
            readable = batch if batch.schema.equals(schema) else batch.cast(schema, safe=False)
            for fields, problem in _values(readable):
                number += 1
                yield Row(origin, number, fields, problem=problem)
    except pyarrow.ArrowException as error:
        raise _broken(uri, error) from error


def _open(stream: IO[bytes], uri: str) -> Any:
    pyarrow = load_pyarrow("A Parquet source")
    try:
        # Without pre_buffer and with a buffer of its own, a column is read as it is used, not a row group at once.
        file = pyarrow.parquet.ParquetFile(
            stream, pre_buffer=False, buffer_size=_COLUMN_BUFFER_BYTES, coerce_int96_timestamp_unit="us"
        )
    except pyarrow.ArrowException as error:
        raise _broken(uri, error) from error
    names = file.schema_arrow.names
    repeated = next((name for index, name in enumerate(names) if name in names[:index]), None)
    if repeated is not None:
        raise SourceError(f"{uri!r} names the column {repeated!r} twice. Rename one of them.")
    return file


def _broken(uri: str, error: Exception) -> SourceError:
    return SourceError(f"{uri!r} cannot be read as Parquet: {error}. Write the file again, or set `source_format`.")


def _rows_at_once(metadata: Any) -> int:
    """So many that they take a few MiB: rows may hold images."""
    size_bytes: int = sum(metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups))
    row_bytes = max(1, size_bytes // max(1, int(metadata.num_rows)))
    return max(1, min(_MOST_ROWS_AT_ONCE, _MOST_BYTES_AT_ONCE // row_bytes))


def _values(batch: Any) -> Iterator[tuple[dict[str, Any], str | None]]:
    """The rows of a batch; where one of them cannot be read, the others can."""
    try:
        rows = batch.to_pylist(maps_as_pydicts="lossy")
    except (ValueError, OverflowError):
        if batch.num_rows == 1:
            yield {}, "it holds a value that Python has no type for, such as a year after 9999"
            return
        for index in range(batch.num_rows):
            yield from _values(batch.slice(index, 1))
        return
    for row in rows:
        try:
            yield {name: plain_value(value) for name, value in row.items()}, None
        except ValueError as error:
            yield {}, f"it holds {error}"


def _readable(kind: Any, pyarrow: Any) -> Any:
    """The type without nanoseconds, which Python's own dates and times do not have."""
    types = pyarrow.types
    if types.is_timestamp(kind) and kind.unit == "ns":
        return pyarrow.timestamp("us", kind.tz)
    if types.is_duration(kind) and kind.unit == "ns":
        return pyarrow.duration("us")
    if types.is_time64(kind) and kind.unit == "ns":
        return pyarrow.time64("us")
    if types.is_struct(kind):
        return pyarrow.struct([field.with_type(_readable(field.type, pyarrow)) for field in kind])
    if types.is_map(kind):
        return pyarrow.map_(_readable(kind.key_type, pyarrow), _readable(kind.item_type, pyarrow))
    if types.is_list(kind):
        return pyarrow.list_(kind.value_field.with_type(_readable(kind.value_type, pyarrow)))
    if types.is_large_list(kind):
        return pyarrow.large_list(kind.value_field.with_type(_readable(kind.value_type, pyarrow)))
    return kind
