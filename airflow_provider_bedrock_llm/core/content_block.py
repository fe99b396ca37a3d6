"""One content block of each kind, as Converse takes it.

Patterns and enums are those of botocore's bedrock-runtime model; what it leaves open and Bedrock refuses (blank text)
is refused here as well.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any

from airflow_provider_bedrock_llm.core.errors import ContentError, RequestValidationError
from airflow_provider_bedrock_llm.core.media import check_image_side, check_size, detect_format, named_format
from airflow_provider_bedrock_llm.core.media_table import MediaKind

__all__ = [
    "Block",
    "as_bytes",
    "as_text",
    "cache_point",
    "guard_content",
    "media_block",
    "reasoning_content",
    "s3_block",
    "search_result",
    "tool_result",
    "tool_use",
]

Block = dict[str, Any]

_TTLS = ("5m", "1h")
_STATUSES = ("success", "error")
_QUALIFIERS = ("grounding_source", "query", "guard_content")
_GUARD_IMAGE_FORMATS = ("png", "jpeg")
_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_TOOL_USE_ID = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")
_S3_URI = re.compile(r"s3://[a-z0-9][.a-z0-9-]{1,61}[a-z0-9]/.+")
_ACCOUNT = re.compile(r"[0-9]{12}")


def as_text(text: Any, setting: str) -> str:
    """Give text back as it is.

    Raises:
        RequestValidationError: it is no text, or blank.
    """
    if not isinstance(text, str):
        raise RequestValidationError(f"{setting} is {type(text).__name__}. Give text.")
    if not text.strip():
        raise RequestValidationError(f"{setting} is blank, which Bedrock refuses. Give some text, or no block at all.")
    return text


def as_bytes(data: Any) -> bytes:
    """Give bytes back as they are.

    Raises:
        ContentError: it is something else. botocore would take text for bytes and encode base64 a second time.
    """
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    raise ContentError(f"The content is {type(data).__name__}, not bytes. Decode base64 text first.")


def media_block(
    kind: MediaKind, data: Any, filename: str | None, claimed: str | None, max_size_mb: float | None
) -> Block:
    """The inner part of a block that holds a file.

    Raises:
        ContentError: not of this kind, not what it claims to be, or over a limit.
    """
    content = as_bytes(data)
    check_size(kind, len(content), filename, max_size_mb)
    found = detect_format(kind, content, filename, claimed)
    if kind is MediaKind.IMAGE:
        check_image_side(content, filename)
    return {"format": found, "source": {"bytes": content}}


def s3_block(kind: MediaKind, uri: str, claimed: str | None, bucket_owner: str | None) -> Block:
    """The inner part of a block whose file lies in S3.

    Raises:
        ContentError: it is not the URI of an object, the owner is not an account, or the format is not known.
    """
    location = _s3_location(uri, bucket_owner)
    return {"format": named_format(kind, uri.rpartition("/")[2], claimed), "source": {"s3Location": location}}


def _s3_location(uri: str, bucket_owner: str | None) -> Block:
    if not _S3_URI.fullmatch(uri):
        raise ContentError(f"{uri!r} is not the place of an object in S3. Give s3://bucket/key.")
    if bucket_owner is None:
        return {"uri": uri}
    if not _ACCOUNT.fullmatch(bucket_owner):
        raise ContentError(f"bucket_owner={bucket_owner!r} is not an AWS account. Give its 12 digits.")
    return {"uri": uri, "bucketOwner": bucket_owner}


def tool_use(tool_use_id: str, name: str, arguments: Mapping[str, Any]) -> Block:
    """A call of a tool."""
    if not _TOOL_NAME.fullmatch(name):
        raise RequestValidationError(
            f"The tool name {name!r} is not allowed. Use 1 to 64 letters, digits, hyphens and underscores."
        )
    return {"toolUseId": _tool_use_id(tool_use_id), "name": name, "input": copy.deepcopy(dict(arguments))}


def tool_result(
    tool_use_id: str, content: str | Mapping[str, Any] | Sequence[Mapping[str, Any]], status: str | None
) -> Block:
    """What a tool gave."""
    if isinstance(content, str):
        blocks: list[Block] = [{"text": content}]
    elif isinstance(content, Mapping):
        blocks = [{"json": copy.deepcopy(dict(content))}]
    else:
        blocks = [copy.deepcopy(dict(block)) for block in content]
    result: Block = {"toolUseId": _tool_use_id(tool_use_id), "content": blocks}
    return result if status is None else result | {"status": _one_of(status, _STATUSES, "status")}


def reasoning_content(text: str | None, signature: str | None, redacted_content: bytes | None) -> Block:
    """What the model thought."""
    if (text is None) == (redacted_content is None):
        raise RequestValidationError(
            "Reasoning is either text or redacted content. Give one of `text` and `redacted_content`."
        )
    if redacted_content is not None:
        return {"redactedContent": as_bytes(redacted_content)}
    return {"reasoningText": {"text": text} | ({} if signature is None else {"signature": signature})}


def guard_content(
    text: str | None, qualifiers: Sequence[str] | None, image: bytes | None, claimed: str | None
) -> Block:
    """What a guardrail looks at."""
    if (text is None) == (image is None):
        raise RequestValidationError("Guard content is either text or an image. Give one of `text` and `image`.")
    if image is not None:
        block = media_block(MediaKind.IMAGE, image, None, claimed, None)
        _one_of(block["format"], _GUARD_IMAGE_FORMATS, "format")
        return {"image": block}
    guarded: Block = {"text": as_text(text, "text")}
    if qualifiers is not None:
        guarded["qualifiers"] = [_one_of(qualifier, _QUALIFIERS, "qualifiers") for qualifier in qualifiers]
    return {"text": guarded}


def search_result(source: str, title: str, content: str | Sequence[str]) -> Block:
    """Something that a search found."""
    chunks = [content] if isinstance(content, str) else content
    return {"source": source, "title": title, "content": [{"text": as_text(chunk, "content")} for chunk in chunks]}


def cache_point(ttl: str | None = None) -> Block:
    """A mark up to which the prompt is kept."""
    return {"type": "default"} | ({} if ttl is None else {"ttl": _one_of(ttl, _TTLS, "ttl")})


def _one_of(value: str, allowed: Sequence[str], setting: str) -> str:
    if value in allowed:
        return str(value)
    raise RequestValidationError(f"{setting}={value!r} is not known to the API. Give one of {', '.join(allowed)}.")


def _tool_use_id(tool_use_id: str) -> str:
    if _TOOL_USE_ID.fullmatch(tool_use_id):
        return tool_use_id
    raise RequestValidationError(
        f"tool_use_id={tool_use_id!r} is not allowed. Give the id that the model's toolUse block has."
    )
