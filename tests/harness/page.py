"""The page's server part behind Airflow's own authentication, and jobs in Airflow's database, without a server."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from harness.airflow_home import airflow_db

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Page", "airflow_db", "page", "put_job"]

_BUNDLE = "bundle-of-the-page"


@dataclass(frozen=True)
class Page:
    """Asks the page in the name of somebody.

    Attributes:
        root: the application that has the page mounted as Airflow mounts it.
        work_dir: where jobs are looked for.
    """

    root: Any
    work_dir: Path

    def client(self, role: str | None = "admin") -> Any:
        """A client; None for somebody who is not logged in, "" for a user without a role."""
        from airflow.api_fastapi.app import get_auth_manager
        from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
        from starlette.testclient import TestClient

        client = TestClient(self.root)
        if role is not None:
            user = SimpleAuthManagerUser(username=f"the {role or 'nobody'}", role=role or None, teams=[])
            client.cookies["_token"] = get_auth_manager().generate_jwt(user)
        return client

    def get(self, path: str, role: str | None = "admin") -> Any:
        """One question."""
        return self.client(role).get(f"/bedrock-llm/{path}")


@pytest.fixture
def page(airflow_db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    """The page, with a work_dir of its own and without any job."""
    work_dir = tmp_path / "jobs"
    monkeypatch.setenv("AIRFLOW__BEDROCK_LLM__WORK_DIR", work_dir.as_uri())
    monkeypatch.setenv("AIRFLOW__CORE__AUTH_MANAGER", "harness.per_dag_auth.PerDagAuthManager")
    monkeypatch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE", str(tmp_path / "passwords.json"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from airflow.api_fastapi.app import init_auth_manager, purge_cached_app
        from airflow.api_fastapi.core_api.app import init_middlewares
        from fastapi import FastAPI

        from airflow_provider_bedrock_llm.plugin.app import page_app

        purge_cached_app()
        _forget_jobs()
        root = FastAPI()
        init_auth_manager(root)
        root.mount("/bedrock-llm", page_app())
        init_middlewares(root)
        yield Page(root, work_dir)
        purge_cached_app()
    _forget_jobs()


def put_job(
    page: Page,
    dag_id: str,
    run_id: str = "run",
    task_id: str = "enrich",
    *,
    task_state: str | None = "success",
    changed_at: datetime | None = None,
    **manifest: Any,
) -> Path:
    """A task instance whose job's manifest says this; the job's folder."""
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    from airflow_provider_bedrock_llm.operators.links import JOB_URI_KEY

    with create_session() as session:
        run = _task_instance(session, dag_id, run_id, task_id, task_state)
        session.add(
            XComModel(
                dag_run_id=run.id,
                dag_id=dag_id,
                run_id=run_id,
                task_id=task_id,
                key=JOB_URI_KEY,
                value="a folder that nobody reads",
                timestamp=changed_at or datetime.now(UTC),
            )
        )
    folder = page.work_dir / dag_id / run_id / task_id / "-1"
    if manifest:
        folder.mkdir(parents=True)
        written = {"state": "succeeded", "counts": {"total": 2, "done": 2, "failed": 0}, **manifest}
        (folder / "manifest.json").write_text(json.dumps(written))
    return folder


def _task_instance(session: Any, dag_id: str, run_id: str, task_id: str, state: str | None) -> Any:
    import uuid

    from airflow.models.dag import DagModel
    from airflow.models.dag_version import DagVersion
    from airflow.models.dagbundle import DagBundleModel
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import insert

    if session.get(DagBundleModel, _BUNDLE) is None:
        session.add(DagBundleModel(name=_BUNDLE))
        session.flush()
    if session.get(DagModel, dag_id) is None:
        session.add(DagModel(dag_id=dag_id, bundle_name=_BUNDLE))
        session.flush()
        session.add(DagVersion(dag_id=dag_id, version_number=1, bundle_name=_BUNDLE))
        session.flush()
    run = DagRun(dag_id=dag_id, run_id=run_id, run_type="manual", state="running", run_after=datetime.now(UTC))
    session.add(run)
    session.flush()
    version = session.query(DagVersion).filter_by(dag_id=dag_id).one()
    session.execute(
        insert(TaskInstance.__table__).values(
            id=uuid.uuid4(),
            dag_id=dag_id,
            run_id=run_id,
            task_id=task_id,
            map_index=-1,
            state=state,
            dag_version_id=version.id,
            pool="default_pool",
            pool_slots=1,
            max_tries=0,
            try_number=1,
            hostname="",
            priority_weight=1,
            queue="default",
            executor_config={},
        )
    )
    return run


def _forget_jobs() -> None:
    """Ours, and the jobs that other tests ran in the same database."""
    from airflow.models.dag import DagModel
    from airflow.models.dagrun import DagRun
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import delete, select

    from airflow_provider_bedrock_llm.operators.links import JOB_URI_KEY

    ours = select(DagModel.dag_id).where(DagModel.bundle_name == _BUNDLE)
    with create_session() as session:
        session.execute(delete(XComModel).where(XComModel.key == JOB_URI_KEY))
        session.execute(delete(DagRun).where(DagRun.dag_id.in_(ours)))
        session.execute(delete(DagModel).where(DagModel.bundle_name == _BUNDLE))
