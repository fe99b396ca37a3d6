"""An HTTP server that shows what really came over the wire, and does to connections what a test wants."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["PlainServer", "Seen"]

_ANSWER = json.dumps(
    {
        "output": {"message": {"role": "assistant", "content": [{"text": "ok"}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2},
        "metrics": {"latencyMs": 1},
    }
).encode()


class Seen(NamedTuple):
    """One request as it came."""

    target: str
    headers: dict[str, str]
    body: bytes
    connection: int


class PlainServer:
    """Answers every request alike.

    Args:
        deeds: what happens to the first requests, in order: `answer`; `answer and close`, which does not announce the
            end; `close` without an answer; `reset` as soon as the head is there. After these: `answer`.
    """

    def __init__(self, *deeds: str) -> None:
        self.seen: list[Seen] = []
        self.connections = 0
        self._deeds: Sequence[str] = deeds
        self._heads = 0

    async def __aenter__(self) -> Self:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()[:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop."""
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        try:
            while await self._answer(reader, writer, number):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: Any, number: int) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        deed = self._deeds[self._heads] if self._heads < len(self._deeds) else "answer"
        self._heads += 1
        if deed == "reset":
            writer.transport.abort()
            return False
        first, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.seen.append(Seen(first.split(" ")[1], headers, body, number))
        if deed == "close":
            return False
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(_ANSWER)}\r\n"
        writer.write(f"{head}x-amzn-RequestId: r-1\r\n\r\n".encode() + _ANSWER)
        await writer.drain()
        return deed == "answer"
