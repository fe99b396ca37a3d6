"""Where jobs keep their files: local folders and any object storage that Airflow's ObjectStoragePath reaches.

The only module that touches either. Everything here blocks, so event loops call it in a thread; for `s3://` that is
not a matter of speed: ObjectStoragePath runs an event loop of its own when it first connects, and raises inside one.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from glob import glob, has_magic
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote, urlsplit

from airflow_provider_bedrock_llm.core.errors import ConfigurationError, OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["LocalLocation", "Location", "ObjectLocation", "absolute_uri", "open_location"]

_READ_BLOCK_BYTES = 4 * 1024 * 1024
_WRITE_BUFFER_BYTES = 1024 * 1024


class Location(Protocol):
    """A file or a folder somewhere.

    What it raises: FileNotFoundError and other OSErrors where something is read, OutputError where something is
    written.
    """

    @property
    def uri(self) -> str:
        """Its name, as the user would write it."""
        ...

    @property
    def name(self) -> str:
        """The last part of its name."""
        ...

    def child(self, name: str) -> Location:
        """Something inside the folder."""
        ...

    def names(self) -> list[str]:
        """The names in the folder, sorted; empty where there is no folder. Never from a cache.

        Raises OutputError where it cannot be listed: only folders that are written to are.
        """
        ...

    def exists(self) -> bool:
        """Whether the file is there now. Never from a cache. Raises OutputError where the storage does not say."""
        ...

    def read(self) -> bytes:
        """The whole file."""
        ...

    def open(self) -> IO[bytes]:
        """The file as a stream; memory does not grow with it."""
        ...

    def fingerprint(self) -> str:
        """Changes when the file changes."""
        ...

    def files(self) -> list[tuple[Location, str]]:
        """The files that the name means, each with its fingerprint, sorted by name.

        A file means itself; a folder the files in it; a pattern (`*`, `?`, `[...]`, `**`) the files that match, which
        may be none. Never from a cache.
        """
        ...

    def write(self, data: bytes) -> None:
        """Replace the file: afterwards it is whole, and it survives a power cut where the storage can promise that."""
        ...

    def remove(self) -> None:
        """Delete the file, if it is there."""
        ...

    def create(self, data: bytes) -> bool:
        """Write the file if it is not there.

        Returns:
            Whether this call wrote it. Of several at once one does, on local disks and on S3.
        """
        ...

    def delete(self) -> None:
        """Remove the file, if it is there."""
        ...

    def writer(self) -> contextlib.AbstractContextManager[IO[bytes]]:
        """A stream that replaces the file when the block ends, and leaves it alone when the block raises."""
        ...


def open_location(uri: str, setting: str) -> Location:
    """Find the storage for a URI.

    Args:
        uri: a local path, `file://...`, or `scheme://[conn_id@]...` as ObjectStoragePath takes it.
        setting: the setting that the URI comes from, for errors.

    Raises:
        ConfigurationError: the URI names a storage that cannot be reached from here.
    """
    path = _local_path(uri)
    return ObjectLocation.of(uri, setting) if path is None else LocalLocation(path, setting)


def absolute_uri(uri: str) -> str:
    """Make a local path mean the same in every process. Other URIs stay as they are."""
    path = _local_path(uri)
    return uri if path is None else os.path.abspath(path)  # noqa: PTH100 - a symbolic link may move later


def _local_path(uri: str) -> Path | None:
    if "://" not in uri:
        return Path(uri).expanduser()
    parts = urlsplit(uri)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


class LocalLocation:
    """On a disk of this machine, or one that is mounted here."""

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
        with _as_output_error(self._setting, self.uri):
            try:
                return sorted(name for name in os.listdir(self._path) if not name.startswith("."))  # noqa: PTH208
            except (FileNotFoundError, NotADirectoryError):
                return []

    def exists(self) -> bool:
        """See `Location`."""
        with _as_output_error(self._setting, self.uri):
            return self._path.exists()

    def read(self) -> bytes:
        """See `Location`."""
        return self._path.read_bytes()

    def open(self) -> IO[bytes]:
        """See `Location`."""
        return self._path.open("rb", buffering=_WRITE_BUFFER_BYTES)

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

    def remove(self) -> None:
        """See `Location`."""
        with _as_output_error(self._setting, self.uri):
            self._path.unlink(missing_ok=True)

    def create(self, data: bytes) -> bool:
        """See `Location`."""
        with _as_output_error(self._setting, self.uri):
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
        with _as_output_error(self._setting, self.uri):
            self._path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def writer(self) -> Iterator[IO[bytes]]:
        """See `Location`. Written aside, synced and renamed."""
        with _as_output_error(self._setting, self.uri):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            aside = self._aside()
            try:
                with aside.open("wb", buffering=_WRITE_BUFFER_BYTES) as stream:
                    yield stream
                    stream.flush()
                    os.fsync(stream.fileno())
                aside.replace(self._path)
            finally:
                aside.unlink(missing_ok=True)
            _sync_folder(self._path.parent)

    def _aside(self) -> Path:
        return self._path.with_name(f".{self._path.name}.{secrets.token_hex(6)}.tmp")


class ObjectLocation:
    """In an object store, or whatever else fsspec reaches."""

    __slots__ = ("_fs", "_path", "_setting", "_uri")

    def __init__(self, fs: Any, path: str, uri: str, setting: str) -> None:
        self._fs = fs
        self._path = path
        self._uri = uri
        self._setting = setting

    @classmethod
    def of(cls, uri: str, setting: str) -> ObjectLocation:
        """Connect, with the credentials of the Airflow connection in the URI.

        Raises:
            ConfigurationError: no Airflow, no such scheme, or no such connection.
        """
        try:
            from airflow.sdk import ObjectStoragePath  # noqa: PLC0415 - jobs on local files need no Airflow

            place = ObjectStoragePath(uri)
            return cls(place.fs, place.path, uri, setting)
        except Exception as error:
            raise ConfigurationError(
                f"{setting}={uri!r} cannot be reached: {type(error).__name__}: {error}. Give a local path, or a URI "
                "whose scheme an installed Airflow provider serves, with the connection as in s3://conn_id@bucket/path."
            ) from error

    @property
    def uri(self) -> str:
        """As it was given."""
        return self._uri

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self._path.rstrip("/").rpartition("/")[2]

    def child(self, name: str) -> ObjectLocation:
        """See `Location`."""
        return ObjectLocation(
            self._fs, f"{self._path.rstrip('/')}/{name}", f"{self._uri.rstrip('/')}/{name}", self._setting
        )

    def names(self) -> list[str]:
        """See `Location`."""
        with _as_output_error(self._setting, self._uri, Exception):
            self._forget()
            try:
                found = self._fs.ls(self._path, detail=False)
            except FileNotFoundError:
                return []
        return sorted(str(path).rstrip("/").rpartition("/")[2] for path in found)

    def exists(self) -> bool:
        """See `Location`."""
        with _as_output_error(self._setting, self._uri, Exception):
            self._forget()
            return bool(self._fs.exists(self._path))

    def read(self) -> bytes:
        """See `Location`."""
        with _as_os_error(self._uri):
            return bytes(self._fs.cat_file(self._path))

    def open(self) -> IO[bytes]:
        """See `Location`."""
        with _as_os_error(self._uri):
            stream: IO[bytes] = self._fs.open(self._path, "rb", block_size=_READ_BLOCK_BYTES)
        return stream

    def fingerprint(self) -> str:
        """See `Location`. What says so differs between stores."""
        with _as_os_error(self._uri):
            self._forget()
            return _stamp(self._fs.info(self._path))

    def files(self) -> list[tuple[Location, str]]:
        """See `Location`."""
        with _as_os_error(self._uri):
            self._fs.invalidate_cache()
            if has_magic(self._path) and not self._fs.exists(self._path):
                found = list(self._fs.glob(self._path, detail=True).values())
            else:
                info = self._fs.info(self._path)
                if info["type"] == "file":
                    return [(self, _stamp(info))]
                found = self._fs.ls(self._path, detail=True)
        files = {str(info["name"]): info for info in found if info["type"] == "file"}
        return [(self._other(path), _stamp(files[path])) for path in sorted(files) if not path.endswith("/")]

    def _other(self, path: str) -> ObjectLocation:
        """Another file in the same store, under the same connection."""
        is_end = self._uri.endswith(self._path)
        before = self._uri.removesuffix(self._path) if is_end else f"{self._uri.partition('://')[0]}://"
        return ObjectLocation(self._fs, path, before + path, self._setting)

    def write(self, data: bytes) -> None:
        """See `Location`. Object stores show an object when it is whole."""
        with _as_output_error(self._setting, self._uri, Exception):
            self._make_folder()
            self._fs.pipe_file(self._path, data)

    def remove(self) -> None:
        """See `Location`."""
        with _as_output_error(self._setting, self._uri, Exception), contextlib.suppress(FileNotFoundError):
            self._fs.rm_file(self._path)
            self._forget()

    def create(self, data: bytes) -> bool:
        """See `Location`. S3 gets a conditional put."""
        with _as_output_error(self._setting, self._uri, Exception):
            self._forget()
            self._make_folder()
            try:
                self._fs.pipe_file(self._path, data, mode="create")
            except FileExistsError:
                return False
        return True

    def delete(self) -> None:
        """See `Location`."""
        with _as_output_error(self._setting, self._uri, Exception):
            with contextlib.suppress(FileNotFoundError):
                self._fs.rm_file(self._path)
            self._forget()

    @contextlib.contextmanager
    def writer(self) -> Iterator[IO[bytes]]:
        """See `Location`."""
        with _as_output_error(self._setting, self._uri, Exception):
            self._make_folder()
            stream = self._fs.open(self._path, "wb", autocommit=False)
        try:
            yield _Checked(stream, self._setting, self._uri)  # type: ignore[misc]
        except BaseException:
            with contextlib.suppress(Exception):
                stream.discard()
                stream.closed = True  # else fsspec tries to write it when the stream is collected
            raise
        with _as_output_error(self._setting, self._uri, Exception):
            stream.close()
            stream.commit()
            self._forget()

    def _make_folder(self) -> None:
        """Stores without folders do nothing here."""
        parent = self._path.rpartition("/")[0]
        if "/" in parent.strip("/"):
            self._fs.makedirs(parent, exist_ok=True)

    def _forget(self) -> None:
        """Drop what fsspec remembers of the listing: others write here too."""
        self._fs.invalidate_cache(self._path)
        self._fs.invalidate_cache(self._path.rpartition("/")[0])


def _stamp(info: Mapping[str, Any]) -> str:
    stamps = ("ETag", "etag", "md5Hash", "content_settings", "LastModified", "last_modified", "mtime", "created")
    return f"{info.get('size')}-{next((info[name] for name in stamps if info.get(name)), '')}"


class _Checked:
    """A stream whose writes fail as OutputError: stores raise exceptions of their own."""

    def __init__(self, stream: Any, setting: str, uri: str) -> None:
        self._stream = stream
        self._setting = setting
        self._uri = uri

    def write(self, data: bytes) -> int:
        with _as_output_error(self._setting, self._uri, Exception):
            return int(self._stream.write(data))


@contextlib.contextmanager
def _as_output_error(setting: str, uri: str, kind: type[Exception] = OSError) -> Iterator[None]:
    try:
        yield
    except OutputError:
        raise
    except kind as error:
        raise OutputError(
            f"{setting}: {uri!r} cannot be used: {type(error).__name__}: {error}. "
            f"Give a {setting} with room that this process may write to; what was kept before stays kept."
        ) from error


@contextlib.contextmanager
def _as_os_error(uri: str) -> Iterator[None]:
    """Clients of object stores raise exceptions of their own when the store is away."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise OSError(f"{uri!r} cannot be read: {type(error).__name__}: {error}") from error


def _sync_folder(folder: Path) -> None:
    """Make the rename itself survive; some mounted file systems cannot, and say so."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
