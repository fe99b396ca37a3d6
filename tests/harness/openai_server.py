"""A server that speaks OpenAI's chat completions over real HTTP, and does what a test tells it."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import pytest
from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["OpenAIServer", "openai_server"]


@dataclass
class OpenAIServer:
    """Runs in a thread of its own. `replies` are used up one by one; without any, the server repeats the last message.

    Args:
        key: the one key that it accepts.
        replies: a text, a whole completion, or (status, body) to fail with.
        delay_seconds: how long it takes.
    """

    key: str = "the-key"
    replies: list[Any] = field(default_factory=list)
    delay_seconds: float = 0.0
    bodies: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _open(self) -> None:
        app = web.Application(client_max_size=2**26)
        app.router.add_post("/v1/chat/completions", self._complete)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"

    async def _complete(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.bodies.append(body)
        if self.delay_seconds:
            await asyncio.sleep(self.delay_seconds)
        if request.headers.get("authorization") != f"Bearer {self.key}":
            return _error(401, "Incorrect API key provided.", "invalid_api_key")
        reply = self.replies.pop(0) if self.replies else f"You said: {_last_text(body)}"
        if isinstance(reply, tuple):
            status, error = reply
            return error if isinstance(error, web.Response) else _error(status, error)
        return web.json_response(_completion(body, reply) if isinstance(reply, str) else reply)


def _completion(body: dict[str, Any], text: str) -> dict[str, Any]:
    tool = (body.get("tool_choice") or {}).get("function") if isinstance(body.get("tool_choice"), dict) else None
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if tool:
        call = {"id": "call_1", "type": "function", "function": {"name": tool["name"], "arguments": text}}
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
    read, written = len(json.dumps(body["messages"])) // 4, max(1, len(text) // 4)
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": body["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls" if tool else "stop"}],
        "usage": {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written},
    }


def _error(status: int, text: str, code: str | None = None) -> web.Response:
    return web.json_response({"error": {"message": text, "type": "error", "code": code}}, status=status)


def _last_text(body: dict[str, Any]) -> str:
    content = body["messages"][-1]["content"]
    return content if isinstance(content, str) else " ".join(part.get("text", "") for part in content)


@pytest.fixture
def openai_server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        yield server
