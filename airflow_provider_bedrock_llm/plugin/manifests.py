"""Manifests of jobs, read from the work_dirs that Airflow's configuration names and from nowhere else."""

from __future__ import annotations

import json
import math
import threading
import time
from collections import OrderedDict
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import conf

from airflow_provider_bedrock_llm.jobs.manifest import MANIFEST_FILE
from airflow_provider_bedrock_llm.jobs.storage import open_location
from airflow_provider_bedrock_llm.operators.job_description import work_dir_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Future

    from airflow_provider_bedrock_llm.plugin.instances import JobInstance, JobKey

__all__ = ["Found", "Manifests", "work_dirs"]

_READERS = 8
_KEPT = 4096
_SHAPES = {
    "usage": dict,
    "routes": dict,
    "failures": dict,
    "features_disabled": dict,
    "timeline": list,
    "failed_samples": list,
}


def work_dirs() -> tuple[str, ...]:
    """Where jobs are looked for: `[bedrock_llm] work_dir`, then `work_dirs`."""
    further = conf.get("bedrock_llm", "work_dirs", fallback="") or ""
    named = [part.strip() for part in further.replace("\n", ",").split(",")]
    return tuple(dict.fromkeys([work_dir_of(None), *filter(None, named)]))


@dataclass(frozen=True, slots=True)
class Found:
    """What a look for a manifest came to.

    Attributes:
        manifest: manifest.json as it stands; None where there is none.
        problem: why a work_dir could not be read, in a sentence.
    """

    manifest: Mapping[str, Any] | None = None
    problem: str | None = None


class Manifests:
    """Reads manifests, and keeps those of jobs that have ended. For many threads.

    A store that is away must not take Airflow's API server with it, so a reader waits for a while and then goes, and
    a work_dir that has just failed is not asked again at once.

    Args:
        folders: gives the work_dirs to look into, first to last.
        patience_seconds: how long to wait for the next manifest, and how long to leave alone a work_dir that failed.
    """

    def __init__(self, folders: Callable[[], Sequence[str]] = work_dirs, patience_seconds: float = 10.0) -> None:
        self._folders = folders
        self._patience_seconds = patience_seconds
        self._kept: OrderedDict[JobInstance, Found] = OrderedDict()
        self._away: dict[str, tuple[float, str]] = {}
        self._lock = threading.Lock()

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(_READERS, "bedrock-llm-page")

    def read_all(self, instances: Sequence[JobInstance]) -> list[Found]:
        """The manifests of many jobs, a few at a time."""
        return self._gather([self._pool.submit(self._read, instance) for instance in instances])

    def look(self, key: JobKey) -> Found:
        """The manifest of a job as it is now, in the first work_dir that has one."""
        return self._gather([self._pool.submit(self._look, key)])[0]

    def _gather(self, reads: list[Future[Found]]) -> list[Found]:
        pending = set(reads)
        while pending:
            done, pending = wait(pending, self._patience_seconds, return_when=FIRST_COMPLETED)
            if not done:
                break
        if not pending:
            return [read.result() for read in reads]
        for read in pending:
            read.cancel()
        silent = Found(
            problem=f"The API server had no answer from {', '.join(self._folders())} for {self._patience_seconds:g} "
            "seconds. Look whether it can reach the work_dir as workers and triggerers do."
        )
        return [silent if read in pending else read.result() for read in reads]

    def _read(self, instance: JobInstance) -> Found:
        with self._lock:
            if instance in self._kept:
                self._kept.move_to_end(instance)
                return self._kept[instance]
        found = self._look(instance.key)
        if instance.has_ended and found.manifest and found.manifest.get("state") != "running":
            with self._lock:
                self._kept[instance] = found
                while len(self._kept) > _KEPT:
                    self._kept.popitem(last=False)
        return found

    def _look(self, key: JobKey) -> Found:
        problem = None
        for work_dir in self._folders():
            failed_at, text = self._away.get(work_dir, (-math.inf, ""))
            if time.monotonic() - failed_at < self._patience_seconds:
                problem = text
                continue
            try:
                data = open_location(key.folder_in(work_dir), "work_dir").child(MANIFEST_FILE).read()
                manifest = _manifest_of(data)
                if manifest is not None:
                    return Found(manifest)
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError, ValueError, RecursionError):
                continue
            except Exception as error:  # noqa: BLE001 - every storage has exceptions of its own
                problem = (
                    f"The API server cannot read {work_dir}: {type(error).__name__}. "
                    "Give it the same access to the work_dir as workers and triggerers have."
                )
                if not isinstance(error, PermissionError):  # that may be one job's alone, and comes at once
                    self._away[work_dir] = (time.monotonic(), problem)
        return Found(problem=problem)


def _manifest_of(data: bytes) -> dict[str, Any] | None:
    """What a manifest.json holds, without fields of a shape that nobody expects; None where it is none."""
    manifest = json.loads(data, parse_float=_finite, parse_constant=lambda _: None)
    if not isinstance(manifest, dict) or not isinstance(manifest.get("counts"), dict):
        return None
    return {name: value for name, value in manifest.items() if isinstance(value, _SHAPES.get(name, object))}


def _finite(text: str) -> float | None:
    """JSON that goes to a browser has no infinity."""
    number = float(text)
    return number if math.isfinite(number) else None
