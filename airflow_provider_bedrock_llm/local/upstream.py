"""Answers from any OpenAI-compatible server: a laptop with a local model gets real ones.

Messages, system prompt, tools, JSON Schema and settings are put into a chat/completions request, and what comes back
into an answer. The server's errors become Bedrock's: 429 a ThrottlingException, what cannot be reached or fails a
ModelErrorException.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import aiohttp

from .answers import Answer, Block, ConverseCall
from .wire_errors import ErrorReply, Refused, preset, validation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["UpstreamAnswerer", "chat_request", "read_completion"]

_FINISHES = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "content_filtered"}
_THROTTLED = 429
_SERVER_ERRORS = 500


class UpstreamAnswerer:
    """Asks `{url}/chat/completions`, with `/v1` put in where the URL has no path.

    `model` None passes the id that was asked for on; `api_key` None takes OPENAI_API_KEY, if that is set.
    """

    def __init__(self, url: str, *, model: str | None = None, api_key: str | None = None) -> None:
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"upstream={url!r} is not a URL. Give one such as http://127.0.0.1:11434/v1.")
        base = url.rstrip("/")
        self._url = f"{base if base.count('/') > 2 else base + '/v1'}/chat/completions"  # noqa: PLR2004 - scheme's own two
        self._model = model
        self._api_key = api_key or os.environ.get("OPENAI_API_KEY")
        self._session: aiohttp.ClientSession | None = None

    async def __call__(self, call: ConverseCall) -> Answer:
        headers = {"Authorization": f"Bearer {self._api_key}"} if self._api_key else {}
        body = chat_request(call, self._model or call.asked_id)
        try:
            async with self._open().post(self._url, json=body, headers=headers) as response:
                status, text = response.status, await response.text()
        except aiohttp.ClientError as error:
            raise _model_error(call, 503, f"The upstream server cannot be reached: {error}") from error
        if status == _THROTTLED:
            raise Refused(preset("too_many_requests"))
        if status >= _SERVER_ERRORS:
            raise _model_error(call, status, f"The upstream server answered {status}.")
        if status != 200:  # noqa: PLR2004 - HTTP's OK
            raise validation(f"The model returned the following errors: {_error_text(text)}")
        try:
            return read_completion(json.loads(text))
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise _model_error(call, 502, "The upstream server's answer is not a chat completion.") from error

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=3_600))
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None


def _model_error(call: ConverseCall, status: int, text: str) -> Refused:
    members = {"originalStatusCode": status, "resourceName": call.model_id}
    return Refused(ErrorReply("ModelErrorException", 424, text, members))


def _error_text(text: str) -> str:
    try:
        error = json.loads(text)["error"]
        return str(error["message"] if isinstance(error, dict) else error)
    except (ValueError, KeyError, TypeError):
        return text[:200]


def chat_request(call: ConverseCall, model: str) -> dict[str, Any]:
    """The body of a chat/completions request that asks the same."""
    messages: list[dict[str, Any]] = [{"role": "system", "content": call.system}] if call.system else []
    for message in call.messages:
        messages += _messages(message["role"], message["content"])
    body: dict[str, Any] = {"model": model, "messages": messages}
    settings = call.body.get("inferenceConfig") or {}
    for ours, theirs in (("maxTokens", "max_tokens"), ("temperature", "temperature"), ("topP", "top_p")):
        if ours in settings:
            body[theirs] = settings[ours]
    if settings.get("stopSequences"):
        body["stop"] = settings["stopSequences"]
    body.update(_tools(call.body.get("toolConfig") or {}))
    if call.output_schema is not None:
        name = call.body["outputConfig"]["textFormat"]["structure"]["jsonSchema"].get("name", "answer")
        schema = {"name": name, "schema": call.output_schema, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return body


def _messages(role: str, content: Sequence[Block]) -> list[dict[str, Any]]:
    results = [
        {
            "role": "tool",
            "tool_call_id": block["toolResult"]["toolUseId"],
            "content": _result_text(block["toolResult"]["content"]),
        }
        for block in content
        if "toolResult" in block
    ]
    parts = [part for block in content if (part := _part(block))]
    calls = [_call(block["toolUse"]) for block in content if "toolUse" in block]
    if not parts and not calls:
        return results
    only_text = all(part["type"] == "text" for part in parts)
    said: Any = "\n".join(part["text"] for part in parts) if only_text else parts
    message: dict[str, Any] = {"role": role, "content": said if parts else None}
    if calls:
        message["tool_calls"] = calls
    return [*results, message]


def _part(block: Block) -> dict[str, Any] | None:
    if "text" in block:
        return {"type": "text", "text": block["text"]}
    if "image" in block and "bytes" in block["image"]["source"]:
        image = block["image"]
        url = f"data:image/{image['format']};base64,{image['source']['bytes']}"
        return {"type": "image_url", "image_url": {"url": url}}
    if "document" in block and "text" in block["document"]["source"]:
        return {"type": "text", "text": block["document"]["source"]["text"]}
    if {"toolUse", "toolResult", "cachePoint", "reasoningContent", "guardContent"} & block.keys():
        return None
    kind = next(iter(block))
    text = f"This model doesn't support the {kind} content block that you provided."
    raise validation(f"{text} Update the content block and try again.")


def _result_text(content: Sequence[Block]) -> str:
    return "\n".join(block["text"] if "text" in block else json.dumps(block.get("json")) for block in content)


def _call(use: Mapping[str, Any]) -> dict[str, Any]:
    function = {"name": use["name"], "arguments": json.dumps(use["input"])}
    return {"id": use["toolUseId"], "type": "function", "function": function}


def _tools(config: Mapping[str, Any]) -> dict[str, Any]:
    specs = [tool["toolSpec"] for tool in config.get("tools", ()) if "toolSpec" in tool]
    if not specs:
        return {}
    functions = [
        {
            "name": spec["name"],
            "description": spec.get("description", ""),
            "parameters": spec["inputSchema"]["json"],
        }
        for spec in specs
    ]
    tools: dict[str, Any] = {"tools": [{"type": "function", "function": function} for function in functions]}
    choice = config.get("toolChoice") or {}
    if "tool" in choice:
        tools["tool_choice"] = {"type": "function", "function": {"name": choice["tool"]["name"]}}
    elif "any" in choice:
        tools["tool_choice"] = "required"
    return tools


def read_completion(completion: Mapping[str, Any]) -> Answer:
    """The answer in a chat completion; KeyError, ValueError or TypeError where it is none."""
    choice = completion["choices"][0]
    message, usage = choice["message"], completion.get("usage") or {}
    content: list[Block] = [{"text": message["content"]}] if message.get("content") else []
    for number, call in enumerate(message.get("tool_calls") or ()):
        function = call["function"]
        use = {
            "toolUseId": (call.get("id") or f"tooluse_{number}")[:64],
            "name": function["name"],
            "input": json.loads(function["arguments"] or "{}"),
            "type": "tool_use",
        }
        content.append({"toolUse": use})
    return Answer(
        content=tuple(content) or ({"text": ""},),
        stop_reason=_FINISHES.get(choice.get("finish_reason") or "stop", "end_turn"),
        input_tokens=usage.get("prompt_tokens"),
        output_tokens=usage.get("completion_tokens"),
    )
