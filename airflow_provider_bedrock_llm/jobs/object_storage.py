"""Files of a job in an object store, through Airflow's ObjectStoragePath.

For `s3://` it is not a matter of speed that event loops call this in a thread: ObjectStoragePath runs an event loop of
its own when it first connects, and raises inside one.
"""

from __future__ import annotations

import contextlib
from glob import has_magic
from typing import IO, TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.core.errors import ConfigurationError
from airflow_provider_bedrock_llm.jobs.location import Location, as_output_error

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["ObjectLocation"]

_READ_BLOCK_BYTES = 4 * 1024 * 1024


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
        with as_output_error(self._setting, self._uri, Exception):
            self._forget()
            try:
                found = self._fs.ls(self._path, detail=False)
            except FileNotFoundError:
                return []
        return sorted(str(path).rstrip("/").rpartition("/")[2] for path in found)

    def exists(self) -> bool:
        """See `Location`."""
        with as_output_error(self._setting, self._uri, Exception):
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
        with as_output_error(self._setting, self._uri, Exception):
            self._make_folder()
            self._fs.pipe_file(self._path, data)

    def create(self, data: bytes) -> bool:
        """See `Location`. S3 gets a conditional put."""
        with as_output_error(self._setting, self._uri, Exception):
            self._forget()
            self._make_folder()
            try:
                self._fs.pipe_file(self._path, data, mode="create")
            except FileExistsError:
                return False
        return True

    def delete(self) -> None:
        """See `Location`."""
        with as_output_error(self._setting, self._uri, Exception):
            with contextlib.suppress(FileNotFoundError):
                self._fs.rm_file(self._path)
            self._forget()

    @contextlib.contextmanager
    def writer(self) -> Iterator[IO[bytes]]:
        """See `Location`."""
        with as_output_error(self._setting, self._uri, Exception):
            self._make_folder()
            stream = self._fs.open(self._path, "wb", autocommit=False)
        try:
            yield _Checked(stream, self._setting, self._uri)  # type: ignore[misc]
        except BaseException:
            with contextlib.suppress(Exception):
                stream.discard()
                stream.closed = True  # else fsspec tries to write it when the stream is collected
            raise
        with as_output_error(self._setting, self._uri, Exception):
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
        with as_output_error(self._setting, self._uri, Exception):
            return int(self._stream.write(data))


@contextlib.contextmanager
def _as_os_error(uri: str) -> Iterator[None]:
    """Clients of object stores raise exceptions of their own when the store is away."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise OSError(f"{uri!r} cannot be read: {type(error).__name__}: {error}") from error
