"""What was answered, on storage: immutable parts of JSON lines, named by the epoch of who wrote them.

A line is one finished record: which (id, request hash), what came of it, what it cost, who answered. A part appears
whole or not at all where the storage can do that, and reading forgives a torn last line where it cannot.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict, deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from airflow_provider_bedrock_llm.core.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from concurrent.futures import Future

    from airflow_provider_bedrock_llm.jobs.lease import Lease
    from airflow_provider_bedrock_llm.jobs.storage import Location

__all__ = ["Journal", "Part", "PartReader", "Place", "encode_line"]

_FOLDER = "results"
_PART_NAME = re.compile(r"(\d+)-(\d+)\.jsonl")
_CARRIED_NAME = re.compile(r"(\d+)-carried-([\w-]+)\.jsonl")
_OFFSET_BITS = 40
_READERS = 16
_AHEAD_BYTES = 2 * 1024 * 1024
_CACHE_BYTES = 4 * 1024 * 1024

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False)
_ASCII_ENCODER = json.JSONEncoder(separators=(",", ":"))


def encode_line(value: Mapping[str, Any]) -> bytes:
    """A JSON line. An answer that was cut inside an emoji holds half of it, which only escapes can write."""
    try:
        return _ENCODER.encode(value).encode() + b"\n"
    except UnicodeEncodeError:
        return _ASCII_ENCODER.encode(value).encode() + b"\n"


class Place(NamedTuple):
    """Where a line is.

    Args:
        part: number of the part in `Journal.parts`.
        offset: byte where the line begins.
    """

    part: int
    offset: int

    def pack(self) -> int:
        """As one number above 0."""
        return (self.part << _OFFSET_BITS | self.offset) + 1

    @classmethod
    def unpack(cls, number: int) -> Place:
        """The reverse of `pack`."""
        return cls((number - 1) >> _OFFSET_BITS, (number - 1) & ((1 << _OFFSET_BITS) - 1))


class Part(NamedTuple):
    """A part that is ready to be written.

    Args:
        number: its number in `Journal.parts`.
        data: its lines.
        lines: how many there are.
    """

    number: int
    data: bytes
    lines: int


class Journal:
    """The results of a job: those of earlier runners to read, and a growing part of this one's.

    `add` and `cut` belong to one thread; `write` to any.

    Args:
        folder: the job's folder.
        lease: the right to write.
        names: the parts that are there already.
    """

    def __init__(self, folder: Location, lease: Lease, names: list[str]) -> None:
        self._folder = folder.child(_FOLDER)
        self._lease = lease
        self._lines: list[bytes] = []
        self._written = len(names)
        self.size_bytes = 0
        self.parts = [*names, self._name(1)]
        """Names of all parts, the growing one last."""

    @staticmethod
    def list_parts(folder: Location) -> list[str]:
        """The parts of a job, oldest first; those that were carried from earlier runs before all others."""
        names = folder.child(_FOLDER).names()
        carried = sorted(name for name in names if Journal.is_carried(name))
        found = [(match, name) for name in names if (match := _PART_NAME.fullmatch(name))]
        return carried + [name for match, name in sorted(found, key=lambda pair: tuple(map(int, pair[0].groups())))]

    @staticmethod
    def carried_name(epoch: int, label: str) -> str:
        """The name of a part whose answers another run paid for."""
        return f"{epoch:06d}-carried-{label}.jsonl"

    @staticmethod
    def is_carried(name: str) -> bool:
        """Whether another run paid for the answers of a part."""
        return _CARRIED_NAME.fullmatch(name) is not None

    @staticmethod
    def epoch_of(name: str) -> int:
        """Under which epoch a part was written."""
        return int(name.partition("-")[0])

    def add(self, line: Mapping[str, Any]) -> Place:
        """Append to the growing part. It is safe only when `write` has written that part.

        Returns:
            Where the line is going to be.
        """
        data = encode_line(line)
        place = Place(len(self.parts) - 1, self.size_bytes)
        self._lines.append(data)
        self.size_bytes += len(data)
        return place

    def cut(self) -> Part | None:
        """End the growing part and begin the next one; None where it is empty."""
        if not self._lines:
            return None
        part = Part(len(self.parts) - 1, b"".join(self._lines), len(self._lines))
        self._lines = []
        self.size_bytes = 0
        self.parts.append(self._name(len(self.parts) - self._written + 1))
        return part

    def write(self, part: Part) -> None:
        """Put a part on storage.

        Raises:
            OutputError: the storage does not take it. The part may be written again.
        """
        self._folder.child(self.parts[part.number]).write(part.data)

    def read_parts(self, count: int) -> Iterator[tuple[int, bytes]]:
        """The first parts, oldest first, each with its number.

        Args:
            count: how many parts.

        Raises:
            OutputError: a part cannot be read.
        """
        with _PartsAhead(self, count) as parts:
            for number in range(count):
                yield number, parts.read(number)

    def read_part(self, number: int) -> bytes:
        """A whole part.

        Raises:
            OutputError: it cannot be read.
        """
        place = self._folder.child(self.parts[number])
        try:
            return place.read()
        except OSError as error:
            raise OutputError(
                f"Results in {place.uri!r} cannot be read: {type(error).__name__}: {error}. "
                "Check the access to work_dir; results that are kept there are not lost."
            ) from error

    def _name(self, number: int) -> str:
        return f"{self._lease.epoch:06d}-{number:08d}.jsonl"


class _PartsAhead:
    """Reads parts, and while they are wanted in order, the next ones before they are wanted.

    A job of hours leaves thousands of small parts, and an object store takes tens of milliseconds for each. Of large
    parts there are fewer at once: memory is to stay what it is.

    Args:
        journal: has the parts.
        count: no part from this number on is read before it is wanted.
    """

    def __init__(self, journal: Journal, count: int) -> None:
        self._journal = journal
        self._count = count
        self._pool = ThreadPoolExecutor(_READERS, "bedrock-llm-journal")
        self._coming: deque[Future[bytes]] = deque()
        """Parts from number `_next` on."""
        self._next = 0
        self._most = 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def read(self, number: int) -> bytes:
        """A whole part.

        Raises:
            OutputError: it cannot be read.
        """
        if number != self._next:
            self._coming.clear()
            self._next, self._most = number, 1
        while not self._coming or (len(self._coming) < self._most and self._next + len(self._coming) < self._count):
            self._coming.append(self._pool.submit(self._journal.read_part, self._next + len(self._coming)))
        data = self._coming.popleft().result()
        self._next += 1
        self._most = max(1, min(_READERS, _AHEAD_BYTES // max(len(data), 1)))
        return data


class PartReader:
    """Reads single lines. Neighbours share a part, so the parts read last are kept, up to 4 MiB. A context manager."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._ahead = _PartsAhead(journal, len(journal.parts) - 1)
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self._kept_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *reason: object) -> None:
        self._ahead.__exit__(*reason)

    def line(self, place: Place) -> dict[str, Any]:
        """The line at a place.

        Raises:
            OutputError: its part cannot be read.
        """
        data = self._kept.get(place.part)
        if data is None:
            data = self._kept[place.part] = self._ahead.read(place.part)
            self._kept_bytes += len(data)
            while self._kept_bytes > _CACHE_BYTES and len(self._kept) > 1:
                self._kept_bytes -= len(self._kept.popitem(last=False)[1])
        else:
            self._kept.move_to_end(place.part)
        try:
            line: dict[str, Any] = json.loads(data[place.offset : data.index(b"\n", place.offset)].decode())
        except ValueError as error:
            raise OutputError(
                f"The results in {self._journal.parts[place.part]!r} are damaged at byte {place.offset}. "
                "Delete that file from the job's folder and run the task again: only its rows are asked again."
            ) from error
        return line
