"""Build Converse messages: `create_user_message().add_text("What is this?").add_local_image("photo.png").build()`.

What the API refuses is refused here, at the line that adds it and with the limit in the text. Names and parameters of
the methods are those of seeds 002 and 003.
"""
# ruff: noqa: A002 - `format` and `input` are names of the seeds and of the API

from __future__ import annotations

import copy
from collections import Counter
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_bedrock_llm.core import content_block
from airflow_provider_bedrock_llm.core.cache_config import MAX_CACHE_POINTS
from airflow_provider_bedrock_llm.core.content_block import Block, as_text, media_block
from airflow_provider_bedrock_llm.core.errors import ContentError, RequestValidationError
from airflow_provider_bedrock_llm.core.media import MAX_DOCUMENTS, MAX_IMAGES, check_document_name, document_name
from airflow_provider_bedrock_llm.core.media_file import FileSource, Reader, read_file
from airflow_provider_bedrock_llm.core.media_table import MediaKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "MessageBuilder",
    "RolesEnum",
    "create_assistant_message",
    "create_message",
    "create_user_message",
]


class RolesEnum(StrEnum):
    """Who speaks."""

    USER = "user"
    ASSISTANT = "assistant"
    SYSTEM = "system"


class MessageBuilder:
    """A message in the making. Every `add_...` returns the builder.

    Args:
        role: who speaks.
        reader: gives the bytes behind a URI such as "s3://bucket/photo.png"; without one, `add_local_...` takes paths,
            file:// URIs and path objects (ObjectStoragePath, pathlib.Path) only.
    """

    def __init__(self, role: str, reader: Reader | None = None) -> None:
        if role not in set(RolesEnum):
            raise RequestValidationError(f"role={role!r} is not a role. Give one of {', '.join(RolesEnum)}.")
        self._role = RolesEnum(role)
        self._reader = reader
        self._blocks: list[Block] = []

    @property
    def role(self) -> str:
        """Who speaks."""
        return self._role.value

    @property
    def content_block_count(self) -> int:
        """How many blocks there are so far."""
        return len(self._blocks)

    def add_text(self, text: str) -> Self:
        """Add text, as it is."""
        return self._add("text", as_text(text, "text"))

    def add_local_image(self, path: FileSource, format: str | None = None, max_size_mb: float | None = None) -> Self:
        """Add an image from a file.

        Args:
            path: a path, a file:// URI, a path object, or a URI that the builder's reader reads.
            format: only where it is not to be recognised; the bytes must fit it all the same.
            max_size_mb: in MiB, instead of Converse's 3.75.

        Raises:
            ContentError: not an image, not what it claims to be, or over a limit.
            FileNotFoundError: there is no such file.
        """
        data, filename = read_file(MediaKind.IMAGE, path, self._reader, max_size_mb)
        return self.add_image_bytes(data, format, filename, max_size_mb)

    def add_image_bytes(
        self, data: bytes, format: str | None = None, filename: str | None = None, max_size_mb: float | None = None
    ) -> Self:
        """Add an image; see `add_local_image`."""
        return self._add_image(media_block(MediaKind.IMAGE, data, filename, format, max_size_mb))

    def add_image_s3(self, uri: str, format: str | None = None, bucket_owner: str | None = None) -> Self:
        """Add an image that the model's side reads from S3, which not every model does.

        Args:
            uri: s3://bucket/key.
            format: needed where the key's suffix does not say it.
            bucket_owner: the account of the bucket, where it is another.
        """
        return self._add_image(content_block.s3_block(MediaKind.IMAGE, uri, format, bucket_owner))

    def add_local_document(
        self,
        path: FileSource,
        format: str | None = None,
        name: str | None = None,
        max_size_mb: float | None = None,
        *,
        citations_enabled: bool | None = None,
        context: str | None = None,
    ) -> Self:
        """Add a document from a file; there must be text beside it in the message.

        Args:
            path: see `add_local_image`.
            format: see `add_local_image`.
            name: what the model calls it; made from the file's name where not given.
            max_size_mb: in MiB, instead of Converse's 4.5.
            citations_enabled: let the answer cite it.
            context: what the model should know of it when it cites.
        """
        data, filename = read_file(MediaKind.DOCUMENT, path, self._reader, max_size_mb)
        return self.add_document_bytes(
            data, format, filename, name, max_size_mb, citations_enabled=citations_enabled, context=context
        )

    def add_document_bytes(
        self,
        data: bytes,
        format: str | None = None,
        filename: str | None = None,
        name: str | None = None,
        max_size_mb: float | None = None,
        *,
        citations_enabled: bool | None = None,
        context: str | None = None,
    ) -> Self:
        """Add a document; see `add_local_document`."""
        block = media_block(MediaKind.DOCUMENT, data, filename, format, max_size_mb)
        return self._add_document(block, name, filename, citations_enabled, context)

    def add_document_s3(
        self,
        uri: str,
        format: str | None = None,
        name: str | None = None,
        bucket_owner: str | None = None,
        *,
        citations_enabled: bool | None = None,
        context: str | None = None,
    ) -> Self:
        """Add a document that the model's side reads from S3; see `add_image_s3` and `add_local_document`."""
        block = content_block.s3_block(MediaKind.DOCUMENT, uri, format, bucket_owner)
        return self._add_document(block, name, uri.rpartition("/")[2], citations_enabled, context)

    def add_document_text(
        self,
        text: str | Sequence[str],
        name: str | None = None,
        *,
        citations_enabled: bool | None = None,
        context: str | None = None,
    ) -> Self:
        """Add a document that is text already.

        Args:
            text: the text, or its chunks, which citations then name one by one.
            name: what the model calls it.
            citations_enabled: let the answer cite it.
            context: what the model should know of it when it cites.
        """
        chunks = [text] if isinstance(text, str) else text
        blocks = [{"text": as_text(chunk, "text")} for chunk in chunks]
        source = blocks[0] if isinstance(text, str) else {"content": blocks}
        return self._add_document({"source": source}, name, None, citations_enabled, context)

    def add_local_video(self, path: FileSource, format: str | None = None, max_size_mb: float | None = None) -> Self:
        """Add a video from a file of at most 18.75 MiB (25 as base64); see `add_local_image`."""
        data, filename = read_file(MediaKind.VIDEO, path, self._reader, max_size_mb)
        return self.add_video_bytes(data, format, filename, max_size_mb)

    def add_video_bytes(
        self, data: bytes, format: str | None = None, filename: str | None = None, max_size_mb: float | None = None
    ) -> Self:
        """Add a video; see `add_local_video`."""
        return self._add("video", media_block(MediaKind.VIDEO, data, filename, format, max_size_mb))

    def add_video_s3(self, uri: str, format: str | None = None, bucket_owner: str | None = None) -> Self:
        """Add a video of up to 1 GB that the model's side reads from S3; see `add_image_s3`."""
        return self._add("video", content_block.s3_block(MediaKind.VIDEO, uri, format, bucket_owner))

    def add_local_audio(self, path: FileSource, format: str | None = None, max_size_mb: float | None = None) -> Self:
        """Add a recording from a file; see `add_local_image`. The API documents no limit for its size."""
        data, filename = read_file(MediaKind.AUDIO, path, self._reader, max_size_mb)
        return self.add_audio_bytes(data, format, filename, max_size_mb)

    def add_audio_bytes(
        self, data: bytes, format: str | None = None, filename: str | None = None, max_size_mb: float | None = None
    ) -> Self:
        """Add a recording; see `add_local_audio`. PCM has nothing to be recognised by: name it."""
        return self._add("audio", media_block(MediaKind.AUDIO, data, filename, format, max_size_mb))

    def add_audio_s3(self, uri: str, format: str | None = None, bucket_owner: str | None = None) -> Self:
        """Add a recording that the model's side reads from S3; see `add_image_s3`."""
        return self._add("audio", content_block.s3_block(MediaKind.AUDIO, uri, format, bucket_owner))

    def add_tool_use(self, tool_use_id: str, name: str, input: Mapping[str, Any]) -> Self:
        """Add a call that the model made of a tool, when its answer is sent back.

        Args:
            tool_use_id: the API's id of the call.
            name: the tool.
            input: the arguments.
        """
        return self._add("toolUse", content_block.tool_use(tool_use_id, name, input))

    def add_tool_result(
        self,
        tool_use_id: str,
        content: str | Mapping[str, Any] | Sequence[Mapping[str, Any]],
        status: str | None = None,
    ) -> Self:
        """Add what a tool gave.

        Args:
            tool_use_id: the id of the call that is answered.
            content: text, a JSON object, or content blocks (`json`, `text`, `image`, `document`, `video`,
                `searchResult`).
            status: `success` or `error`.
        """
        return self._add("toolResult", content_block.tool_result(tool_use_id, content, status))

    def add_reasoning_content(
        self, text: str | None = None, signature: str | None = None, redacted_content: bytes | None = None
    ) -> Self:
        """Add what the model thought, when its answer is sent back: text and signature, or what was redacted.

        Args:
            text: the thoughts.
            signature: what the model signed them with.
            redacted_content: encrypted thoughts.
        """
        return self._add("reasoningContent", content_block.reasoning_content(text, signature, redacted_content))

    def add_guard_content(
        self,
        text: str | None = None,
        qualifiers: Sequence[str] | None = None,
        *,
        image: bytes | None = None,
        format: str | None = None,
    ) -> Self:
        """Add text or an image for the guardrail to look at; where there is such a block, it looks at nothing else.

        Args:
            text: the text.
            qualifiers: `grounding_source`, `query`, `guard_content`.
            image: a PNG or JPEG, instead of text.
            format: of the image, where it is not to be recognised.
        """
        return self._add("guardContent", content_block.guard_content(text, qualifiers, image, format))

    def add_search_result(
        self, source: str, title: str, content: str | Sequence[str], *, citations_enabled: bool | None = None
    ) -> Self:
        """Add something that a search found, which the answer can cite.

        Args:
            source: its URL, or another name for where it comes from.
            title: its title.
            content: its text, or the chunks of it.
            citations_enabled: let the answer cite it.
        """
        block = content_block.search_result(source, title, content)
        return self._add("searchResult", _with_citations(block, citations_enabled))

    def add_cache_point(self, ttl: str | None = None) -> Self:
        """Let Bedrock keep everything up to here, so that the next request that begins alike pays less for it.

        Args:
            ttl: how long: `5m` (what models do by themselves) or `1h`.

        Raises:
            ContentError: nothing stands before it, or thoughts do (Bedrock refuses both, as
                strands-agents/harness-sdk#3677 and anomalyco/opencode#36517 report), or it is the fifth.
        """
        if not self._blocks:
            raise ContentError("A cache point cannot come first in a message. Add what is to be cached before it.")
        if "reasoningContent" in self._blocks[-1]:
            raise ContentError(
                "A cache point cannot follow reasoning content, Bedrock refuses it. Add it before that, or after the "
                "text that follows."
            )
        self._make_room("cachePoint", MAX_CACHE_POINTS, "cache points in a request")
        return self._add("cachePoint", content_block.cache_point(ttl))

    def add_block(self, block: Mapping[str, Any]) -> Self:
        """Add a content block of the API as it is: for kinds that are newer than this package."""
        if len(block) != 1:
            raise RequestValidationError(
                f"A content block has one member, its kind, and this has {len(block)}. Give each kind its own block."
            )
        self._blocks.append(copy.deepcopy(dict(block)))
        return self

    def build(self) -> dict[str, Any]:
        """The message as Converse takes it. The builder stays as it is and can be built again.

        Raises:
            RequestValidationError: there is nothing in it.
            ContentError: it has a document and no text beside it.
        """
        kinds = Counter(next(iter(block)) for block in self._blocks)
        if not kinds:
            raise RequestValidationError("The message is empty. Add at least one content block, such as text.")
        if kinds["document"] and not kinds["text"]:
            raise ContentError("A document needs text beside it in the same message. Add text, such as a question.")
        return {"role": self.role, "content": copy.deepcopy(self._blocks)}

    def _add(self, kind: str, value: Any) -> Self:
        self._blocks.append({kind: value})
        return self

    def _make_room(self, kind: str, limit: int, what: str) -> None:
        if sum(kind in block for block in self._blocks) >= limit:
            raise ContentError(f"Converse takes at most {limit} {what}, and this is one more. Leave one out.")

    def _only_user(self, kind: str) -> None:
        if self._role is not RolesEnum.USER:
            raise ContentError(
                f"Converse takes {kind}s from the user only, and this message is of role {self.role!r}. "
                "Add it to a user message."
            )

    def _add_image(self, block: Block) -> Self:
        self._only_user("image")
        self._make_room("image", MAX_IMAGES, "images in a message")
        return self._add("image", block)

    def _add_document(
        self, block: Block, name: str | None, filename: str | None, citations_enabled: bool | None, context: str | None
    ) -> Self:
        self._only_user("document")
        self._make_room("document", MAX_DOCUMENTS, "documents in a message")
        taken = [known["document"]["name"] for known in self._blocks if "document" in known]
        if name in taken:
            raise ContentError(f"Two documents of the message are called {name!r}. Give each its own name.")
        called = document_name(filename or "document", taken) if name is None else check_document_name(name)
        extra = {} if context is None else {"context": context}
        return self._add("document", _with_citations({"name": called} | block | extra, citations_enabled))


def create_message(role: str, reader: Reader | None = None) -> MessageBuilder:
    """Begin a message of a role: `user`, `assistant`, or `system` in the middle of a conversation."""
    return MessageBuilder(role, reader)


def create_user_message(reader: Reader | None = None) -> MessageBuilder:
    """Begin what the user says."""
    return MessageBuilder(RolesEnum.USER, reader)


def create_assistant_message(reader: Reader | None = None) -> MessageBuilder:
    """Begin what the model said, or is to go on from."""
    return MessageBuilder(RolesEnum.ASSISTANT, reader)


def _with_citations(block: Block, enabled: bool | None) -> Block:
    return block if enabled is None else block | {"citations": {"enabled": enabled}}
