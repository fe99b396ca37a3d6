"""What a job remembers of its batch jobs, in its folder under `batch/`.

    001.json                 a round: the chunks that its records were cut into, once and for all
    001-00001.json           a chunk as it stands: intended before AWS is asked, submitted with the ARN after
    001-00001-{...}.records  whose records they are, one line each
    001-00001.stop           a person wanted it stopped

A round is written by a conditional put: of two runners that plan at once, one plan holds, and both go on with it.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, astuple
from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.core.batch_plan import Chunk, ChunkState
from airflow_provider_bedrock_llm.core.errors import OutputError
from airflow_provider_bedrock_llm.jobs.record import Asked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_bedrock_llm.jobs.storage import Location

__all__ = ["BatchFiles", "asked_line", "asked_of"]

_FOLDER = "batch"
_ROUND = re.compile(r"(\d{3})\.json")


def asked_line(asked: Asked) -> bytes:
    """A record's line in a `.records` file."""
    return json.dumps(astuple(asked)).encode() + b"\n"


def asked_of(line: bytes) -> Asked:
    """The reverse."""
    return Asked(*json.loads(line))


class BatchFiles:
    """Rounds and chunks of a job. Blocks.

    Args:
        folder: the job's.
    """

    def __init__(self, folder: Location) -> None:
        self._folder = folder.child(_FOLDER)

    def chunks(self) -> list[Chunk]:
        """Every chunk of every round, as it stands."""
        names = self._folder.names()
        found = []
        for name in names:
            if _ROUND.fullmatch(name):
                found += [self._latest(chunk, names) for chunk in self._round(name)]
        return found

    def next_round(self) -> str:
        """The name of the next round."""
        numbers = [int(match[1]) for name in self._folder.names() if (match := _ROUND.fullmatch(name))]
        return f"{max([0, *numbers]) + 1:03d}"

    def begin_round(self, name: str, chunks: Sequence[Chunk]) -> bool:
        """Put a plan in force.

        Returns:
            False where somebody else's plan is.
        """
        data = json.dumps([asdict(chunk) for chunk in chunks], indent=1).encode()
        return self._folder.child(f"{name}.json").create(data)

    def save(self, chunk: Chunk) -> None:
        """Note how a chunk stands."""
        self._folder.child(f"{chunk.name}.json").write(json.dumps(asdict(chunk), indent=1).encode())

    def write_records(self, name: str, lines: Sequence[bytes]) -> None:
        """Note whose records a chunk has."""
        self._folder.child(name).write(b"".join(lines))

    def read_records(self, chunk: Chunk) -> list[bytes]:
        """The lines of a chunk's records, in order."""
        lines = self._folder.child(chunk.records_name).read().splitlines(keepends=True)
        if len(lines) != chunk.records:
            raise OutputError(
                f"{chunk.records_name} in the job's folder has {len(lines)} lines instead of {chunk.records}. "
                "Restore it from a backup; without it the answers of that batch job cannot be told apart."
            )
        return lines

    def ask_to_stop(self, chunk: Chunk) -> None:
        """Note that a person wants it stopped."""
        self._folder.child(f"{chunk.name}.stop").write(b"{}")

    def is_to_stop(self, chunk: Chunk) -> bool:
        """Whether a person wants it stopped."""
        return self._folder.child(f"{chunk.name}.stop").exists()

    def _round(self, name: str) -> list[Chunk]:
        return [_chunk_of(raw) for raw in json.loads(self._folder.child(name).read())]

    def _latest(self, chunk: Chunk, names: Sequence[str]) -> Chunk:
        name = f"{chunk.name}.json"
        return _chunk_of(json.loads(self._folder.child(name).read())) if name in names else chunk


def _chunk_of(raw: dict[str, Any]) -> Chunk:
    return Chunk(**{**raw, "state": ChunkState(raw["state"])})
