"""The media types that Converse takes, and how each is told from its first bytes.

The set is closed by the API's enums (botocore's bedrock-runtime model), which is why this is a table and not a library.
"""

from __future__ import annotations

import re
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "FORMATS",
    "AudioFormatEnum",
    "Container",
    "DocumentFormatEnum",
    "ImageFormatEnum",
    "MediaKind",
    "VideoFormatEnum",
    "container_of",
    "suffix_format",
]


class MediaKind(StrEnum):
    """The kinds of content block that carry a file."""

    IMAGE = "image"
    DOCUMENT = "document"
    VIDEO = "video"
    AUDIO = "audio"


class ImageFormatEnum(StrEnum):
    """Image formats of Converse."""

    JPEG = "jpeg"
    PNG = "png"
    GIF = "gif"
    WEBP = "webp"


class DocumentFormatEnum(StrEnum):
    """Document formats of Converse."""

    PDF = "pdf"
    CSV = "csv"
    DOC = "doc"
    DOCX = "docx"
    XLS = "xls"
    XLSX = "xlsx"
    HTML = "html"
    TXT = "txt"
    MD = "md"


class VideoFormatEnum(StrEnum):
    """Video formats of Converse. AVI, which seed 003 names, is none of them."""

    MP4 = "mp4"
    MOV = "mov"
    WEBM = "webm"
    MKV = "mkv"
    FLV = "flv"
    MPEG = "mpeg"
    MPG = "mpg"
    WMV = "wmv"
    THREE_GP = "three_gp"


class AudioFormatEnum(StrEnum):
    """Audio formats of Converse."""

    MP3 = "mp3"
    OPUS = "opus"
    WAV = "wav"
    AAC = "aac"
    FLAC = "flac"
    MP4 = "mp4"
    OGG = "ogg"
    MKV = "mkv"
    MKA = "mka"
    X_AAC = "x-aac"
    M4A = "m4a"
    MPEG = "mpeg"
    MPGA = "mpga"
    PCM = "pcm"
    WEBM = "webm"


FORMATS: Mapping[MediaKind, type[StrEnum]] = MappingProxyType(
    {
        MediaKind.IMAGE: ImageFormatEnum,
        MediaKind.DOCUMENT: DocumentFormatEnum,
        MediaKind.VIDEO: VideoFormatEnum,
        MediaKind.AUDIO: AudioFormatEnum,
    }
)
_KNOWN_FORMATS = frozenset(str(member) for formats in FORMATS.values() for member in formats)
_OTHER_SUFFIXES = {
    "jpg": "jpeg",
    "jpe": "jpeg",
    "jfif": "jpeg",
    "htm": "html",
    "xhtml": "html",
    "markdown": "md",
    "text": "txt",
    "log": "txt",
    "qt": "mov",
    "3gp": "three_gp",
    "3gpp": "three_gp",
    "m4v": "mp4",
    "oga": "ogg",
    "wave": "wav",
}


class Container(NamedTuple):
    """What a file's own bytes say that it is.

    Attributes:
        name: for people, such as "a PNG image".
        formats: by kind, the formats that such a file can be sent as; the first is the usual one. Empty for what is
            recognised and not taken by Converse.
    """

    name: str
    formats: Mapping[MediaKind, tuple[str, ...]]


def _container(name: str, **formats: str) -> Container:
    return Container(
        name, MappingProxyType({MediaKind(kind): tuple(listed.split()) for kind, listed in formats.items()})
    )


_TEXT = _container("text", document="txt md csv html")
_HTML = _container("an HTML page", document="html md txt")
_DOCX = _container("a DOCX document", document="docx")
_XLSX = _container("an XLSX workbook", document="xlsx")
_DOC = _container("a DOC document", document="doc")
_XLS = _container("an XLS workbook", document="xls")
_OLE = _container("an OLE file that holds neither a DOC document nor an XLS workbook")
_ZIP = _container("a ZIP archive that holds neither a DOCX document nor an XLSX workbook")
_WEBP = _container("a WebP image", image="webp")
_WAV = _container("a WAV recording", audio="wav")
_AVI = _container("an AVI video")
_WEBM = _container("a WebM file", video="webm mkv", audio="webm mka mkv")
_MATROSKA = _container("a Matroska file", video="mkv", audio="mka mkv")
_OPUS = _container("an Opus recording", audio="opus ogg")
_OGG = _container("an Ogg recording", audio="ogg")
_MP4 = _container("an MP4 file", video="mp4 mov", audio="mp4 m4a")
_QUICKTIME = _container("a QuickTime video", video="mov")
_MPEG = _container("an MPEG video", video="mpeg mpg")
_MP3 = _container("an MP3 recording", audio="mp3 mpga mpeg")
_AAC = _container("an AAC recording", audio="aac x-aac")
_TAGGED = _container("a recording with ID3 tags", audio="mp3 mpga mpeg aac x-aac flac")
_M4A = _container("an M4A recording", audio="m4a mp4")
_PDF = _container("a PDF document", document="pdf")
_GIF = _container("a GIF image", image="gif")
_TIFF = _container("a TIFF image")
_HEIF = _container("a HEIF image")

