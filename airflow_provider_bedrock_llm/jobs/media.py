"""Files that belong to a row: images, documents and videos, by path or URI or as bytes in the cell.

A request names a file by its URI and fingerprint (what storage says of its state: an ETag, or size and time). That is
what its hash holds, so a changed file is asked anew, and an unchanged one need not be read to know that its answer is
there. The bytes are read when the request is sent, so memory holds those of the calls in flight alone. Bytes in a cell
are in the row already; their hash is that of the content.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.core.content_block import media_block, s3_block
from airflow_provider_bedrock_llm.core.errors import ConfigurationError, ContentError, LLMManagerError, SourceError
from airflow_provider_bedrock_llm.core.media import MAX_DOCUMENTS, MAX_IMAGES, check_size, document_name
from airflow_provider_bedrock_llm.core.media_table import MediaKind, container_of
from airflow_provider_bedrock_llm.core.response import BedrockResponse
from airflow_provider_bedrock_llm.jobs.storage import absolute_uri, open_location

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest
    from airflow_provider_bedrock_llm.jobs.asking import Asks
    from airflow_provider_bedrock_llm.jobs.row import Row

__all__ = ["FileEngine", "MediaColumns", "load_files"]

_FILE = "file"
_ROWS_AHEAD = 256
_LOOKS_AT_ONCE = 32
_READS_AT_ONCE = 32
_LONGEST_PATH_CHARACTERS = 1_024
_MOST = {MediaKind.IMAGE: MAX_IMAGES, MediaKind.DOCUMENT: MAX_DOCUMENTS, MediaKind.VIDEO: 1}


class MediaColumns:
    """Makes content blocks of the cells that hold files. For one thread at a time.

    Args:
        columns: by kind, the columns.
        folder_uri: where relative paths begin; None where they have no meaning.
        as_s3_location: whether models are to read `s3://` themselves.
    """

    def __init__(
        self,
        columns: Mapping[MediaKind, Sequence[str]],
        folder_uri: str | None = None,
        *,
        as_s3_location: bool = False,
    ) -> None:
        self.columns = frozenset(column for names in columns.values() for column in names)
        self._columns = [(kind, column) for kind, names in columns.items() for column in names]
        self._folder_uri = folder_uri
        self._as_s3_location = as_s3_location
        self._stamps: dict[str, str | None] = {}

    def ahead(self, rows: Iterable[Row]) -> Iterator[Row]:
        """The rows, with the state of their files looked up for many rows at once: storage answers slowly."""
        rows = iter(rows)
        if not self._columns:
            yield from rows
            return
        with ThreadPoolExecutor(_LOOKS_AT_ONCE, thread_name_prefix="bedrock-files") as pool:
            while chunk := list(islice(rows, 1)):
                uris = self._uris(chunk[0])
                while len(chunk) < _ROWS_AHEAD and self._uris(chunk[-1]):  # a row that holds bytes waits for nobody
                    more = next(rows, None)
                    if more is None:
                        break
                    chunk.append(more)
                    uris += self._uris(more)
                self._stamps = dict(zip(uris, pool.map(_stamp, uris), strict=True))
                yield from chunk

    def state(self, row: Row) -> str:
        """Changes when one of the row's files does."""
        return "".join(f"\n{self._stamp(uri)}" for uri in self._uris(row))

    def blocks(self, fields: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The content blocks of a row.

        Raises:
            ContentError: a file is missing, too large, or not what its column says; or there are too many.
        """
        blocks: list[dict[str, Any]] = []
        names: list[str] = []
        for kind, column in self._columns:
            for cell in _cells(fields.get(column)):
                block = self._block(kind, cell, column)
                if kind is MediaKind.DOCUMENT:
                    source = block.get(_FILE, {}).get("uri", kind.value)
                    names.append(document_name(source.rpartition("/")[2], names))
                    block = {"name": names[-1], **block}
                blocks.append({kind.value: block})
        for kind, most in _MOST.items():
            count = sum(kind.value in block for block in blocks)
            if count > most:
                raise ContentError(f"The row has {count} {kind}s, and Converse takes {most}. Leave some out.")
        return blocks

    def _block(self, kind: MediaKind, cell: Any, column: str) -> dict[str, Any]:
        data = _bytes_in(cell, column)
        if data is not None:
            return media_block(kind, data, None, None, None)
        uri = self._uri(cell)
        if uri is None:
            raise ContentError(f"{cell!r} is a relative path, and this source has no folder. Give a whole path or URI.")
        stamp = self._stamp(uri)
        name = uri.rpartition("/")[2]
        if stamp is None:
            raise ContentError(f"The {kind} {name!r} of the column {column!r} does not exist. Check {uri!r}.")
        if self._as_s3_location and uri.startswith("s3://"):
            s3_block(kind, _without_conn_id(uri), None, None)
            return {_FILE: {"uri": _without_conn_id(uri), "fingerprint": stamp, "send": "s3Location"}}
        size, _, _ = stamp.partition("-")
        if size.isdecimal():
            check_size(kind, int(size), name)
        return {_FILE: {"uri": uri, "fingerprint": stamp}}

    def _uris(self, row: Row) -> list[str]:
        try:
            fields = row.fields()
        except ValueError:
            return []
        cells = [cell for _, column in self._columns for cell in _cells(fields.get(column))]
        uris = [self._uri(cell) for cell in cells if isinstance(cell, str) and not _is_encoded(cell)]
        return [uri for uri in uris if uri is not None]

    def _uri(self, cell: str) -> str | None:
        if "://" in cell or cell.startswith(("/", "~")):
            return absolute_uri(cell)
        return None if self._folder_uri is None else f"{self._folder_uri}/{cell}"

    def _stamp(self, uri: str) -> str | None:
        if uri not in self._stamps:
            return _stamp(uri)
        return self._stamps[uri]


class FileEngine:
    """Reads the files of a request before it is asked.

    Args:
        engine: asks it.
    """

    def __init__(self, engine: Asks) -> None:
        self._engine = engine
        self._pool = ThreadPoolExecutor(_READS_AT_ONCE, thread_name_prefix="bedrock-files")

    async def ask(self, request: BedrockConverseRequest) -> BedrockResponse:
        """Ask it. A file that cannot be read ends its own request, without a call."""
        try:
            loaded = await asyncio.get_running_loop().run_in_executor(self._pool, load_files, request)
        except LLMManagerError as error:
            return BedrockResponse(success=False, error=error, request_id=request.request_id)
        return await self._engine.ask(loaded)


def load_files(request: BedrockConverseRequest) -> BedrockConverseRequest:
    """The request with the bytes of its files in it. Blocks.

    Raises:
        ContentError: a file is gone, or not what it was, or not what Converse takes.
    """
    messages = [
        {**message, "content": [_loaded_block(block) for block in message["content"]]} for message in request.messages
    ]
    return replace(request, messages=messages)


def _loaded_block(block: Mapping[str, Any]) -> Mapping[str, Any]:
    kind, inner = next(iter(block.items()))
    if not isinstance(inner, dict) or _FILE not in inner:
        return block
    file = inner[_FILE]
    others = {name: value for name, value in inner.items() if name != _FILE}
    if file.get("send") == "s3Location":
        return {kind: {**others, **s3_block(MediaKind(kind), file["uri"], None, None)}}
    name = file["uri"].rpartition("/")[2]
    place = open_location(file["uri"], f"{kind}_column")
    try:
        data, stamp = place.read(), place.fingerprint()
    except OSError as error:
        raise ContentError(
            f"The {kind} {name!r} cannot be read: {type(error).__name__}. Check {place.uri!r}."
        ) from error
    if stamp != file["fingerprint"]:
        raise ContentError(f"The {kind} {name!r} changed while the job ran. Run the task again to ask it as it is now.")
    return {kind: {**others, **media_block(MediaKind(kind), data, name, None, None)}}


def _cells(cell: Any) -> list[Any]:
    """One file, several, or none."""
    cells = cell if isinstance(cell, list) else [cell]
    return [cell for cell in cells if cell is not None and cell != ""]


def _bytes_in(cell: Any, column: str) -> bytes | None:
    """The content of a cell that holds base64 text; None where it holds a path."""
    if not isinstance(cell, str):
        raise ContentError(
            f"The column {column!r} holds {type(cell).__name__}, which is no file. Give a path, a URI or bytes."
        )
    if not _is_encoded(cell):
        return None
    try:
        return base64.b64decode(cell.partition(",")[2] if cell.startswith("data:") else cell, validate=True)
    except binascii.Error as error:
        raise ContentError(f"The column {column!r} holds neither a path nor base64 text. Correct the row.") from error


def _is_encoded(cell: str) -> bool:
    """Whether a cell is base64 text: `data:...`, longer than any path, or the beginning of a known kind of file."""
    if cell.startswith("data:") or len(cell) > _LONGEST_PATH_CHARACTERS:
        return True
    try:
        data = base64.b64decode(cell, validate=True)
    except (binascii.Error, ValueError):
        return False
    container = container_of(data)
    return container is not None and container.name not in {"text", "an HTML page"}


def _stamp(uri: str) -> str | None:
    """The state of a file; None where there is none."""
    try:
        return open_location(uri, "the file's URI").fingerprint()
    except (FileNotFoundError, NotADirectoryError, ConfigurationError):
        return None
    except OSError as error:
        raise SourceError(
            f"The file {uri!r}, which a row names, cannot be looked up: {type(error).__name__}: {error}. "
            "Check the access, and run the task again."
        ) from error


def _without_conn_id(uri: str) -> str:
    bucket, slash, key = uri.removeprefix("s3://").partition("/")
    return f"s3://{bucket.rpartition('@')[2]}{slash}{key}"
