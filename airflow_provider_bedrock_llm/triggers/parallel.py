"""The trigger of `BedrockParallelOperator`: it carries a job's URI, waits, and logs how far the job is.

What it must survive (all seen in Airflow 3.3): it is started anew with the same arguments when its triggerer dies; two
of it run at once when a triggerer was only stalled; it is cancelled on a shutdown, on a user's action and on a
hand-over alike. The job's folder makes all three harmless: whoever starts takes a higher epoch, and the other stops.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_bedrock_llm.core.errors import LeaseLostError, LLMManagerError
from airflow_provider_bedrock_llm.hooks.ending import ask_task_state, stop_if_ended
from airflow_provider_bedrock_llm.hooks.enrichment import load_job, open_hook, run_enrichment
from airflow_provider_bedrock_llm.jobs.manifest import Manifest
from airflow_provider_bedrock_llm.triggers.loop_thread import shared_loop_thread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from airflow_provider_bedrock_llm.hooks.bedrock_llm import BedrockLLMHook
    from airflow_provider_bedrock_llm.jobs.job import JobSpec

__all__ = ["BedrockParallelTrigger"]

_LOG_EVERY_SECONDS = 5.0
_LOOK_EVERY_SECONDS = 2.0
_STALE_AFTER_SECONDS = 60.0
_ENDINGS: set[asyncio.Future[None]] = set()
"""Work that outlives its trigger; the event loop itself remembers only weakly."""


def _on_the_loop_thread(work: Coroutine[Any, Any, list[str]]) -> asyncio.Future[list[str]]:
    return asyncio.wrap_future(shared_loop_thread().submit(work))


class BedrockParallelTrigger(BaseTrigger):
    """Run an enrichment job and report its end.

    Args:
        job_uri: the job's folder, which holds everything else.
        token: names the run of the task, so that a job which it has finished already is known as its own.
        deadline: seconds since the epoch at which the job is stopped; None for never.
        drain_seconds: how long to wait for the answers under way when told to stop.
        max_in_flight: calls at once at most, over all jobs of this process.
    """

    ask_state = staticmethod(ask_task_state)
    """How to find out whether the task was ended; `on_kill` alone does not say."""

    def __init__(
        self,
        job_uri: str,
        token: str,
        deadline: float | None = None,
        drain_seconds: float = 8,
        max_in_flight: int = 200,
    ) -> None:
        super().__init__()
        self.job_uri = job_uri
        self.token = token
        self.deadline = deadline
        self.drain_seconds = drain_seconds
        self.max_in_flight = max_in_flight
        self._hook_of_batch: BedrockLLMHook | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """A URI and numbers: Airflow keeps this unencrypted."""
        return (
            "airflow_provider_bedrock_llm.triggers.parallel.BedrockParallelTrigger",
            {
                "job_uri": self.job_uri,
                "token": self.token,
                "deadline": self.deadline,
                "drain_seconds": self.drain_seconds,
                "max_in_flight": self.max_in_flight,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Run the job in the process's own loop; one event at its end, with counts and URIs only."""
        try:
            spec = await asyncio.to_thread(load_job, self.job_uri)
            hook = await asyncio.to_thread(open_hook, spec)  # which may read the head of the source
            await hook.prefetch()
            self._hook_of_batch = hook if spec.batch is not None else None
            while True:
                with contextlib.suppress(LeaseLostError):
                    manifest = await self._run_once(spec, hook)
                    break
                self.log.info("Another runner holds the job now; waiting for it to end.")
                ended = await self._watch(spec)
                if ended is not None:
                    manifest = ended
                    break
            yield TriggerEvent({"status": manifest.state, "job_uri": self.job_uri, "error": manifest.error})
        except LLMManagerError as error:
            yield TriggerEvent(
                {
                    "status": "error",
                    "job_uri": self.job_uri,
                    "error": f"{type(error).__name__}: {error}",
                    "retry_helps": error.retry_helps,
                }
            )

    async def on_kill(self) -> None:
        """Airflow calls this on a user's action, and also on a hand-over. For calls, being cancelled is enough for
        both; AWS's batch jobs would go on, so they are stopped where the task has really been ended.
        """
        self.log.info("The job %s was told to stop; what it has answered is kept.", self.job_uri)
        hook = self._hook_of_batch
        if hook is None:
            return
        # Airflow gives on_kill a second: the work goes on by itself.
        ending = asyncio.ensure_future(
            stop_if_ended(self.task_instance, hook, self.job_uri, run=_on_the_loop_thread, ask_state=self.ask_state)
        )
        _ENDINGS.add(ending)
        ending.add_done_callback(_ENDINGS.discard)
        await asyncio.shield(ending)

    async def _run_once(self, spec: JobSpec, hook: BedrockLLMHook) -> Manifest:
        latest: list[Manifest] = []
        thread = shared_loop_thread()
        stop = asyncio.Event()
        work = run_enrichment(
            spec,
            hook,
            stop=stop,
            token=self.token,
            on_progress=lambda manifest: latest.__setitem__(slice(None), [manifest]),
            drain_seconds=self.drain_seconds,
            book=thread.book(hook.bedrock_conn_id),
            places=thread.places(self.max_in_flight),
        )
        running = asyncio.wrap_future(thread.submit(work))
        try:
            while not running.done():
                await asyncio.wait({running}, timeout=self._seconds_to_wait(stop))
                if not running.done():
                    self._report(latest)
                if self.deadline is not None and time.time() >= self.deadline:
                    thread.call_soon(stop.set)
        except asyncio.CancelledError:
            # Answers under way are paid for: let them come in. The triggerer gives its children ten seconds.
            thread.call_soon(stop.set)
            await asyncio.wait({running}, timeout=self.drain_seconds + 1)
            raise
        return running.result()

    def _seconds_to_wait(self, stop: asyncio.Event) -> float:
        if self.deadline is None or stop.is_set():
            return _LOG_EVERY_SECONDS
        return max(0.0, min(_LOG_EVERY_SECONDS, self.deadline - time.time()))

    def _report(self, latest: list[Manifest]) -> None:
        if latest:
            self.log.info("%s", latest[0].progress_line)

    async def _watch(self, spec: JobSpec) -> Manifest | None:
        """Wait for the runner that holds the job; None when it seems to have died and the job is free again."""
        seen, seen_at = "", time.monotonic()
        while True:
            await asyncio.sleep(_LOOK_EVERY_SECONDS)
            manifest = await asyncio.to_thread(lambda: Manifest.load(spec.folder))
            if manifest is not None and manifest.state != "running":
                return manifest
            updated_at = manifest.updated_at if manifest else ""
            if updated_at != seen:
                seen, seen_at = updated_at, time.monotonic()
            elif time.monotonic() - seen_at > _STALE_AFTER_SECONDS:
                return None
