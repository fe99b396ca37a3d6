"""Manifests of jobs, read from the work_dirs that Airflow's configuration names and from nowhere else."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import conf

from airflow_provider_bedrock_llm.jobs.manifest import MANIFEST_FILE
from airflow_provider_bedrock_llm.jobs.storage import open_location
from airflow_provider_bedrock_llm.operators.job_description import work_dir_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow_provider_bedrock_llm.plugin.instances import JobInstance, JobKey

__all__ = ["Found", "Manifests", "work_dirs"]

_READERS = 8
_KEPT = 4096


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

    Args:
        folders: gives the work_dirs to look into, first to last.
    """

    def __init__(self, folders: Callable[[], Sequence[str]] = work_dirs) -> None:
        self._folders = folders
        self._kept: OrderedDict[JobInstance, Found] = OrderedDict()
        self._lock = threading.Lock()

    def read_all(self, instances: Sequence[JobInstance]) -> list[Found]:
        """The manifests of many jobs, a few at a time."""
        if not instances:
            return []
        with ThreadPoolExecutor(_READERS, "bedrock-llm-page") as pool:
            return list(pool.map(self.read, instances))

    def read(self, instance: JobInstance) -> Found:
        """The manifest of a task instance's job."""
        with self._lock:
            if instance in self._kept:
                self._kept.move_to_end(instance)
                return self._kept[instance]
        found = self.look(instance.key)
        if instance.has_ended and found.manifest and found.manifest.get("state") != "running":
            with self._lock:
                self._kept[instance] = found
                while len(self._kept) > _KEPT:
                    self._kept.popitem(last=False)
        return found

    def look(self, key: JobKey) -> Found:
        """The manifest of a job as it is now, in the first work_dir that has one."""
        problem = None
        for work_dir in self._folders():
            try:
                data = open_location(key.folder_in(work_dir), "work_dir").child(MANIFEST_FILE).read()
                manifest = json.loads(data)
                if isinstance(manifest, dict) and isinstance(manifest.get("counts"), dict):
                    return Found(manifest)
            except (FileNotFoundError, NotADirectoryError, ValueError):
                continue
            except Exception as error:  # noqa: BLE001 - every storage has exceptions of its own
                problem = (
                    f"The API server cannot read {work_dir}: {type(error).__name__}. "
                    "Give it the same access to the work_dir as workers and triggerers have."
                )
        return Found(problem=problem)
