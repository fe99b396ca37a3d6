"""A request of Converse's shape as an OpenAI-shaped chat completion, and the completion as Converse's answer.

This is the tongue of the services beside Bedrock that a candidate list may name. What only changes speed or price at
Bedrock (cache points, tier, latency, tags) is left out; what would change the answer or its safety and has no place
there is refused before anything is sent.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["UntranslatableError", "chat_request", "converse_events", "converse_reply"]

_STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "content_filtered",
}
_INFERENCE = {"maxTokens": "max_tokens", "temperature": "temperature", "topP": "top_p", "stopSequences": "stop"}
_LEFT_OUT = frozenset({"requestMetadata", "serviceTier", "performanceConfig", "additionalModelResponseFieldPaths"})
_TAKEN = frozenset(
    {"modelId", "messages", "system", "inferenceConfig", "toolConfig", "outputConfig", "additionalModelRequestFields"}
)
_IMAGE_TYPES = {"jpg": "jpeg"}
_DOCUMENT_TYPES = {"pdf": "application/pdf", "txt": "text/plain", "csv": "text/csv", "html": "text/html"}
_SILENT = frozenset({"cachePoint", "reasoningContent"})


class UntranslatableError(ValueError):
    """The request holds what an OpenAI-shaped service has no place for."""


def chat_request(params: Mapping[str, Any]) -> dict[str, Any]:
    """Say parameters of Converse as those of a chat completion, without the model.

    Args:
        params: as botocore's `converse` takes them.

    Raises:
        UntranslatableError: there is something that must not be left out; the text names it.
    """
    for name in params:
        if name not in _TAKEN and name not in _LEFT_OUT:
            raise UntranslatableError(f"{name} has no place in a chat completion")
    messages: list[dict[str, Any]] = []
    system = [block["text"] for block in params.get("system") or () if "text" in block]
    if len(system) < sum("cachePoint" not in block for block in params.get("system") or ()):
        raise UntranslatableError("a system block other than text has no place in a chat completion")
    if system:
        messages.append({"role": "system", "content": "\n\n".join(system)})
    for message in params.get("messages") or ():
        messages += _assistant(message) if message["role"] == "assistant" else _user(message)
    inference = params.get("inferenceConfig") or {}
    unknown = sorted(set(inference) - set(_INFERENCE))
    if unknown:
        raise UntranslatableError(f"inferenceConfig.{unknown[0]} has no place in a chat completion")
    chat: dict[str, Any] = {"messages": messages}
    chat |= {_INFERENCE[name]: value for name, value in inference.items()}
    chat |= _tools(params.get("toolConfig") or {})
    chat |= _response_format(params.get("outputConfig") or {})
    return chat | dict(params.get("additionalModelRequestFields") or {})


def converse_reply(completion: Mapping[str, Any]) -> dict[str, Any]:
    """Say a chat completion as Converse's answer..

    Args:
        completion: the completion as a JSON object.

    Raises:
        KeyError: it is none.
    """
    choice = completion["choices"][0]
    message = choice["message"]
    content: list[dict[str, Any]] = []
    if message.get("content"):
        content.append({"text": message["content"]})
    for call in message.get("tool_calls") or ():
        function = call["function"]
        content.append(
            {"toolUse": {"toolUseId": call["id"], "name": function["name"], "input": _input(function.get("arguments"))}}
        )
    usage = completion.get("usage") or {}
    read, written = usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0
    finish = choice.get("finish_reason") or "stop"
    return {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": _STOP_REASONS.get(finish, finish),
        "usage": {"inputTokens": read, "outputTokens": written, "totalTokens": read + written} if usage else {},
        "metrics": {},
    }


def _user(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A turn of the user; results of tools are messages of their own and come first."""
    parts: list[dict[str, Any]] = []
    for block in message["content"]:
        if "toolResult" in block:
            result = block["toolResult"]
            text = "\n".join(_told(part) for part in result.get("content") or ())
            if result.get("status") == "error":
                text = f"Error: {text}"
            yield {"role": "tool", "tool_call_id": result["toolUseId"], "content": text}
        elif not _SILENT.intersection(block):
            parts.append(_part(block))
    if parts:
        only_text = all(part["type"] == "text" for part in parts)
        yield {"role": "user", "content": "\n".join(part["text"] for part in parts) if only_text else parts}


