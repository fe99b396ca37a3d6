"""An event loop of our own, in one thread per process, for everything that calls Bedrock from a triggerer.

The triggerer's own loop belongs to all teams' triggers: two hundred calls in flight through aiobotocore would block
it for tenths of a second at a time. So our triggers only wait there, and the work happens here, with one cap on the
calls in flight of the whole process.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_bedrock_llm.core.limiter import RouteBook

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from concurrent.futures import Future

__all__ = ["LoopThread", "shared_loop_thread"]

T = TypeVar("T")


class LoopThread:
    """An event loop that runs in a daemon thread from the first use on."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._books: dict[str, RouteBook] = {}
        self._places: asyncio.Semaphore | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, name="bedrock-llm", daemon=True)
        self._thread.start()

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine on the loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def call_soon(self, function: Any, *args: Any) -> None:
        """Call a function on the loop."""
        self._loop.call_soon_threadsafe(function, *args)

    def book(self, account: str) -> RouteBook:
        """What is known of the routes of an account: shared by all jobs here, as its quotas are.

        Args:
            account: names the account; the connection's id does.
        """
        return self._books.setdefault(account, RouteBook())

    def places(self, count: int) -> asyncio.Semaphore:
        """The cap on calls in flight over all jobs here; the first caller sets it.

        Args:
            count: calls at once at most.
        """
        if self._places is None:
            self._places = asyncio.Semaphore(count)
        return self._places


_lock = threading.Lock()
_shared: list[LoopThread] = []


def shared_loop_thread() -> LoopThread:
    """The loop of this process."""
    with _lock:
        if not _shared:
            _shared.append(LoopThread())
        return _shared[0]
