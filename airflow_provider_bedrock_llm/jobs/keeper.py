"""Brings answers to storage while the job runs, and notices when the job is somebody else's."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_bedrock_llm.core.errors import LeaseLostError, OutputError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from airflow_provider_bedrock_llm.jobs.journal import Journal, Part
    from airflow_provider_bedrock_llm.jobs.lease import Lease

__all__ = ["Keeper", "Pace", "cancel", "while_kept"]

log = logging.getLogger(__name__)

_T = TypeVar("_T")

_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Pace:
    """How often and how patiently a runner keeps what it has.

    Args:
        flush_seconds: the longest that an answer waits for its way to storage.
        flush_bytes: so many bytes of answers do not wait.
        patience_seconds: how long storage may refuse before the job fails. Nothing new is asked meanwhile, so waiting
            costs nothing, and what was answered is only in memory: giving up would cost it.
        drain_seconds: how long calls under way are awaited after a stop.
    """

    flush_seconds: float = 1.0
    flush_bytes: int = 1024 * 1024
    patience_seconds: float = 300.0
    drain_seconds: float = 60.0


class Keeper:
    """Writes the journal of one runner.

    Args:
        journal: what was answered.
        lease: the right to run the job.
        pace: how often and how patiently.
    """

    def __init__(self, journal: Journal, lease: Lease, pace: Pace) -> None:
        self._journal = journal
        self._lease = lease
        self._pace = pace
        self._unwritten: deque[Part] = deque()
        self._one_at_a_time = asyncio.Lock()
        self._due = asyncio.Event()
        self._ending = asyncio.Event()
        self.calm_seconds: float | None = None
        """Where nothing is being answered: how long to wait between looks, instead of `flush_seconds`."""
        self.writable = asyncio.Event()
        """Set while storage takes what it is given: who asks for more should wait for it."""
        self.writable.set()

    def note(self) -> None:
        """Something was added to the journal."""
        if self._journal.size_bytes >= self._pace.flush_bytes:
            self._due.set()

    def end(self) -> None:
        """Let `run` come to its end. It is not cancelled, because a thread that writes cannot be."""
        self._ending.set()
        self._due.set()

    async def run(self, tell: Callable[[], Awaitable[None]]) -> None:
        """Flush each second, or each MiB, until `end` is called.

        Args:
            tell: called each second, behind a flush.

        Raises:
            LeaseLostError: another runner has the job.
            OutputError: storage refused for too long.
        """
        told_at = time.monotonic()
        await tell()
        while not self._ending.is_set():
            await _wait(self._due, self.calm_seconds or self._pace.flush_seconds)
            self._due.clear()
            await self.flush()
            if time.monotonic() - told_at >= self._pace.flush_seconds:
                told_at = time.monotonic()
                await tell()

    async def flush(self) -> None:
        """Write what was answered, with patience, and look at the lease.

        A part is written before that look, not after: the answers in it are paid for, they are valid whoever runs the
        job, and their name is this runner's own.

        Raises:
            LeaseLostError: another runner has the job.
            OutputError: storage refused for too long.
        """
        async with self._one_at_a_time:
            since = time.monotonic()
            pause_seconds = _FIRST_PAUSE_SECONDS
            while True:
                try:
                    await self._write()
                    await asyncio.to_thread(self._lease.check)
                    break
                except OutputError as error:
                    self.writable.clear()
                    is_late = time.monotonic() - since + pause_seconds > self._pace.patience_seconds
                    if is_late or self._ending.is_set():
                        raise
                    log.warning("Results cannot be kept, nothing new is asked meanwhile: %s", error)
                await _wait(self._ending, pause_seconds)
                pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)
            self.writable.set()

    async def flush_once(self) -> None:
        """Write what was answered if storage takes it now; the lease does not matter.

        Raises:
            OutputError: it does not.
        """
        async with self._one_at_a_time:
            await self._write()

    async def _write(self) -> None:
        part = self._journal.cut()
        if part is not None:
            self._unwritten.append(part)
        while self._unwritten:
            await asyncio.to_thread(self._journal.write, self._unwritten[0])
            self._unwritten.popleft()


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)


async def while_kept(work: Awaitable[_T], keeping: asyncio.Task[None], give_way: Callable[[], None]) -> _T:
    """Await work; what ends the keeping (a lost lease, a full disk) ends it too."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task, keeping}, return_when=asyncio.FIRST_COMPLETED)
        if keeping.done():
            give_way()
            if isinstance(keeping.exception(), LeaseLostError):
                task.cancel()
            await asyncio.wait({task})
            keeping.result()
        return await task
    finally:
        await cancel(task)


async def cancel(task: asyncio.Future[Any]) -> None:
    """End a task and wait until it has ended; what it raised was of interest before, or is of none."""
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()