def _assistant(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    texts, calls = [], []
    for block in message["content"]:
        if "text" in block:
            texts.append(block["text"])
        elif "toolUse" in block:
            use = block["toolUse"]
            arguments = json.dumps(use.get("input"), ensure_ascii=False)
            function = {"name": use["name"], "arguments": arguments}
            calls.append({"id": use["toolUseId"], "type": "function", "function": function})
        elif not _SILENT.intersection(block):
            raise UntranslatableError(f"a {next(iter(block), 'blank')} block has no place in an answer of the past")
    yield {"role": "assistant", "content": "\n".join(texts) or None} | ({"tool_calls": calls} if calls else {})


def _part(block: Mapping[str, Any]) -> dict[str, Any]:
    if "text" in block:
        return {"type": "text", "text": block["text"]}
    if "image" in block:
        kind = block["image"]["format"]
        url = _data_url(f"image/{_IMAGE_TYPES.get(kind, kind)}", block["image"])
        return {"type": "image_url", "image_url": {"url": url}}
    if "document" in block:
        document = block["document"]
        kind = _DOCUMENT_TYPES.get(document.get("format", ""))
        if kind is None:
            raise UntranslatableError(f"a {document.get('format')} document has no place in a chat completion")
        name = f"{document.get('name', 'document')}.{document['format']}"
        return {"type": "file", "file": {"filename": name, "file_data": _data_url(kind, document)}}
    raise UntranslatableError(f"a {next(iter(block), 'blank')} block has no place in a chat completion")


def _data_url(kind: str, media: Mapping[str, Any]) -> str:
    data = (media.get("source") or {}).get("bytes")
    if data is None:
        raise UntranslatableError("a file that lies in S3 has no place in a chat completion")
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _told(part: Mapping[str, Any]) -> str:
    if "text" in part:
        return str(part["text"])
    if "json" in part:
        return json.dumps(part["json"], ensure_ascii=False)
    raise UntranslatableError(f"a tool result with a {next(iter(part), 'blank')} has no place in a chat completion")


def _tools(config: Mapping[str, Any]) -> dict[str, Any]:
    tools: Sequence[Mapping[str, Any]] = [tool for tool in config.get("tools") or () if "cachePoint" not in tool]
    if not tools:
        return {}
    functions = []
    for tool in tools:
        if "toolSpec" not in tool:
            raise UntranslatableError(f"a {next(iter(tool), 'blank')} has no place in a chat completion")
        spec = tool["toolSpec"]
        function = {"name": spec["name"], "parameters": spec["inputSchema"]["json"]}
        if spec.get("description"):
            function["description"] = spec["description"]
        functions.append({"type": "function", "function": function})
    said: dict[str, Any] = {"tools": functions}
    choice = config.get("toolChoice") or {}
    if "tool" in choice:
        said["tool_choice"] = {"type": "function", "function": {"name": choice["tool"]["name"]}}
    elif choice:
        said["tool_choice"] = "required" if "any" in choice else "auto"
    return said


def _response_format(config: Mapping[str, Any]) -> dict[str, Any]:
    if not config:
        return {}
    wanted = config.get("textFormat") or {}
    if set(config) - {"textFormat"} or wanted.get("type") != "json_schema":
        raise UntranslatableError("outputConfig beyond a JSON Schema has no place in a chat completion")
    asked = wanted["structure"]["jsonSchema"]
    schema = {"name": asked.get("name") or "answer", "schema": json.loads(asked["schema"]), "strict": True}
    return {"response_format": {"type": "json_schema", "json_schema": schema}}


def _input(arguments: Any) -> Any:
    """The arguments of a call; a text where the model's JSON is broken, as `ToolUse` has it."""
    if not isinstance(arguments, str):
        return arguments or {}
    try:
        return json.loads(arguments or "{}")
    except ValueError:
        return arguments


def converse_events(reply: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Converse's answer as the events of a stream: a service's answer comes in one piece.

    Args:
        reply: of `converse_reply`.
    """
    message = reply["output"]["message"]
    yield {"messageStart": {"role": message["role"]}}
    for index, block in enumerate(message["content"]):
        if "toolUse" in block:
            use = block["toolUse"]
            start = {"toolUse": {"toolUseId": use["toolUseId"], "name": use["name"]}}
            yield {"contentBlockStart": {"start": start, "contentBlockIndex": index}}
            delta: dict[str, Any] = {"toolUse": {"input": json.dumps(use["input"], ensure_ascii=False)}}
        else:
            delta = {"text": block["text"]}
        yield {"contentBlockDelta": {"delta": delta, "contentBlockIndex": index}}
        yield {"contentBlockStop": {"contentBlockIndex": index}}
    yield {"messageStop": {"stopReason": reply["stopReason"]}}
    yield {"metadata": {"usage": reply["usage"], "metrics": reply["metrics"]}}
