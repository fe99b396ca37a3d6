"""Read the file that a content block is made of, without reading what is too large."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote, urlsplit

from airflow_provider_bedrock_llm.core.errors import ContentError
from airflow_provider_bedrock_llm.core.media import check_size

if TYPE_CHECKING:
    from airflow_provider_bedrock_llm.core.media_table import MediaKind

__all__ = ["FileSource", "ReadableFile", "Reader", "read_file"]


class ReadableFile(Protocol):
    """A path object, such as Airflow's ObjectStoragePath or a pathlib.Path."""

    @property
    def name(self) -> str:
        """The last part of the path."""
        ...

    def read_bytes(self) -> bytes:
        """The whole file."""
        ...


FileSource = str | os.PathLike[str] | ReadableFile
Reader = Callable[[str], bytes]


def read_file(
    kind: MediaKind, source: FileSource, reader: Reader | None = None, max_size_mb: float | None = None
) -> tuple[bytes, str]:
    """Read a file.

    Args:
        kind: what it is to be sent as, for its limit.
        source: a path, a URI or a path object. A URI other than file:// goes to the reader.
        reader: gives the bytes behind a URI.
        max_size_mb: in MiB, instead of the API's limit.

    Returns:
        Its bytes, and its name without folders.

    Raises:
        ContentError: it is too large, or a folder, or there is no reader for it.
        FileNotFoundError: there is no such file.
    """
    file: Any = source
    if isinstance(source, str):
        scheme, is_uri, _ = source.partition("://")
        if is_uri and scheme != "file":
            if reader is None:
                raise ContentError(f"Nothing here reads {source!r}. Give a `reader`, or an ObjectStoragePath.")
            return reader(source), source.rpartition("/")[2]
        file = unquote(urlsplit(source).path) if is_uri else source
    if not hasattr(file, "read_bytes"):
        file = Path(file)
    _refuse_unread(kind, file, max_size_mb)
    return file.read_bytes(), file.name


def _refuse_unread(kind: MediaKind, file: Any, max_size_mb: float | None) -> None:
    if hasattr(file, "is_dir") and file.is_dir():
        raise ContentError(f"{str(file)!r} is a folder. Give a file.")
    if hasattr(file, "stat"):
        check_size(kind, file.stat().st_size, file.name, max_size_mb)
