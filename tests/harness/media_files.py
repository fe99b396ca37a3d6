"""Smallest files of each format, made here: enough to be recognised, not enough to be played."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib


def make_png(width: int = 2, height: int = 2) -> bytes:
    """A grey PNG."""
    rows = b"".join(b"\x00" + b"\x7f" * width for _ in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(rows)) + _chunk(b"IEND", b"")


def png_header(width: int, height: int) -> bytes:
    """The start of a PNG of this size, without pixels."""
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def make_jpeg(width: int = 3, height: int = 5, marker: int = 0xE0) -> bytes:
    """A JPEG's markers up to the frame; `marker` is the first application segment (E0 JFIF, E1 Exif, E2 ICC ...)."""
    frame = struct.pack(">BHHB", 8, height, width, 1) + b"\x01\x11\x00"
    return (
        b"\xff\xd8"
        + bytes((0xFF, marker))
        + struct.pack(">H", 16)
        + b"\x00" * 14
        + b"\xff\xff\xc2"
        + struct.pack(">H", 2 + len(frame))
        + frame
        + b"\xff\xd9"
    )


def make_gif(width: int = 4, height: int = 6) -> bytes:
    """A GIF's header."""
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\x00\x00\x00;"


def make_webp(chunk: bytes = b"VP8X", width: int = 7, height: int = 9) -> bytes:
    """A WebP's header in one of its three forms."""
    if chunk == b"VP8X":
        body = b"\x00" * 4 + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    elif chunk == b"VP8L":
        body = b"\x2f" + ((width - 1) | (height - 1) << 14).to_bytes(4, "little") + b"\x00" * 8
    else:
        body = b"\x00\x00\x00\x9d\x01\x2a" + struct.pack("<HH", width, height)
    return b"RIFF" + struct.pack("<I", 12 + len(body)) + b"WEBP" + chunk + struct.pack("<I", len(body)) + body


def make_zip(*names: str) -> bytes:
    """An archive with these members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("[Content_Types].xml", *names):
            archive.writestr(name, "<xml/>" * 20)
    return buffer.getvalue()


def make_ole(stream: str) -> bytes:
    """An OLE file that names one stream."""
    return b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\x00" * 504 + stream.encode("utf-16-le") + b"\x00" * 64


def make_iso(brand: str) -> bytes:
    """The first box of the ISO base media format."""
    return b"\x00\x00\x00\x18ftyp" + brand.encode() + b"\x00\x00\x02\x00" + b"isomiso2"


def make_ebml(kind: str) -> bytes:
    """The header of Matroska and WebM."""
    return b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82\x84" + kind.encode() + b"\x42\x87\x81\x04"


PDF = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n1 0 obj <</Type/Catalog>> endobj\ntrailer <</Root 1 0 R>>\n%%EOF\n"
DOCX = make_zip("_rels/.rels", "word/document.xml", "docProps/app.xml")
XLSX = make_zip("_rels/.rels", "xl/workbook.xml", "docProps/app.xml")
WAV = b"RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00"
OPUS = b"OggS\x00\x02" + b"\x00" * 20 + b"\x01\x13OpusHead\x01"
VORBIS = b"OggS\x00\x02" + b"\x00" * 20 + b"\x01\x1e\x01vorbis"

# (kind, format, file name, content): every format of the API's enums with a file that it is recognised from.
EXAMPLES: tuple[tuple[str, str, str, bytes], ...] = (
    ("image", "png", "a.png", make_png()),
    ("image", "jpeg", "a.jpg", make_jpeg()),
    ("image", "jpeg", "a.JPEG", make_jpeg(marker=0xE2)),
    ("image", "jpeg", "a.jfif", make_jpeg(marker=0xEE)),
    ("image", "gif", "a.gif", make_gif()),
    ("image", "webp", "a.webp", make_webp()),
    ("document", "pdf", "a.pdf", PDF),
    ("document", "csv", "a.csv", b"a,b\n1,2\n"),
    ("document", "doc", "a.doc", make_ole("WordDocument")),
    ("document", "docx", "a.docx", DOCX),
    ("document", "xls", "a.xls", make_ole("Workbook")),
    ("document", "xlsx", "a.xlsx", XLSX),
    ("document", "html", "a.htm", b"<!DOCTYPE html><p>a</p>"),
    ("document", "txt", "a.txt", "Größe".encode("latin-1")),
    ("document", "md", "a.md", b"# Title\n"),
    ("video", "mkv", "a.mkv", make_ebml("matroska")),
    ("video", "mov", "a.mov", make_iso("qt  ")),
    ("video", "mov", "a.qt", b"\x00\x00\x00\x08wide\x00\x00\x01\x00mdat"),
    ("video", "mp4", "a.mp4", make_iso("isom")),
    ("video", "mp4", "a.m4v", make_iso("mp42")),
    ("video", "webm", "a.webm", make_ebml("webm")),
    ("video", "flv", "a.flv", b"FLV\x01\x05\x00\x00\x00\x09"),
    ("video", "mpeg", "a.mpeg", b"\x00\x00\x01\xba\x44"),
    ("video", "mpg", "a.mpg", b"\x00\x00\x01\xb3\x16"),
    ("video", "wmv", "a.wmv", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9"),
    ("video", "three_gp", "a.3gp", make_iso("3gp5")),
    ("audio", "mp3", "a.mp3", b"ID3\x04\x00\x00\x00\x00\x00\x00"),
    ("audio", "mp3", "b.mp3", b"\xff\xfb\x90\x64"),
    ("audio", "opus", "a.opus", OPUS),
    ("audio", "wav", "a.wav", WAV),
    ("audio", "aac", "a.aac", b"\xff\xf1\x50\x80"),
    ("audio", "flac", "a.flac", b"fLaC\x00\x00\x00\x22"),
    ("audio", "mp4", "a.mp4", make_iso("isom")),
    ("audio", "ogg", "a.ogg", VORBIS),
    ("audio", "mkv", "a.mkv", make_ebml("matroska")),
    ("audio", "mka", "a.mka", make_ebml("matroska")),
    ("audio", "x-aac", "a.x-aac", b"\xff\xf9\x50\x80"),
    ("audio", "m4a", "a.m4a", make_iso("M4A ")),
    ("audio", "mpeg", "a.mpeg", b"\xff\xf3\x40\xc4"),
    ("audio", "mpga", "a.mpga", b"\xff\xfb\x90\x64"),
    ("audio", "pcm", "a.pcm", b"\x00\x01\xfe\xff"),
    ("audio", "webm", "a.webm", make_ebml("webm")),
)
