"""Ends the batch jobs of a task that a person has ended: what they have answered is kept, the rest is not paid."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol

from airflow_provider_bedrock_llm.core.batch_plan import JobView, job_name
from airflow_provider_bedrock_llm.core.transport import Failure
from airflow_provider_bedrock_llm.jobs.batch_files import BatchFiles

if TYPE_CHECKING:
    from airflow_provider_bedrock_llm.jobs.storage import Location

__all__ = ["stop_batch_jobs"]

log = logging.getLogger(__name__)

_LOOKS = 3
_PAUSE_SECONDS = 2.0


class StopCalls(Protocol):
    """The part of `aws.batch_jobs.BatchJobs` that is needed here."""

    async def stop(self, arn: str) -> Failure | None:
        """End a job."""
        ...

    async def find(self, name: str) -> list[JobView] | Failure:
        """The jobs whose names contain this."""
        ...


async def stop_batch_jobs(
    folder: Location, job_uri: str, calls: StopCalls, *, pause_seconds: float = _PAUSE_SECONDS
) -> list[str]:
    """Stop every batch job of an enrichment job that has not ended.

    That they are to stop is noted first, so that a runner that is about to submit another one does not, and a later run
    knows that nothing went wrong. Jobs are found by their names as well as by what was noted, and looked for again:
    one may have been on its way.

    Args:
        folder: the enrichment job's.
        job_uri: names it.
        calls: of the region that the jobs run in.
        pause_seconds: between the looks.

    Returns:
        The ARNs that were stopped.

    Raises:
        OutputError: the folder cannot be written.
    """
    files = BatchFiles(folder)
    chunks = [chunk for chunk in await asyncio.to_thread(files.chunks) if chunk.is_open]
    for chunk in chunks:
        await asyncio.to_thread(files.ask_to_stop, chunk)
    stopped: list[str] = []
    for look in range(_LOOKS if chunks else 0):
        if look:
            await asyncio.sleep(pause_seconds)
        found = await calls.find(job_name(job_uri, ""))
        named = [] if isinstance(found, Failure) else [view.arn for view in found if not view.has_ended]
        noted = [chunk.arn for chunk in chunks if chunk.arn is not None]
        for arn in dict.fromkeys([*noted, *named]):
            if arn in stopped:
                continue
            failure = await calls.stop(arn)
            if failure is None or failure.code == "ConflictException":
                stopped.append(arn)
            else:
                log.warning("%s could not be stopped: %s", arn, failure)
        if len(stopped) >= len(chunks):
            break
    log.info("%d batch jobs stopped", len(stopped))
    return stopped
