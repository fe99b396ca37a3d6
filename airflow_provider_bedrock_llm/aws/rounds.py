"""Keeps one round of an event loop short, however many requests could start or end in it."""

from __future__ import annotations

import asyncio
import time

__all__ = ["Rounds"]

_LONGEST_ROUND_SECONDS = 0.01


class Rounds:
    """Lets the loop see to its timers and sockets in between.

    To render, sign and send a request takes a third of a millisecond, and to judge and keep its answer another one. Two
    hundred in a row, as at the start or when answers come all together, would be a tenth of a second in which nothing
    else on the loop gets on.
    """

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._next: asyncio.Handle | None = None

    async def wait(self) -> None:
        """Go on in the loop's next round when this one is long already."""
        while time.monotonic() - self._began > _LONGEST_ROUND_SECONDS:
            if self._next is None:
                self._next = asyncio.get_running_loop().call_soon(self._begin)
            await asyncio.sleep(0)

    def _begin(self) -> None:
        self._began, self._next = time.monotonic(), None
