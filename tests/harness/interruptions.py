"""Jobs in a real Airflow that get interrupted: who holds a job, what it has kept, what was paid for it.

What was paid is counted by the endpoint alone. What a runner may have lost at one moment is what was in flight there,
plus what was answered and is not in the job's folder yet.
"""

from __future__ import annotations

import json
import os
import signal
import textwrap
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from airflow_provider_bedrock_llm.jobs.manifest import Manifest
from airflow_provider_bedrock_llm.jobs.storage import open_location

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.airflow_processes import AirflowStack

    from airflow_provider_bedrock_llm.local.endpoint import SpawnedEndpoint

TASK_ID = "enrich"
TRIGGERERS = ("triggerer-1", "triggerer-2")

_CUT_TO_WRITTEN_SECONDS = 0.5
"""A part is cut first, then written and synced; what is answered in between goes into the next one."""

DAG_FILE = """
    import datetime
    from pathlib import Path

    from airflow.sdk import DAG

    from airflow_provider_bedrock_llm.core.config import ParallelProcessingConfig
    from airflow_provider_bedrock_llm.operators.parallel import BedrockParallelOperator


    class WhereToldOperator(BedrockParallelOperator):
        \"\"\"Runs on the worker while a file is there, else in the triggerer.\"\"\"

        def execute(self, context):
            self.deferrable = not Path({on_worker!r}).exists()
            return super().execute(context)


    def enrich(operator=BedrockParallelOperator, **arguments):
        operator(
            task_id="enrich",
            source={source!r},
            id_column="id",
            prompt="Note this: {{{{ text }}}}",
            models=["amazon.nova-lite-v1:0"],
            parallel_config=ParallelProcessingConfig(max_concurrent_requests={in_flight}),
            **{{"retries": {retries}, "retry_delay": datetime.timedelta(seconds=1), **arguments}},
        )


    for dag_id, arguments in {{
        "on_triggerer": {{}},
        "on_worker": {{"deferrable": False}},
        "with_deadline": {{"execution_timeout": datetime.timedelta(seconds=6)}},
        "on_object_store": {{"work_dir": {object_store!r}}},
        "where_told": {{"operator": WhereToldOperator}},
    }}.items():
        with DAG(dag_id, schedule=None):
            enrich(**arguments)
"""

QUICK_TIMEOUTS = {
    # A dead triggerer's triggers are taken over when it has not reported for so long; Airflow's default is 30 s.
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
    # A dead worker's task is retried when it has not reported for so long; the default is 300 s.
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "10",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "2",
}


@dataclass(frozen=True)
class Workload:
    """Rows of one source, and how many of them are asked at once."""

    folder: Path
    rows: int
    in_flight: int
    retries: int = 3
    object_store: str = ""

    def write(self) -> Path:
        """The source and a folder with the DAG file; returns that folder."""
        lines = (json.dumps({"id": f"r{n}", "text": f"row {n}"}) + "\n" for n in range(self.rows))
        self.source.write_text("".join(lines))
        dags = self.folder / "dags"
        dags.mkdir()
        text = textwrap.dedent(DAG_FILE).format(
            source=str(self.source),
            in_flight=self.in_flight,
            retries=self.retries,
            object_store=self.object_store or None,
            on_worker=str(self.on_worker),
        )
        (dags / "interrupted.py").write_text(text)
        return dags

    @property
    def source(self) -> Path:
        return self.folder / "rows.jsonl"

    @property
    def on_worker(self) -> Path:
        """While this file is there, the DAG `where_told` runs its job on the worker."""
        return self.folder / "on_worker"

    @property
    def ids(self) -> list[str]:
        return [f"r{n}" for n in range(self.rows)]


