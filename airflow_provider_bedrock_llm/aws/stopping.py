"""How a stop reaches requests that wait: for their next attempt, for a turn on a route, for a place.

Such a request has nothing on the wire, so nothing of it is paid for, and it ends at once. A call that is on the wire is
paid for and is awaited: a stop is no cancellation.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from airflow_provider_bedrock_llm.core.response import BedrockResponse

__all__ = ["NotSentError", "raise_if_stopped", "until_stop"]


class NotSentError(Exception):
    """A stop came before the next call of a request was sent. The request has no outcome: a later run asks it."""

    spent: BedrockResponse | None = None
    """What earlier calls of the request have cost; None where they cost nothing."""


def raise_if_stopped(stop: asyncio.Event | None) -> None:
    """The last look before a call goes out.

    Args:
        stop: set when nothing more may be sent; None where nobody stops anything.

    Raises:
        NotSentError: it is set.
    """
    if stop is not None and stop.is_set():
        raise NotSentError


@contextlib.asynccontextmanager
async def until_stop(stop: asyncio.Event | None) -> AsyncIterator[None]:
    """Await in this block what comes before a call: a pause, or a turn in a line. A stop cancels it.

    The block runs in the task that enters it, because a line keeps the order in which tasks came.

    Args:
        stop: as for `raise_if_stopped`.

    Raises:
        NotSentError: the stop came first.
    """
    task = asyncio.current_task()
    if stop is None or task is None:
        yield
        return
    cancelled_before, is_inside, is_cancelled = task.cancelling(), True, False

    def cancel(_: object) -> None:
        nonlocal is_cancelled
        if is_inside:
            is_cancelled = True
            task.cancel()

    stopped = asyncio.ensure_future(stop.wait())
    stopped.add_done_callback(cancel)
    try:
        yield
    except asyncio.CancelledError:
        if is_cancelled and task.uncancel() <= cancelled_before:
            raise NotSentError from None
        raise
    finally:
        is_inside = False
        stopped.cancel()
