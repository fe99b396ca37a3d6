"""A storage in memory that can be broken: full, torn, away."""

from __future__ import annotations

import contextlib
import io
from typing import IO, TYPE_CHECKING

from airflow_provider_bedrock_llm.core.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator


class MemoryStore:
    """The files of one storage, and how much it still takes."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.free_bytes: int | None = None
        self.refused = 0

    def at(self, path: str) -> MemoryLocation:
        return MemoryLocation(self, path)


class MemoryLocation:
    """A `Location` in a `MemoryStore`."""

    def __init__(self, store: MemoryStore, path: str) -> None:
        self._store = store
        self._path = path

    @property
    def uri(self) -> str:
        return f"memory://{self._path}"

    @property
    def name(self) -> str:
        return self._path.rpartition("/")[2]

    def child(self, name: str) -> MemoryLocation:
        return MemoryLocation(self._store, f"{self._path}/{name}")

    def names(self) -> list[str]:
        prefix = f"{self._path}/"
        return sorted({path[len(prefix) :].partition("/")[0] for path in self._store.files if path.startswith(prefix)})

    def exists(self) -> bool:
        return self._path in self._store.files

    def read(self) -> bytes:
        if not self.exists():
            raise FileNotFoundError(self._path)
        return self._store.files[self._path]

    def open(self) -> IO[bytes]:
        return io.BytesIO(self.read())

    def fingerprint(self) -> str:
        return str(hash(self.read()))

    def write(self, data: bytes) -> None:
        free = self._store.free_bytes
        if free is not None and len(data) > free:
            self._store.refused += 1
            raise OutputError(f"work_dir: {self.uri!r} cannot be used: OSError: [Errno 28] No space left on device.")
        self._store.files[self._path] = data

    def create(self, data: bytes) -> bool:
        if self.exists():
            return False
        self.write(data)
        return True

    def delete(self) -> None:
        self._store.files.pop(self._path, None)

    @contextlib.contextmanager
    def writer(self) -> Iterator[IO[bytes]]:
        stream = io.BytesIO()
        yield stream
        self.write(stream.getvalue())
