"""What Converse asks of a conversation beyond the service model: order, pairs, blank text, limits, media.

The texts are Bedrock's, from public reports; the limits are those that its documentation states.
"""

from __future__ import annotations

import base64
import itertools
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .wire_errors import Refused, preset, validation

if TYPE_CHECKING:
    from .models import LocalModel

__all__ = ["check_conversation"]

_MAX_IMAGES = 20
_MAX_IMAGE_BYTES = int(3.75 * 1024 * 1024)
_MAX_DOCUMENTS = 5
_MAX_DOCUMENT_BYTES = int(4.5 * 1024 * 1024)
_MAX_CACHE_POINTS = 4
_MODEL_SAYS = "The model returned the following errors: "
_DOCUMENT_NAME = re.compile(r"(?!.*\s\s)[a-zA-Z0-9\s\-()\[\]]+")
_IMAGE_STARTS = {
    "png": (b"\x89PNG",),
    "jpeg": (b"\xff\xd8\xff",),
    "gif": (b"GIF8",),
    "webp": (b"RIFF",),
}

Message = Mapping[str, Any]


def check_conversation(body: Mapping[str, Any], model: LocalModel) -> None:
    """Refuse a Converse body, already valid by the service model, that Bedrock or the model would refuse."""
    messages = body.get("messages") or []
    _check_order(messages)
    counts = {"image": 0, "document": 0, "cachePoint": 0}
    names: set[str] = set()
    for index, message in enumerate(messages):
        _check_message(message, index, model, counts, names)
    _check_tools(messages, body.get("toolConfig"), model)
    for block in body.get("system") or []:
        counts["cachePoint"] += "cachePoint" in block
    for tool in (body.get("toolConfig") or {}).get("tools", ()):
        counts["cachePoint"] += "cachePoint" in tool
    if counts["image"] > _MAX_IMAGES:
        raise validation(f"{_MODEL_SAYS}too many images and documents: {counts['image']} + 0 > {_MAX_IMAGES}")
    if counts["document"] > _MAX_DOCUMENTS:
        raise validation(f"{_MODEL_SAYS}too many images and documents: 0 + {counts['document']} > {_MAX_DOCUMENTS}")
    if counts["cachePoint"]:
        if not model.prompt_caching:
            raise Refused(preset("no_prompt_caching"))
        if counts["cachePoint"] > _MAX_CACHE_POINTS:
            text = f"A maximum of {_MAX_CACHE_POINTS} blocks with cache_control may be provided. Found "
            raise validation(f"{_MODEL_SAYS}{text}{counts['cachePoint']}.")
    _check_settings(body, model)


def _check_order(messages: Sequence[Message]) -> None:
    turns = [message["role"] for message in messages if message["role"] != "system"]
    if not turns or turns[0] != "user":
        raise validation(
            "A conversation must start with a user message. Try again with a conversation that starts with a user "
            "message."
        )
    for before, after in itertools.pairwise(turns):
        if before == after:
            raise validation(
                "A conversation must alternate between user and assistant roles. Make sure the conversation "
                "alternates between user and assistant roles and try again."
            )


def _check_message(message: Message, index: int, model: LocalModel, counts: dict[str, int], names: set[str]) -> None:
    content = message["content"]
    if not content:
        raise validation(
            f"The content field in the Message object at messages.{index} is empty. Add a ContentBlock object to the "
            "content field and try again."
        )
    for place, block in enumerate(content):
        (kind,) = block
        if kind == "text":
            if not block["text"].strip():
                raise validation(
                    f"The text field in the ContentBlock object at messages.{index}.content.{place} is blank. Add "
                    "text to the text field, and try again."
                )
        elif kind in counts:
            counts[kind] += 1
        if kind == "image":
            _check_image(block["image"], f"messages.{index}.content.{place}", model)
        elif kind == "document":
            _check_document(block["document"], names)
        elif kind in {"video", "audio"} and kind.upper() not in model.input_modalities:
            raise _unsupported(kind)
    if any("document" in block for block in content) and not any("text" in block for block in content):
        raise validation("A text block must be included when using documents. Add a text block and retry your request.")


