"""Answers that a task carries from run to run, so that tomorrow's run pays for new and changed rows alone.

A run copies what the task knows into its own folder before it asks, and gives back what it paid for when it succeeds.
So a folder stays all that a job needs, and two runs at once only ever add files to the answers of the task:

    runs/{job}-{epoch}            a run that has begun: whoever dies before giving back is read there by the next run
    answers/{job}-{folder}-{n}.jsonl  what a run gave back, or a rewriting of what many gave

A run is known by where its folder is, and a folder that was deleted and made anew is another one: `{folder}` is drawn
when it first carries answers, so that what it gives back never takes the place of what the one before it gave.

Rewriting keeps what this run used, half as much again of what it did not, and then deletes the files that it has read,
and only those: a file that came in between stays, and a run that dies in the middle leaves answers twice, never none.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.jobs.hash_table import HashSet
from airflow_provider_bedrock_llm.jobs.journal import Journal, Place
from airflow_provider_bedrock_llm.jobs.manifest import Manifest
from airflow_provider_bedrock_llm.jobs.storage import open_location

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airflow_provider_bedrock_llm.jobs.lease import Lease
    from airflow_provider_bedrock_llm.jobs.storage import Location

__all__ = ["TaskAnswers"]

_PART_BYTES = 8 * 1024 * 1024
_NOTE = "carried.json"
_FEW_LINES = 1_000
_MOST_FILES = 64
_UNUSED_SHARE = 0.5


class TaskAnswers:
    """The answers of a task, as one run of it sees them. Blocks.

    Args:
        uri: the folder that all runs of the task share.
        folder: the run's own.
        lease: the right to run it.
    """

    def __init__(self, uri: str, folder: Location, lease: Lease) -> None:
        self._answers = open_location(uri, "work_dir").child("answers")
        self._runs = open_location(uri, "work_dir").child("runs")
        self._folder = folder
        self._lease = lease
        self._job = hashlib.sha256(folder.uri.encode()).hexdigest()[:16]

    def carry(self) -> None:
        """Note that this run has begun, and copy what the task knows into its folder, unless that was done before.

        Raises:
            OutputError: one of the folders cannot be written.
        """
        self._runs.child(f"{self._job}-{self._lease.epoch:06d}").write(self._folder.uri.encode())
        if self._note() is not None:
            return
        copied, lines = self._copy_answers()
        runs: dict[str, list[str]] = {}
        for name in self._runs.names():
            if not name.startswith(self._job):
                runs[name] = self._write_carried(self._lines_of_run(name), f"r{name.replace('-', '')}")
        note = {"answers": copied, "runs": runs, "lines": lines, "folder": secrets.token_hex(4)}
        self._folder.child(_NOTE).write(json.dumps(note).encode())

    def give_back(self, journal: Journal, places: Iterable[int]) -> None:
        """Add what this run paid for, and what dead runs did; rewrite all of it where it has become too much.

        Args:
            journal: of the run.
            places: where the outcome of each record is (`Place.pack`); other values do no harm.

        Raises:
            OutputError: a folder cannot be read or written.
        """
        note = self._note() or {"answers": [], "runs": {}, "lines": 0}
        label = f"{self._job}-{note.get('folder') or secrets.token_hex(4)}"
        absorbed = {part for parts in note["runs"].values() for part in parts}
        new = [number for number, name in enumerate(journal.parts[:-1]) if _is_new(name, absorbed)]
        lines = note["lines"] + self._add(f"{label}-", (line for _, line in _answers(journal, new)))
        for name in note["runs"]:
            if self._has_ended(name):
                self._runs.child(name).delete()
        used = HashSet()
        count = sum(used.add(place) for place in places if place)
        if lines > 2 * count + _FEW_LINES or len(note["answers"]) > _MOST_FILES:
            carried = [number for number, name in enumerate(journal.parts[:-1]) if not _is_new(name, absorbed)]
            self._add(f"{label}-kept-", _worth_keeping(journal, carried, used, int(count * _UNUSED_SHARE)))
            for name in note["answers"]:
                self._answers.child(name).delete()
        for name in self._runs.names():
            if name.startswith(self._job):
                self._runs.child(name).delete()

    def _note(self) -> dict[str, Any] | None:
        try:
            note: dict[str, Any] = json.loads(self._folder.child(_NOTE).read())
        except (OSError, ValueError):
            return None
        return note

    def _copy_answers(self) -> tuple[list[str], int]:
        """Copy every file; one that is rewritten meanwhile is gone, and what it held is in a new one."""
        copied: dict[str, int] = {}
        while True:
            left = [name for name in self._answers.names() if name.endswith(".jsonl") and name not in copied]
            if not left:
                return [name for name, lines in copied.items() if lines], sum(copied.values())
            for name in left:
                try:
                    data = self._answers.child(name).read()
                except FileNotFoundError:
                    copied[name] = 0
                    continue
                self._carried(name.removesuffix(".jsonl")).write(data)
                copied[name] = data.count(b"\n")

    def _lines_of_run(self, name: str) -> Iterator[bytes]:
        try:
            folder = open_location(self._runs.child(name).read().decode(), "work_dir")
        except FileNotFoundError:
            return
        journal = Journal(folder, self._lease, [part for part in Journal.list_parts(folder) if _is_new(part, ())])
        for _, line in _answers(journal, range(len(journal.parts) - 1)):
            yield line

    def _write_carried(self, lines: Iterable[bytes], label: str) -> list[str]:
        names = []
        for number, data in enumerate(_chunks(lines)):
            place = self._carried(f"{label}{number:08d}")
            place.write(data)
            names.append(place.name)
        return names

    def _carried(self, label: str) -> Location:
        return self._folder.child("results").child(Journal.carried_name(self._lease.epoch, label))

    def _add(self, prefix: str, lines: Iterable[bytes]) -> int:
        count = 0
        for number, data in enumerate(_chunks(lines)):
            self._answers.child(f"{prefix}{number:08d}.jsonl").write(data)
            count += data.count(b"\n")
        return count

    def _has_ended(self, name: str) -> bool:
        try:
            manifest = Manifest.load(open_location(self._runs.child(name).read().decode(), "work_dir"))
        except FileNotFoundError:
            return False
        return manifest is not None and manifest.state != "running"


def _is_new(name: str, absorbed: Iterable[str]) -> bool:
    """Whether the answers of the task may lack what a part holds."""
    return not Journal.is_carried(name) or name in absorbed


def _answers(journal: Journal, numbers: Iterable[int]) -> Iterator[tuple[int, bytes]]:
    """Whole lines with an answer, each with its place (`Place.pack`)."""
    for number in numbers:
        data, offset = journal.read_part(number), 0
        while (end := data.find(b"\n", offset)) >= 0:
            line = data[offset : end + 1]
            if _holds_answer(line):
                yield Place(number, offset).pack(), line
            offset = end + 1


def _holds_answer(line: bytes) -> bool:
    if b'"error"' not in line:
        return line.startswith(b"{") and line.endswith(b"}\n")
    try:
        return "error" not in json.loads(line)
    except ValueError:
        return False


def _worth_keeping(journal: Journal, numbers: list[int], used: HashSet, unused: int) -> Iterator[bytes]:
    """What the run used, and of the rest the newest."""
    for number in reversed(numbers):
        for place, line in _answers(journal, [number]):
            if not used.add(place):
                yield line
            elif unused > 0:
                unused -= 1
                yield line


def _chunks(lines: Iterable[bytes]) -> Iterator[bytes]:
    chunk: list[bytes] = []
    size = 0
    for line in lines:
        chunk.append(line)
        size += len(line)
        if size >= _PART_BYTES:
            yield b"".join(chunk)
            chunk, size = [], 0
    if chunk:
        yield b"".join(chunk)
