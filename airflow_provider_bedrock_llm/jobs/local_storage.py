"""Files of a job on a disk of this machine, or on one that is mounted here."""

from __future__ import annotations

import contextlib
import io
import os
import secrets
from glob import glob, has_magic
from pathlib import Path
from typing import IO, TYPE_CHECKING

from airflow_provider_bedrock_llm.jobs.location import Location, as_output_error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Buffer

__all__ = ["LocalLocation"]

_BUFFER_BYTES = 1024 * 1024


class LocalLocation:
    """A path."""

    __slots__ = ("_path", "_setting")

    def __init__(self, path: Path, setting: str) -> None:
        self._path = path
        self._setting = setting

    @property
    def uri(self) -> str:
        """The path."""
        return str(self._path)

    @property
    def name(self) -> str:
        """The file's name."""
        return self._path.name

    def child(self, name: str) -> LocalLocation:
        """See `Location`."""
        return LocalLocation(self._path / name, self._setting)

    def names(self) -> list[str]:
        """See `Location`. Files that are being written do not count."""
        with as_output_error(self._setting, self.uri):
            try:
                return sorted(name for name in os.listdir(self._path) if not name.startswith("."))  # noqa: PTH208
            except (FileNotFoundError, NotADirectoryError):
                return []

    def exists(self) -> bool:
        """See `Location`."""
        with as_output_error(self._setting, self.uri):
            return self._path.exists()

    def read(self) -> bytes:
        """See `Location`."""
        return self._path.read_bytes()

    def open(self) -> IO[bytes]:
        """See `Location`."""
        return self._path.open("rb", buffering=_BUFFER_BYTES)

    def fingerprint(self) -> str:
        """See `Location`."""
        status = self._path.stat()
        return f"{status.st_size}-{status.st_mtime_ns}"

    def files(self) -> list[tuple[Location, str]]:
        """See `Location`."""
        name = str(self._path)
        if self._path.is_dir():
            found = [path for path in self._path.iterdir() if path.is_file()]
        elif has_magic(name) and not self._path.exists():
            found = [path for path in map(Path, glob(name, recursive=True)) if path.is_file()]  # noqa: PTH207
        else:
            found = [self._path]
        places = [LocalLocation(path, self._setting) for path in sorted(found)]
        return [(place, place.fingerprint()) for place in places]

    def write(self, data: bytes) -> None:
        """See `Location`."""
        with self.writer() as stream:
            stream.write(data)

    def create(self, data: bytes) -> bool:
        """See `Location`."""
        with as_output_error(self._setting, self.uri):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with self._path.open("xb") as stream:
                    stream.write(data)
                    stream.flush()
                    os.fsync(stream.fileno())
            except FileExistsError:
                return False
            _sync_folder(self._path.parent)
        return True

    def delete(self) -> None:
        """See `Location`."""
        with as_output_error(self._setting, self.uri):
            self._path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def writer(self) -> Iterator[IO[bytes]]:
        """See `Location`. Written aside, synced and renamed."""
        aside = self._aside()
        with as_output_error(self._setting, self.uri):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            file = _CheckedFile(aside, self._setting, self.uri)
        try:
            with io.BufferedWriter(file, _BUFFER_BYTES) as stream:
                yield stream  # what the block raises by itself is not about this file
                with as_output_error(self._setting, self.uri):
                    stream.flush()
                    os.fsync(stream.fileno())
            with as_output_error(self._setting, self.uri):
                aside.replace(self._path)
                _sync_folder(self._path.parent)
        finally:
            with contextlib.suppress(OSError):  # the folder may be gone; what matters was raised above
                aside.unlink()

    def _aside(self) -> Path:
        return self._path.with_name(f".{self._path.name}.{secrets.token_hex(6)}.tmp")


class _CheckedFile(io.FileIO):
    """A file whose writes fail as OutputError."""

    def __init__(self, path: Path, setting: str, uri: str) -> None:
        super().__init__(path, "wb")
        self._setting = setting
        self._uri = uri

    def write(self, data: Buffer, /) -> int:
        with as_output_error(self._setting, self._uri):
            return super().write(data)


def _sync_folder(folder: Path) -> None:
    """Make the rename itself survive; some mounted file systems cannot, and say so."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