def _unsupported(kind: str) -> Refused:
    return validation(
        f"This model doesn't support the {kind} content block that you provided. Update the content block and try "
        "again."
    )


def _check_image(image: Mapping[str, Any], path: str, model: LocalModel) -> None:
    if "IMAGE" not in model.input_modalities:
        raise _unsupported("image")
    source = image["source"]
    if "s3Location" in source:
        if not model.model_id.startswith("amazon."):
            raise validation("This model doesn't support the s3Uri field. Remove s3Uri and try again.")
        return
    data = base64.b64decode(source["bytes"])
    if len(data) > _MAX_IMAGE_BYTES:
        raise validation(f"{_MODEL_SAYS}{path}.image.source.bytes: image exceeds 3.75 MB maximum: {len(data)} bytes")
    if not data.startswith(_IMAGE_STARTS[image["format"]]):
        raise validation(f"{_MODEL_SAYS}{path}.image.source.bytes: Could not process image")


def _check_document(document: Mapping[str, Any], names: set[str]) -> None:
    name, source = document["name"], document["source"]
    if not _DOCUMENT_NAME.fullmatch(name):
        raise validation(
            "The document file name can only contain alphanumeric characters, whitespace characters, hyphens, "
            "parentheses, and square brackets. The name can't contain more than one consecutive whitespace character."
        )
    if name in names:
        raise validation(f"Documents must have unique names. {name} appears more than once.")
    names.add(name)
    if len(source.get("bytes", "")) * 3 // 4 > _MAX_DOCUMENT_BYTES:
        raise validation(f"{_MODEL_SAYS}Document size exceeds the maximum of 4.5 MB.")


def _check_tools(messages: Sequence[Message], tool_config: Mapping[str, Any] | None, model: LocalModel) -> None:
    if tool_config and not model.tools:
        raise validation("This model doesn't support tool use.")
    asked: list[str] = []
    for index, message in enumerate(messages):
        if message["role"] == "system":
            continue
        uses = [block["toolUse"] for block in message["content"] if "toolUse" in block]
        results = [block["toolResult"]["toolUseId"] for block in message["content"] if "toolResult" in block]
        if (uses or results) and not tool_config:
            raise validation("The toolConfig field must be defined when using toolUse and toolResult content blocks.")
        if message["role"] == "user":
            if len(results) > len(asked):
                raise validation(
                    f"The number of toolResult blocks at messages.{index}.content exceeds the number of toolUse "
                    "blocks of previous turn."
                )
            missing = [one for one in asked if one not in results]
            if missing:
                raise validation(
                    f"Expected toolResult blocks at messages.{index}.content for the following Ids: "
                    f"{', '.join(missing)}"
                )
        asked = [one["toolUseId"] for one in uses if one.get("type") != "server_tool_use"]
        if message["role"] == "assistant":
            answered = set(results)
            asked = [one for one in asked if one not in answered]
    choice = (tool_config or {}).get("toolChoice") or {}
    if "tool" in choice and tool_config:
        known = [tool["toolSpec"]["name"] for tool in tool_config["tools"] if "toolSpec" in tool]
        if choice["tool"]["name"] not in known:
            raise validation(f"{_MODEL_SAYS}Tool '{choice['tool']['name']}' not found in provided tools")


def _check_settings(body: Mapping[str, Any], model: LocalModel) -> None:
    if body.get("system") and not model.system:
        raise validation(
            "This model doesn't support system messages. Try again without a system message or use a model that "
            "supports system messages."
        )
    settings = body.get("inferenceConfig") or {}
    limit = model.max_output_tokens
    if settings.get("maxTokens", 0) > limit:
        raise validation(
            f"The maximum tokens you requested exceeds the model limit of {limit}. Try again with a maximum tokens "
            f"value that is lower than {limit}."
        )
    if model.temperature_or_top_p and "temperature" in settings and "topP" in settings:
        text = "`temperature` and `top_p` cannot both be specified for this model. Please use only one."
        raise validation(_MODEL_SAYS + text)
