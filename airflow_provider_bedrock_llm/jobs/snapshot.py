"""A query's rows in the job's folder, so that triggerers need no database and a job that goes on reads the same rows.

`input/{token}.jsonl.gz` holds the rows; `input/{token}.json`, written after it, says how many there are and counts the
snapshot as complete. A snapshot that holds what the one before held is dropped: to the job nothing has changed then.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_bedrock_llm.core.errors import ConfigurationError, SourceError
from airflow_provider_bedrock_llm.jobs.job import JobSpec
from airflow_provider_bedrock_llm.jobs.manifest import Manifest
from airflow_provider_bedrock_llm.jobs.plain_value import plain_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from airflow_provider_bedrock_llm.jobs.storage import Location

__all__ = ["SNAPSHOT_FORMAT", "Snapshot", "snapshot_uri", "take_snapshot"]

SNAPSHOT_FORMAT = "jsonl"

_FOLDER = "input"
_ROWS = ".jsonl.gz"
_CLOSING = ".json"
_FAST_COMPRESSION = 3
_LINES_PER_WRITE = 512
_ALIVE_SECONDS = 60.0
"""A runner writes its manifest each second. One that has not for so long is dead, or will find that it was replaced."""


class Snapshot(NamedTuple):
    """A complete snapshot.

    Attributes:
        token: the run of the task that took it.
        rows: how many it holds.
        sha256: of its lines.
    """

    token: str
    rows: int
    sha256: str


def snapshot_uri(job_uri: str, token: str) -> str:
    """The rows of a snapshot, as a source."""
    return f"{job_uri}/{_FOLDER}/{token}{_ROWS}"


def take_snapshot(
    spec: JobSpec,
    token: str,
    open_rows: Callable[[], Iterable[Mapping[str, Any]]],
    now: Callable[[], float] = time.time,
) -> Snapshot:
    """The rows that this run of the task is to read: its own snapshot, or that of the job if it runs elsewhere.

    Args:
        spec: the job.
        token: names the run of the task.
        open_rows: starts the query. Not called where a complete snapshot is taken as it is.
        now: seconds since the epoch.

    Raises:
        SourceError: a row holds a value that JSON cannot.
        OutputError: the job's folder cannot be written.
    """
    folder = spec.folder.child(_FOLDER)
    own = _complete(folder, token)
    if own is not None:
        return own
    current = _current(spec, folder)
    if current is not None and _runs(spec, now()):
        return current
    taken = _write(folder, token, open_rows())
    if current is None or current.sha256 != taken.sha256:
        current = taken
        folder.child(token + _CLOSING).write(json.dumps(taken._asdict()).encode())
    _remove_others(folder, current.token)
    return current


def _complete(folder: Location, token: str) -> Snapshot | None:
    try:
        return Snapshot(**json.loads(folder.child(token + _CLOSING).read()))
    except (OSError, ValueError, TypeError):
        return None


def _current(spec: JobSpec, folder: Location) -> Snapshot | None:
    """The snapshot that job.json names."""
    try:
        uri = JobSpec.load(spec.job_uri).source_uri or ""
    except ConfigurationError:
        return None
    return _complete(folder, uri.rpartition("/")[2].removesuffix(_ROWS))


def _runs(spec: JobSpec, now: float) -> bool:
    manifest = Manifest.load(spec.folder)
    if manifest is None or manifest.state != "running":
        return False
    return now - datetime.fromisoformat(manifest.updated_at).timestamp() < _ALIVE_SECONDS


def _write(folder: Location, token: str, rows: Iterable[Mapping[str, Any]]) -> Snapshot:
    digest = hashlib.sha256()
    count = 0
    with (
        folder.child(token + _ROWS).writer() as stream,
        gzip.GzipFile(fileobj=stream, mode="wb", compresslevel=_FAST_COMPRESSION, mtime=0) as packed,
    ):
        for lines in _lines(rows):
            count += len(lines)
            data = b"".join(lines)
            digest.update(data)
            packed.write(data)
    return Snapshot(token, count, digest.hexdigest())


def _lines(rows: Iterable[Mapping[str, Any]]) -> Iterator[list[bytes]]:
    lines: list[bytes] = []
    for row in rows:
        lines.append(_line(row))
        if len(lines) == _LINES_PER_WRITE:
            yield lines
            lines = []
    yield lines


def _line(row: Mapping[str, Any]) -> bytes:
    fields = {}
    for name, value in row.items():
        try:
            fields[name] = plain_value(value)
        except ValueError as error:
            raise SourceError(
                f"The column {name!r} of the query holds {error}, which JSON cannot hold. Cast it to text in the query."
            ) from error
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass") + b"\n"


def _remove_others(folder: Location, token: str) -> None:
    """Closing files go first: a snapshot never counts without its rows."""
    names = [name for name in folder.names() if not name.startswith(f"{token}.")]
    for name in sorted(names, key=lambda name: not name.endswith(_CLOSING)):
        folder.child(name).delete()
