"""AWS's event-stream framing: binary messages with headers, a payload and two checksums.

botocore and the other SDKs ship a decoder; this is the other half.
"""

from __future__ import annotations

import functools
import json
import struct
from typing import TYPE_CHECKING, Any
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["encode_event", "encode_exception", "encode_message", "spoil_checksum"]

_STRING = 7
_ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_dump = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@functools.lru_cache(maxsize=256)
def _headers(pairs: tuple[tuple[str, str], ...]) -> bytes:
    parts = []
    for name, value in pairs:
        raw = value.encode()
        parts.append(struct.pack("!B", len(name)) + name.encode() + struct.pack("!BH", _STRING, len(raw)) + raw)
    return b"".join(parts)


def encode_message(headers: tuple[tuple[str, str], ...], payload: bytes) -> bytes:
    """One frame: prelude with its CRC, headers, payload, CRC over all."""
    head = _headers(headers)
    prelude = struct.pack("!II", 16 + len(head) + len(payload), len(head))
    message = prelude + struct.pack("!I", crc32(prelude)) + head + payload
    return message + struct.pack("!I", crc32(message))


def encode_event(kind: str, payload: Mapping[str, Any], *, padding: int | None = None) -> bytes:
    """A modelled event. Bedrock adds a member `p` of random length; `padding` is that length."""
    if padding is not None:
        payload = {**payload, "p": _ALPHABET[: padding % (len(_ALPHABET) + 1)]}
    headers = (
        (":event-type", kind),
        (":content-type", "application/json"),
        (":message-type", "event"),
    )
    return encode_message(headers, _dump(payload).encode())


def encode_exception(kind: str, payload: Mapping[str, Any]) -> bytes:
    """A modelled exception in the middle of a stream; `kind` is in camelCase there."""
    headers = (
        (":exception-type", kind),
        (":content-type", "application/json"),
        (":message-type", "exception"),
    )
    return encode_message(headers, _dump(payload).encode())


def spoil_checksum(message: bytes) -> bytes:
    """The same frame with a wrong final CRC."""
    return message[:-1] + bytes((message[-1] ^ 0xFF,))