# What a file begins with.
_SIGNATURES: tuple[tuple[bytes, Container], ...] = (
    (b"\x89PNG\r\n\x1a\n", _container("a PNG image", image="png")),
    (b"\xff\xd8\xff", _container("a JPEG image", image="jpeg")),
    (b"GIF87a", _GIF),
    (b"GIF89a", _GIF),
    (b"FLV\x01", _container("an FLV video", video="flv")),
    (b"\x00\x00\x01\xba", _MPEG),
    (b"\x00\x00\x01\xb3", _MPEG),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", _container("a WMV video", video="wmv")),
    (b"fLaC", _container("a FLAC recording", audio="flac")),
    *((b"ID3" + bytes((version,)), _TAGGED) for version in (2, 3, 4)),
    *((bytes((0xFF, low)), _MP3) for low in b"\xfa\xfb\xf2\xf3\xe2\xe3"),
    *((bytes((0xFF, low)), _AAC) for low in b"\xf0\xf1\xf8\xf9"),
    (b"II*\x00", _TIFF),
    (b"MM\x00*", _TIFF),
    (b"\x7fELF", _container("a program")),
    (b"\x1f\x8b\x08", _container("gzip-compressed data")),
)
# The brand that follows `ftyp` in the ISO base media format; every other brand is taken for MP4.
_BRANDS = (
    (b"qt  ", _QUICKTIME),
    (b"3g", _container("a 3GP video", video="three_gp mp4")),
    (b"M4A ", _M4A),
    (b"M4B ", _M4A),
    (b"heic", _HEIF),
    (b"heix", _HEIF),
    (b"mif1", _HEIF),
    (b"avif", _container("an AVIF image")),
)
_PDF_HEADER_BYTES = 1_024
_EBML_HEADER_BYTES = 64
_OGG_HEADER_BYTES = 64
_TEXT_SAMPLE_BYTES = 65_536
_CONTROL_CHARACTERS = bytes(code for code in range(32) if code not in b"\t\n\f\r\x1b")
_BYTE_ORDER_MARKS = (b"\xff\xfe", b"\xfe\xff")
_UTF_8_MARK = b"\xef\xbb\xbf"
_ATOMS = frozenset({b"moov", b"mdat", b"wide"})
_OLE_STREAMS = (("WordDocument", _DOC), ("Workbook", _XLS), ("Book", _XLS))
# The name of an archive's member, in its local header or in the directory at the end.
_OFFICE_PART = re.compile(rb"PK(?:\x03\x04.{26}|\x01\x02.{42})(word|xl)/", re.DOTALL)


def container_of(data: bytes) -> Container | None:
    """Recognise a file by its bytes, or None: raw audio has nothing to be recognised by, and neither has noise."""
    for signature, container in _SIGNATURES:
        if data.startswith(signature):
            return container
    return _riff(data) or _iso_media(data) or _stream(data) or _office(data) or _pdf_or_text(data)


def suffix_format(name: str) -> str | None:
    """The format that a file name's suffix stands for, None where it says nothing."""
    _, dot, suffix = name.rpartition(".")
    suffix = suffix.lower()
    suffix = _OTHER_SUFFIXES.get(suffix, suffix)
    return suffix if dot and suffix in _KNOWN_FORMATS else None


def _riff(data: bytes) -> Container | None:
    return {b"WEBP": _WEBP, b"WAVE": _WAV, b"AVI ": _AVI}.get(data[8:12]) if data.startswith(b"RIFF") else None


def _iso_media(data: bytes) -> Container | None:
    """A box: its length in four bytes, which no sane first box fills, then its name."""
    if not data.startswith(b"\x00"):
        return None
    if data[4:8] in _ATOMS:
        return _QUICKTIME
    if data[4:8] != b"ftyp":
        return None
    return next((container for brand, container in _BRANDS if data.startswith(brand, 8)), _MP4)


def _stream(data: bytes) -> Container | None:
    if data.startswith(b"\x1a\x45\xdf\xa3"):
        return _WEBM if b"webm" in data[:_EBML_HEADER_BYTES] else _MATROSKA
    if data.startswith(b"OggS"):
        return _OPUS if b"OpusHead" in data[:_OGG_HEADER_BYTES] else _OGG
    return None


def _office(data: bytes) -> Container | None:
    if data.startswith(b"PK\x03\x04"):
        part = _OFFICE_PART.search(data)
        return _ZIP if part is None else _DOCX if part[1] == b"word" else _XLSX
    if data.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
        return next((found for name, found in _OLE_STREAMS if name.encode("utf-16-le") in data), _OLE)
    return None


def _pdf_or_text(data: bytes) -> Container | None:
    sample = data[:_TEXT_SAMPLE_BYTES].removeprefix(_UTF_8_MARK).lstrip()
    is_text = data.startswith(_BYTE_ORDER_MARKS) or sample.translate(None, _CONTROL_CHARACTERS) == sample
    # Readers allow for something before a PDF's header; a text about PDF is still a text.
    if sample.startswith(b"%PDF-") or (not is_text and b"%PDF-" in data[:_PDF_HEADER_BYTES]):
        return _PDF
    if not is_text:
        return None
    return _HTML if sample[:16].lower().startswith((b"<!doctype html", b"<html")) else _TEXT
