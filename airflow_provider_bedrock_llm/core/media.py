"""Files in messages: which kind and format they are, and whether Converse takes them.

The limits are those of botocore's bedrock-runtime model (`Message.content`, `DocumentBlock.name`) and of the API's
reference (`VideoSource`). Sizes are in MiB: 3.75 of them are the 5 MiB of base64 text that the model's side checks.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_bedrock_llm.core.errors import ContentError
from airflow_provider_bedrock_llm.core.media_table import (
    FORMATS,
    AudioFormatEnum,
    Container,
    MediaKind,
    container_of,
    suffix_format,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "MAX_DOCUMENTS",
    "MAX_DOCUMENT_NAME_CHARACTERS",
    "MAX_IMAGES",
    "MAX_IMAGE_SIDE_PIXELS",
    "MAX_SIZES_MB",
    "Media",
    "check_document_name",
    "check_image_side",
    "check_size",
    "detect_format",
    "detect_media",
    "document_name",
    "image_size",
    "named_format",
]

MAX_IMAGES = 20
MAX_DOCUMENTS = 5
MAX_IMAGE_SIDE_PIXELS = 8_000
MAX_DOCUMENT_NAME_CHARACTERS = 200
MAX_SIZES_MB = {MediaKind.IMAGE: 3.75, MediaKind.DOCUMENT: 4.5, MediaKind.VIDEO: 18.75}
"""In MiB. Videos: 25 MiB as base64. Audio has no documented limit."""

_BYTES_PER_MB = 1_048_576
_RAW_AUDIO = Container("raw audio", {MediaKind.AUDIO: (str(AudioFormatEnum.PCM),)})
_DOCUMENT_NAME = re.compile(r"[A-Za-z0-9()\[\]-]+(?:\s[A-Za-z0-9()\[\]-]+)*")
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9()\[\]\s-]+")


class Media(NamedTuple):
    """What a file is, as Converse names it."""

    kind: MediaKind
    format: str


def detect_media(data: bytes | None = None, name: str | None = None) -> Media:
    """Say which kind and format a file is.

    Args:
        data: its bytes. Without them the name decides alone.
        name: its name, as far as known.

    Raises:
        ContentError: it is nothing that Converse takes, or bytes and name disagree.
    """
    claim = suffix_format(name) if name else None
    kinds = [kind for kind, formats in FORMATS.items() if claim in set(formats)]
    if data is None:
        if not kinds or claim is None:
            raise ContentError(
                f"The name {name!r} does not say what the file is. Give its bytes, or a name that ends in its format."
            )
        return Media(kinds[0], claim)
    container = container_of(data)
    fitting = [kind for kind in (container.formats if container else ()) if kind in kinds]
    kind = next(iter(fitting or (container.formats if container else ()) or kinds), MediaKind.DOCUMENT)
    return Media(kind, detect_format(kind, data, name))


def detect_format(kind: MediaKind, data: bytes, name: str | None = None, claimed: str | None = None) -> str:
    """Say in which format a file of a kind is: by its bytes, and by its name where they leave a choice.

    Args:
        kind: what it is to be sent as.
        data: all of its bytes.
        name: its name; a suffix that does not fit the bytes is an error.
        claimed: the format that the caller named; stands above the name, never above the bytes.

    Raises:
        ContentError: it is empty, of another kind, of a format that Converse does not take, or not what it claims.
    """
    what = f"The {kind} {name!r}" if name else f"The {kind}"
    if claimed is not None:
        claimed = _known_format(kind, claimed)
    if not data:
        raise ContentError(f"{what} is empty. Give a file with something in it.")
    container = container_of(data)
    claim = claimed or (suffix_format(name) if name else None)
    if container is None and claim == AudioFormatEnum.PCM:
        container = _RAW_AUDIO
    formats = container.formats.get(kind, ()) if container else ()
    if not formats:
        is_what = container.name if container else "nothing that Converse takes"
        raise ContentError(f"{what} is {is_what}. Converse takes as {kind}: {_listed(FORMATS[kind])}.")
    if claim is None:
        return formats[0]
    if claim in formats:
        return claim
    said = f"format={claimed!r}" if claimed else "its name"
    raise ContentError(
        f"{what} is {container.name if container else ''}, but {said} says {claim}. "
        f"Give format={formats[0]!r}, or the right file."
    )


def named_format(kind: MediaKind, name: str, claimed: str | None = None) -> str:
    """Say in which format a file is that cannot be looked into.

    Args:
        kind: what it is to be sent as.
        name: its name.
        claimed: the format that the caller named, which stands above the name.

    Raises:
        ContentError: the name says nothing, or something that is not of the kind.
    """
    found = suffix_format(name) if claimed is None else _known_format(kind, claimed)
    if found in set(FORMATS[kind]):
        return str(found)
    raise ContentError(
        f"The name {name!r} does not say which {kind} it is. Give format=, one of {_listed(FORMATS[kind])}."
    )


def _known_format(kind: MediaKind, claimed: str) -> str:
    text = str(claimed).lower()
    if text in set(FORMATS[kind]):
        return text
    meant = suffix_format(f".{text}")
    if meant in set(FORMATS[kind]):
        return str(meant)
    raise ContentError(f"Converse has no {kind} format {text!r}. It takes {_listed(FORMATS[kind])}.")


def _listed(formats: Iterable[str]) -> str:
    return ", ".join(str(member) for member in formats)


def check_size(kind: MediaKind, size_bytes: int, name: str | None = None, max_size_mb: float | None = None) -> None:
    """Hold a file's size against a limit.

    Args:
        kind: what it is sent as.
        size_bytes: how long it is.
        name: for the error.
        max_size_mb: the limit in MiB; None takes the API's.

    Raises:
        ContentError: it is larger.
    """
    limit_mb = MAX_SIZES_MB.get(kind) if max_size_mb is None else max_size_mb
    if limit_mb is None or size_bytes <= limit_mb * _BYTES_PER_MB:
        return
    what = f"The {kind} {name!r}" if name else f"The {kind}"
    whose = "Converse's limit" if max_size_mb is None else "max_size_mb"
    remedy = "Make it smaller, or put it into S3 and name it there" if kind is MediaKind.VIDEO else "Make it smaller"
    raise ContentError(f"{what} has {size_bytes / _BYTES_PER_MB:.2f} MB and {whose} is {limit_mb:g} MB. {remedy}.")


def check_image_side(data: bytes, name: str | None = None) -> None:
    """Hold width and height of an image against the API's limit, where its header tells them.

    Raises:
        ContentError: a side is longer.
    """
    size = image_size(data)
    if size is not None and max(size) > MAX_IMAGE_SIDE_PIXELS:
        what = f"The image {name!r}" if name else "The image"
        raise ContentError(
            f"{what} has {size[0]} x {size[1]} pixels and Converse's limit is {MAX_IMAGE_SIDE_PIXELS} on each side. "
            "Scale it down."
        )


def check_document_name(name: str) -> str:
    """Hold a document's name against the API's rule and give it back.

    Raises:
        ContentError: it has other characters, two whitespace characters in a row, or the wrong length.
    """
    if 0 < len(name) <= MAX_DOCUMENT_NAME_CHARACTERS and _DOCUMENT_NAME.fullmatch(name):
        return name
    raise ContentError(
        f"The document name {name!r} is not allowed: 1 to {MAX_DOCUMENT_NAME_CHARACTERS} letters, digits, hyphens, "
        "parentheses, square brackets and single whitespace characters between them. "
        f"{document_name(name)!r} would do."
    )


def document_name(name: str, taken: Iterable[str] = ()) -> str:
    """Make a name that the API allows out of a file name.

    Args:
        name: a file name without folders; its suffix is left out, since a document carries its format.
        taken: names that other documents of the message have; they must differ.
    """
    stem = name.rpartition(".")[0] if suffix_format(name) else name
    plain = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode()
    words = _NOT_IN_A_NAME.sub("-", plain).split()
    allowed = " ".join(word for word in (word.strip("-") for word in words) if word)
    allowed = allowed[:MAX_DOCUMENT_NAME_CHARACTERS].strip() or "document"
    known = set(taken)
    if allowed not in known:
        return allowed
    numbered = (f" ({number})" for number in range(2, len(known) + 3))
    room = MAX_DOCUMENT_NAME_CHARACTERS
    return next(
        candidate for suffix in numbered if (candidate := allowed[: room - len(suffix)].rstrip() + suffix) not in known
    )


def image_size(data: bytes) -> tuple[int, int] | None:
    """Width and height in pixels, read from the header of a PNG, GIF, WebP or JPEG; None where it does not tell."""
    if data.startswith(b"\x89PNG\r\n\x1a\n") and len(data) >= 24:  # noqa: PLR2004 - end of the header's sizes
        return _big(data, 16, 4), _big(data, 20, 4)
    if data.startswith((b"GIF87a", b"GIF89a")) and len(data) >= 10:  # noqa: PLR2004 - end of the header's sizes
        return _little(data, 6, 2), _little(data, 8, 2)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return _webp_size(data)
    if data.startswith(b"\xff\xd8\xff"):
        return _jpeg_size(data)
    return None


def _webp_size(data: bytes) -> tuple[int, int] | None:
    chunk = data[12:16]
    if len(data) < 30:  # noqa: PLR2004 - end of the longest of the three headers
        return None
    if chunk == b"VP8X":
        return _little(data, 24, 3) + 1, _little(data, 27, 3) + 1
    if chunk == b"VP8L":
        bits = _little(data, 21, 4)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if chunk == b"VP8 ":
        return _little(data, 26, 2) & 0x3FFF, _little(data, 28, 2) & 0x3FFF
    return None


_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD8)})


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Walk from marker to marker until the frame header."""
    place = 2
    while place + 9 <= len(data) and data[place] == 0xFF:  # noqa: PLR2004 - what every marker begins with
        marker = data[place + 1]
        if marker in _JPEG_FRAMES:
            return _big(data, place + 7, 2), _big(data, place + 5, 2)
        if marker == 0xFF:  # noqa: PLR2004 - a fill byte
            place += 1
        elif marker in _JPEG_WITHOUT_LENGTH:
            place += 2
        else:
            place += 2 + max(2, _big(data, place + 2, 2))
    return None


def _big(data: bytes, start: int, length: int) -> int:
    return int.from_bytes(data[start : start + length], "big")


def _little(data: bytes, start: int, length: int) -> int:
    return int.from_bytes(data[start : start + length], "little")
