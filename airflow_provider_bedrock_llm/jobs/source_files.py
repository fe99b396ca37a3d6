"""The files of a source: which they are, in which format, and how they are opened."""

from __future__ import annotations

import contextlib
import gzip
import io
import zlib
from collections import Counter
from typing import IO, TYPE_CHECKING, NamedTuple

from airflow_provider_bedrock_llm.core.errors import SourceError
from airflow_provider_bedrock_llm.jobs.parquet_source import load_pyarrow
from airflow_provider_bedrock_llm.jobs.record import Origin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_bedrock_llm.jobs.storage import Location

__all__ = ["FORMATS", "SourceFile", "find_files", "format_of", "may_name_several"]

FORMATS = ("jsonl", "csv", "parquet")
_TEXT_SUFFIXES = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "csv"}
_PARQUET_SUFFIXES = (".parquet", ".pq")
_GZIP = ".gz"
_ZSTANDARD = (".zst", ".zstd")
_NOT_DATA = ("_", ".")
"""What a file's name begins with that Spark and others put beside the data: `_SUCCESS`, `_delta_log`, `.part.crc`."""


class SourceFile(NamedTuple):
    """One file.

    Attributes:
        location: where it is.
        format: one of `FORMATS`.
        stamp: changes when the file changes.
        origin: names it in errors about its rows.
    """

    location: Location
    format: str
    stamp: str
    origin: Origin

    @contextlib.contextmanager
    def reading(self) -> Iterator[IO[bytes]]:
        """The file as a stream, decompressed as its name says.

        Raises:
            SourceError: it cannot be opened or read on.
        """
        name = self.location.name.lower()
        with _as_source_error(self.location), contextlib.ExitStack() as stack:
            stream: IO[bytes] = stack.enter_context(self.location.open())
            if name.endswith(_GZIP):
                stream = stack.enter_context(io.BufferedReader(gzip.GzipFile(fileobj=stream)))
            elif name.endswith(_ZSTANDARD):
                opened = load_pyarrow("A source in Zstandard (.zst)").CompressedInputStream(stream, "zstd")
                stream = stack.enter_context(io.BufferedReader(opened))
            yield stream


def find_files(location: Location, given_format: str | None) -> list[SourceFile]:
    """What a source's name means: one file, those that match a pattern, or those of known formats in a folder.

    Args:
        location: a file, a pattern with `*`, `?`, `[...]` or `**`, or a folder.
        given_format: one of `FORMATS`; None to tell from the names.

    Returns:
        Sorted by name, one at least, all of one format.

    Raises:
        SourceError: there is none, or they differ in format, or a name does not tell it.
    """
    with _as_source_error(location):
        found = location.files()
    if not (len(found) == 1 and found[0][0].uri == location.uri):
        found = [
            (place, stamp) for place, stamp in found if _is_data(place.name, given_format, format_of(location.uri))
        ]
    if not found:
        raise SourceError(
            f"The source {location.uri!r} names no file with rows ({', '.join(FORMATS)}, also .gz and .zst). Check "
            "`source`, set `source_format` where names do not tell it, or give a pattern such as '**/*.parquet' for "
            "files in folders below."
        )
    default = given_format or format_of(location.uri)
    formats = {place.uri: given_format or format_of(place.name) or default for place, _ in found}
    kinds = {kind: uri for uri, kind in formats.items()}
    if len(kinds) > 1:
        shown = " and ".join(repr(uri) for uri in list(kinds.values())[:2])
        raise SourceError(
            f"The files of {location.uri!r} differ in format, as {shown} do. Give a pattern that matches one format."
        )
    kind = next(iter(kinds))
    if kind is None:
        raise SourceError(
            f"The name of {found[0][0].uri!r} does not tell its format. Set source_format to one of "
            f"{', '.join(FORMATS)}."
        )
    labels = _labels([place for place, _ in found])
    unit = "row" if kind == "parquet" else "line"
    return [
        SourceFile(place, kind, stamp, Origin(unit, label)) for (place, stamp), label in zip(found, labels, strict=True)
    ]


def format_of(uri: str) -> str | None:
    """The format that a file's name tells, None where it tells none."""
    name = uri.lower().rstrip("/")
    if name.endswith(_PARQUET_SUFFIXES):
        return "parquet"
    plain = next((name.removesuffix(end) for end in (_GZIP, *_ZSTANDARD) if name.endswith(end)), name)
    return next((kind for suffix, kind in _TEXT_SUFFIXES.items() if plain.endswith(suffix)), None)


def may_name_several(uri: str) -> bool:
    """Whether a name may be that of a folder or a pattern, whose files tell the format by their own names."""
    last = uri.rpartition("/")[2]
    return "." not in last or any(character in last for character in "*?[")


def _is_data(name: str, given_format: str | None, format_of_all: str | None) -> bool:
    if name.startswith(_NOT_DATA):
        return False
    return bool(given_format or format_of_all or format_of(name))


def _labels(places: list[Location]) -> list[str | None]:
    """How the files are called in errors: not at all where there is one, by name where that tells them apart."""
    if len(places) == 1:
        return [None]
    times = Counter(place.name for place in places)
    return [place.name if times[place.name] == 1 else place.uri for place in places]


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