class InterruptedRun:
    """One run of a DAG with one job, and means to watch and interrupt it."""

    def __init__(
        self,
        airflow: AirflowStack,
        endpoint: SpawnedEndpoint,
        workload: Workload,
        dag_id: str,
        *,
        folder: str | None = None,
    ) -> None:
        self.airflow = airflow
        self.endpoint = endpoint
        self.workload = workload
        self.dag_id = dag_id
        wait_until(lambda: endpoint.control.stats().in_flight == 0)
        self._paid_before = self._calls()
        self.run_id = airflow.trigger_dag(dag_id)
        root = (folder or str(workload.folder / "jobs")).rstrip("/")
        self.folder = open_location(f"{root}/{dag_id}/{self.run_id}/{TASK_ID}/-1", "work_dir")
        self._parts: dict[str, list[str]] = {}

    def _calls(self) -> int:
        stats = self.endpoint.control.stats()
        return stats.by_operation.get("Converse", 0) + stats.in_flight

    @property
    def calls(self) -> int:
        """Calls that reached the endpoint for this run, ended or not. No other run may be under way meanwhile."""
        return self._calls() - self._paid_before

    @property
    def paid(self) -> int:
        """The same without calls that the endpoint refused, which cost nothing."""
        refused = self.endpoint.control.stats().by_outcome.get("ExpiredTokenException", 0)
        return self.calls - refused

    @property
    def manifest(self) -> Manifest | None:
        return Manifest.load(self.folder)

    @property
    def kept_ids(self) -> list[str]:
        """The ids of all results in the folder; one that was kept twice is there twice."""
        place = self.folder.child("results")
        for name in place.names():
            if name not in self._parts:
                self._parts[name] = [json.loads(line)["id"] for line in place.child(name).read().splitlines()]
        return [record_id for ids in self._parts.values() for record_id in ids]

    @property
    def unkept(self) -> int:
        """Calls whose answers are not in the folder: in flight, not flushed yet, or lost before."""
        calls = self.calls  # counted first: what is answered meanwhile must not be missing
        return calls - len(self.kept_ids)

    @property
    def state(self) -> str | None:
        """Of the task."""
        return self.airflow.task_states(self.dag_id, self.run_id).get((TASK_ID, -1))

    def wait_until_kept(self, share: float) -> None:
        """Wait until a share of the rows is in the folder; and see to it that the job is not at its end."""
        wait_until(lambda: len(set(self.kept_ids)) >= share * self.workload.rows, 300)
        assert len(set(self.kept_ids)) < self.workload.rows, "the job had ended: nothing would be tested"

    @property
    def process(self) -> psutil.Process:
        """The process that runs the job: a task's own, or the child of a triggerer."""
        manifest = self.manifest
        assert manifest is not None
        return psutil.Process(int(manifest.runner["pid"]))

    @property
    def epoch(self) -> int:
        """How many runners the job has had."""
        manifest = self.manifest
        return manifest.epoch if manifest is not None else 0

    @property
    def session(self) -> int:
        """Of the process that runs the job; 0 where it is gone."""
        try:
            return os.getsid(self.process.pid)
        except (ProcessLookupError, psutil.NoSuchProcess):
            return 0

    @property
    def ended_since_flush(self) -> int:
        """Calls that ended since the newest part of the results was cut, as far as the endpoint's log goes."""
        place = self.folder.child("results")
        newest = max(Path(place.child(name).uri).stat().st_mtime for name in place.names())
        ended = [call["started_at"] + call["seconds"] for call in self.endpoint.control.calls(1_000)]
        return sum(at > newest - _CUT_TO_WRITTEN_SECONDS for at in ended)

    @property
    def triggerer(self) -> str:
        """The name of the triggerer that runs the job; empty where none does."""
        session = self.session
        return next((name for name in TRIGGERERS if self.airflow.pid(name) == session), "")

    def set_state(self, state: str) -> None:
        """Mark the task as somebody does in the UI."""
        self._task_instance("PATCH", {"new_state": state})

    def clear(self) -> None:
        """Clear the task as somebody does in the UI."""
        body = {"dry_run": False, "dag_run_id": self.run_id, "task_ids": [TASK_ID], "only_failed": False}
        self.airflow.rest("POST", f"/api/v2/dags/{self.dag_id}/clearTaskInstances", body)

    def set_run_state(self, state: str) -> None:
        self.airflow.rest("PATCH", f"/api/v2/dags/{self.dag_id}/dagRuns/{self.run_id}", {"state": state})

    def delete(self) -> None:
        self.airflow.rest("DELETE", f"/api/v2/dags/{self.dag_id}/dagRuns/{self.run_id}")

    def assert_stops(self, *, within_seconds: float = 15) -> None:
        """The job stops by itself and says so, and not one call follows."""
        wait_until(lambda: self._ended_as("stopped"), within_seconds)
        calls = self.calls
        time.sleep(3)
        assert self.calls == calls, "calls went on after the stop"
        assert calls < self.workload.rows, "the job had ended: nothing was tested"
        assert len(set(self.kept_ids)) == calls, "an answer that was paid is not kept"

    def _ended_as(self, state: str) -> bool:
        manifest = self.manifest
        return manifest is not None and manifest.state == state

    def assert_succeeds(self, *, lost: int, timeout_seconds: float = 120) -> None:
        """The run succeeds with an exact output, and at most so many calls more than rows."""
        state = self.airflow.wait_for_run(self.dag_id, self.run_id, timeout_seconds=timeout_seconds)
        assert state == "success", self.manifest and self.manifest.error
        self.assert_exact(lost=lost)

    def assert_exact(self, *, lost: int) -> None:
        records = [json.loads(line) for line in self.folder.child("output.jsonl").read().splitlines()]
        assert [record["id"] for record in records] == self.workload.ids
        assert [record for record in records if record["error"] is not None] == []
        wait_until(lambda: self.endpoint.control.stats().in_flight == 0)
        assert 0 <= self.paid - self.workload.rows <= lost

    def _task_instance(self, method: str, body: dict[str, Any]) -> None:
        path = f"/api/v2/dags/{self.dag_id}/dagRuns/{self.run_id}/taskInstances/{TASK_ID}"
        self.airflow.rest(method, path, body)


@contextmanager
def stopped(processes: list[psutil.Process]) -> Iterator[None]:
    """Processes stand still while the block lasts; those that ended meanwhile are left out."""
    _signal_all(processes, signal.SIGSTOP)
    try:
        yield
    finally:
        _signal_all(processes, signal.SIGCONT)


def _signal_all(processes: list[psutil.Process], signum: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signum)


def postgresql_processes(database_url: str) -> list[psutil.Process]:
    """The server of a database with all that it started."""
    import sqlalchemy as sa

    engine = sa.create_engine(database_url, poolclass=sa.pool.NullPool)
    with engine.connect() as connection:
        pid = connection.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()
        server = psutil.Process(pid).parent()
    engine.dispose()
    assert server is not None
    return [server, *server.children(recursive=True)]


def wait_until(is_so: Callable[[], bool], timeout_seconds: float = 120) -> None:
    deadline = time.monotonic() + timeout_seconds
    while not is_so():
        assert time.monotonic() < deadline, "it did not come in time"
        time.sleep(0.1)
