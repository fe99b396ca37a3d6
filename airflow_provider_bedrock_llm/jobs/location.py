"""What a file or a folder of a job can do, wherever it is."""

from __future__ import annotations

import contextlib
from typing import IO, TYPE_CHECKING, Protocol

from airflow_provider_bedrock_llm.core.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Location", "as_output_error"]


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


@contextlib.contextmanager
def as_output_error(setting: str, uri: str, kind: type[Exception] = OSError) -> Iterator[None]:
    """What goes wrong with a place that is written to, as this package's error."""
    try:
        yield
    except OutputError:
        raise
    except kind as error:
        raise OutputError(
            f"{setting}: {uri!r} cannot be used: {type(error).__name__}: {error}. "
            f"Give a {setting} with room that this process may write to; what was kept before stays kept."
        ) from error
