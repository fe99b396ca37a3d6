"""An output that is a folder: `country=DE/part-0000.parquet`, as Hive, Spark, DuckDB and pyarrow read it.

Rows of two runs never stand there together, and a crash in the middle leaves no wrong row behind:

1. all rows are known before anything in the folder is touched;
2. the mark `_SUCCESS` goes, then every part that an earlier run of this job left (all names `part-*` of this shard, and
   those of another number of shards);
3. the new parts come, each whole or not at all;
4. the mark comes back, with the names of the parts.

A folder without its mark is not whole: whoever ran there died between 2 and 4, and the next run does all of it again,
at no cost, from the job's folder. Readers skip names that begin with `_`. Shards share one folder: each has a part of
its own in each partition, and a mark of its own.
"""

from __future__ import annotations

import contextlib
import json
import re
import tempfile
from collections import OrderedDict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self
from urllib.parse import quote

from airflow_provider_bedrock_llm.core.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from airflow_provider_bedrock_llm.jobs.shard import Shard
    from airflow_provider_bedrock_llm.jobs.storage import Location

__all__ = ["Spool", "mark_name", "partition_path", "replace_parts"]

_NULL = "__HIVE_DEFAULT_PARTITION__"
_PART = re.compile(r"part-(\d+)(?:-of-(\d+))?\..+")
_MARK = re.compile(r"_SUCCESS(?:-(\d+)-of-(\d+))?")
_MOST_OPEN_FILES = 64


def mark_name(shard: Shard | None) -> str:
    """The file that says that the output, or a shard of it, is whole."""
    return "_SUCCESS" if shard is None else f"_SUCCESS-{shard.name}"


def partition_path(row: Mapping[str, Any], columns: Sequence[str]) -> str:
    """The folder of a row, such as `country=DE/day=2026-01-01`; "" without columns.

    A column is one of the output, else a property of the answer. Names and values are percent-encoded; null and the
    empty text are `__HIVE_DEFAULT_PARTITION__`, as Hive writes them.
    """
    return "/".join(f"{quote(column, safe='')}={_folder_name(_value(row, column))}" for column in columns)


def _value(row: Mapping[str, Any], column: str) -> Any:
    for name in (column, f"input_{column}"):
        if name in row:
            return row[name]
    answer = row.get("answer")
    return answer.get(column) if isinstance(answer, dict) else None


def _folder_name(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return _NULL if value is None or not text else quote(text, safe="", errors="replace")


class Spool:
    """Lines on the local disk, apart by partition, until all are known. A context manager.

    However many partitions there are, 64 files are open at most.
    """

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._open: OrderedDict[str, IO[bytes]] = OrderedDict()

    def __enter__(self) -> Self:
        self._stack = contextlib.ExitStack()
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="bedrock-llm-")))
        return self

    def __exit__(self, *_: object) -> None:
        for stream in self._open.values():
            stream.close()
        self._stack.close()

    def add(self, partition: str, line: bytes) -> None:
        """Keep a line, which ends in a line break.

        Raises:
            OutputError: the local disk does not take it.
        """
        try:
            self._stream(partition).write(line)
        except OSError as error:
            raise OutputError(
                f"{str(self._folder)!r}, where partitions are put apart, cannot be written: {error}. "
                "Make room for one copy of the output there, or point TMPDIR elsewhere; the answers are kept."
            ) from error

    @property
    def partitions(self) -> list[str]:
        """All, sorted."""
        return sorted(self._numbers)

    def lines(self, partition: str) -> Iterator[bytes]:
        """What was kept for a partition, in order."""
        stream = self._open.pop(partition, None)
        if stream is not None:
            stream.close()
        with self._path(partition).open("rb") as lines:
            yield from lines

    def _stream(self, partition: str) -> IO[bytes]:
        stream = self._open.get(partition)
        if stream is None:
            if len(self._open) == _MOST_OPEN_FILES:
                self._open.popitem(last=False)[1].close()
            self._numbers.setdefault(partition, len(self._numbers))
            stream = self._open[partition] = self._path(partition).open("ab")
        self._open.move_to_end(partition)
        return stream

    def _path(self, partition: str) -> Path:
        return self._folder / str(self._numbers[partition])


def replace_parts(
    folder: Location,
    shard: Shard | None,
    suffix: str,
    partitions: Iterable[str],
    write: Callable[[str, IO[bytes]], None],
    before_it_shows: Callable[[], None],
) -> None:
    """Put new parts in the place of those of an earlier run.

    Args:
        folder: of the whole output.
        shard: whose parts; None for a job without shards.
        suffix: how the parts end, such as `parquet`.
        partitions: folders in the folder, as `partition_path` names them.
        write: writes the rows of a partition.
        before_it_shows: may raise, because another runner has the job now.

    Raises:
        OutputError: the storage does not take it.
    """
    before_it_shows()
    folder.child(mark_name(shard)).delete()
    _remove(folder, shard)
    name = f"part-{shard.name if shard else '0000'}.{suffix}"
    written = []
    for partition in partitions:
        place = folder
        for part in [*filter(None, partition.split("/")), name]:
            place = place.child(part)
        with place.writer() as stream:
            write(partition, stream)
            before_it_shows()
        written.append(f"{partition}/{name}".lstrip("/"))
    before_it_shows()
    folder.child(mark_name(shard)).write(json.dumps({"parts": written}).encode())


def _remove(folder: Location, shard: Shard | None) -> None:
    for name in folder.names():
        if "=" in name:
            _remove(folder.child(name), shard)
        elif (match := _PART.fullmatch(name) or _MARK.fullmatch(name)) and _is_mine(match, shard):
            folder.child(name).delete()


def _is_mine(match: re.Match[str], shard: Shard | None) -> bool:
    """This shard's, or of a run that was cut into another number of shards."""
    index, of = match.groups()
    if shard is None or of is None:
        return True
    return int(of) != shard.of or int(index) == shard.index
