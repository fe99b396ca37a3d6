"""How rows are written to a stream: JSON lines, CSV or Parquet, plain or compressed. Memory does not grow with them."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Literal, Self

from airflow_provider_bedrock_llm.core.errors import ConfigurationError
from airflow_provider_bedrock_llm.jobs.journal import encode_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from airflow_provider_bedrock_llm.jobs.columns import Columns

__all__ = ["OUTPUT_FORMATS", "OutputFormat", "write_rows"]

OUTPUT_FORMATS = ("jsonl", "jsonl.gz", "jsonl.zst", "csv", "csv.gz", "csv.zst", "parquet")

_OTHER_NAMES = {"ndjson": "jsonl", "pq": "parquet"}
_LINES_PER_WRITE = 512


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """A format and its compression.

    Args:
        kind: `jsonl`, `csv` or `parquet`.
        compression: `gz`, `zst`, or "" for none. Parquet compresses by itself.
    """

    kind: Literal["jsonl", "csv", "parquet"]
    compression: str = ""

    @classmethod
    def named(cls, name: str) -> Self:
        """The format of a setting.

        Raises:
            ConfigurationError: there is none of that name.
        """
        if name not in OUTPUT_FORMATS:
            raise ConfigurationError(f"output_format={name!r} is not known. Give one of {', '.join(OUTPUT_FORMATS)}.")
        kind, _, compression = name.partition(".")
        return cls(kind, compression)  # type: ignore[arg-type]

    @classmethod
    def of_file(cls, uri: str) -> Self:
        """The format that a file's name tells; JSON lines where it tells none."""
        name = uri.lower().rstrip("/").rpartition("/")[2]
        stem, _, last = name.rpartition(".")
        compression = last if last in {"gz", "zst"} else ""
        suffix = stem.rpartition(".")[2] if compression else last
        kind = _OTHER_NAMES.get(suffix, suffix)
        if kind == "parquet" and compression:
            raise ConfigurationError(
                f"output_uri={uri!r} asks for compressed Parquet. Parquet compresses by itself: leave {last!r} out."
            )
        return cls(kind if kind in {"csv", "parquet"} else "jsonl", compression)  # type: ignore[arg-type]

    @property
    def suffix(self) -> str:
        """As file names end."""
        return f"{self.kind}.{self.compression}" if self.compression else self.kind

    @property
    def is_flat(self) -> bool:
        """Whether rows have columns, instead of members of their own."""
        return self.kind != "jsonl"


def write_rows(
    stream: IO[bytes],
    rows: Iterable[Mapping[str, Any]],
    output_format: OutputFormat,
    columns: Columns,
    without: Sequence[str] = (),
) -> None:
    """Write rows of the output.

    Args:
        stream: takes the bytes; it is not closed.
        rows: as `output_row` makes them.
        output_format: how.
        columns: the columns of flat formats.
        without: columns that the folder's name tells already.

    Raises:
        ConfigurationError: the format needs a package that is not installed.
        OutputError: a value does not fit its column.
    """
    with _compressed(stream, output_format.compression) as plain:
        if output_format.kind == "jsonl":
            _write_jsonl(plain, rows, frozenset(without))
        elif output_format.kind == "csv":
            _write_csv(plain, rows, columns, without)
        else:
            from airflow_provider_bedrock_llm.jobs.parquet_output import write_parquet  # noqa: PLC0415 - an extra

            write_parquet(plain, rows, columns, without)


def _write_jsonl(stream: IO[bytes], rows: Iterable[Mapping[str, Any]], without: frozenset[str]) -> None:
    lines: list[bytes] = []
    for row in rows:
        shown = {name: value for name, value in row.items() if name not in without} if without else row
        lines.append(encode_line(shown))
        if len(lines) == _LINES_PER_WRITE:
            stream.write(b"".join(lines))
            lines.clear()
    stream.write(b"".join(lines))


def _write_csv(stream: IO[bytes], rows: Iterable[Mapping[str, Any]], columns: Columns, without: Sequence[str]) -> None:
    names = [name for name in columns.kinds if name not in without]
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for count, row in enumerate(rows, 1):
        flat = columns.flatten(row)
        writer.writerow([_cell(flat.get(name)) for name in names])
        if count % _LINES_PER_WRITE == 0:
            _move(text, stream)
    _move(text, stream)


def _cell(value: Any) -> Any:
    """JSON's words for what CSV has none for; nothing at all for null."""
    if isinstance(value, (bool, dict, list)):
        return json.dumps(value, ensure_ascii=False)
    return value


def _move(text: io.StringIO, stream: IO[bytes]) -> None:
    stream.write(text.getvalue().encode("utf-8", "replace"))
    text.seek(0)
    text.truncate()


class Unclosed(io.RawIOBase):
    """A stream that writers may close while the one below stays open."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._stream.write(bytes(data))
        return len(data)


@contextlib.contextmanager
def _compressed(stream: IO[bytes], compression: str) -> Iterator[IO[bytes]]:
    if compression == "gz":
        with gzip.GzipFile(filename="", mode="wb", fileobj=Unclosed(stream), mtime=0) as packed:
            yield packed  # type: ignore[misc]
    elif compression == "zst":
        pyarrow = arrow("a name that ends in .zst")
        with pyarrow.CompressedOutputStream(pyarrow.PythonFile(Unclosed(stream), "w"), "zstd") as packed:
            yield packed
    else:
        yield stream


def arrow(what: str) -> Any:
    """The package pyarrow.

    Args:
        what: what needs it, for the error.

    Raises:
        ConfigurationError: it is not installed.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigurationError(
            f"The output has {what}, which needs pyarrow. "
            "Install it with pip install 'airflow-provider-bedrock-llm[parquet]'."
        ) from error
    return pa
