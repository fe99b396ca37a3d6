"""Which task instances have a job, asked from Airflow's database: newest first, a page at a time.

The folders are not listed for that: in object storage it would take a call per run. Every task with a job has the XCom
`JOB_URI_KEY` from the job's start, and Airflow has an index on XCom keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.utils.state import TaskInstanceState
from sqlalchemy import and_, func, select

from airflow_provider_bedrock_llm.operators.job_description import run_folder
from airflow_provider_bedrock_llm.operators.links import JOB_URI_KEY

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from sqlalchemy.orm import Session

__all__ = ["ENDED_STATES", "JobInstance", "JobKey", "find_instances"]

ENDED_STATES = frozenset(
    {
        TaskInstanceState.SUCCESS,
        TaskInstanceState.FAILED,
        TaskInstanceState.SKIPPED,
        TaskInstanceState.UPSTREAM_FAILED,
        TaskInstanceState.REMOVED,
    }
)


@dataclass(frozen=True, slots=True)
class JobKey:
    """Names a job as its folder does.

    Raises:
        ValueError: a part could lead out of the work_dir.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1

    def __post_init__(self) -> None:
        for part in (self.dag_id, self.run_id, self.task_id):
            if part in {"", ".", "..", "~"} or any(sign in part for sign in "/\\\0%?#"):
                raise ValueError(f"{part!r} names no folder of a job")

    @classmethod
    def of(cls, dag_id: str, run_id: str, task_id: str, map_index: int) -> Self:
        """From Airflow's names; the folder of a run is not always called as the run is."""
        return cls(dag_id, run_folder(run_id), task_id, map_index)

    def folder_in(self, work_dir: str) -> str:
        """The URI of the job's folder."""
        return "/".join([work_dir.rstrip("/"), self.dag_id, self.run_id, self.task_id, str(self.map_index)])


@dataclass(frozen=True, slots=True)
class JobInstance:
    """A task instance that has a job.

    Attributes:
        key: names the job.
        run_id: as Airflow writes it.
        task_state: as Airflow sees the task; None for one that was cleared.
        changed_at: when the job last began.
    """

    key: JobKey
    run_id: str
    task_state: str | None
    changed_at: datetime

    @property
    def has_ended(self) -> bool:
        """Whether nothing happens to the job until the task is started anew, which changes `changed_at`."""
        return self.task_state in ENDED_STATES


def find_instances(
    session: Session,
    dag_ids: Collection[str],
    *,
    dag_id: str | None = None,
    since: datetime | None = None,
    running: bool = False,
    limit: int,
    offset: int = 0,
) -> tuple[list[JobInstance], int]:
    """The newest task instances with a job, and how many there are.

    Args:
        session: of Airflow's database.
        dag_ids: the DAGs that the user may read.
        dag_id: of one DAG only.
        since: not those that last began before.
        running: only those that have not ended.
        limit: how many.
        offset: how many to pass over.
    """
    same = [
        getattr(XComModel, column) == getattr(TaskInstance, column)
        for column in ("dag_id", "run_id", "task_id", "map_index")
    ]
    wanted = [XComModel.key == JOB_URI_KEY, XComModel.dag_id.in_(dag_ids)]
    if dag_id:
        wanted.append(XComModel.dag_id == dag_id)
    if since:
        wanted.append(XComModel.timestamp >= since)
    if running:
        wanted.append(TaskInstance.state.is_(None) | TaskInstance.state.not_in(ENDED_STATES))
    columns = (XComModel.dag_id, XComModel.run_id, XComModel.task_id, XComModel.map_index)
    found = select(*columns, TaskInstance.state, XComModel.timestamp).join(TaskInstance, and_(*same)).where(*wanted)
    total = session.scalar(select(func.count()).select_from(found.subquery())) or 0
    newest = found.order_by(XComModel.timestamp.desc(), *columns).limit(limit).offset(offset)
    return [
        JobInstance(JobKey.of(dag, run, task, index), run, state, changed_at)
        for dag, run, task, index, state, changed_at in session.execute(newest)
    ], total
