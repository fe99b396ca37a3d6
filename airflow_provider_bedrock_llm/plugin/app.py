"""The page's server part: an application that Airflow mounts at `/bedrock-llm`.

Airflow puts no authentication on mounted applications, so each route here asks for what Airflow's own page of the same
data asks for. Prompts and answers may stand in errors and samples of failed records, which need the right to read the
task's log. The catalog needs the right to see Airflow's page of providers, since it is what a provider knows.
"""

from __future__ import annotations

import hashlib
import mimetypes
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Annotated, Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import AccessView, DagAccessEntity
from airflow.api_fastapi.common.db.common import SessionDep  # noqa: TC002 - FastAPI reads the annotations
from airflow.api_fastapi.core_api.security import (
    GetUserDep,
    requires_access_connection,
    requires_access_dag,
    requires_access_view,
    requires_authenticated,
)
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Path, Query, Request, Response

from airflow_provider_bedrock_llm.plugin.connections import check_connection, list_connections, tests_are_enabled
from airflow_provider_bedrock_llm.plugin.instances import JobKey, find_instances
from airflow_provider_bedrock_llm.plugin.manifests import Manifests
from airflow_provider_bedrock_llm.plugin.models import list_models
from airflow_provider_bedrock_llm.plugin.reports import failed_records, job_details, job_row, spend

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from airflow_provider_bedrock_llm.plugin.manifests import Found

__all__ = ["page_app"]

_PAGES = ("", "job", "costs", "models", "connections")
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    ),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
_MOST_JOBS_IN_A_SUM = 2000
_JOB = "/api/jobs/{dag_id}/{run_id}/{task_id}/{map_index}"

router = APIRouter()
manifests = Manifests()


@cache
def page_app() -> FastAPI:
    """The application. Every route wants a user; without one the answer is 401."""
    app = FastAPI(
        title="Bedrock LLM",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        dependencies=[Depends(requires_authenticated())],
    )
    app.include_router(router)
    app.middleware("http")(_with_headers)
    return app


async def _with_headers(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await call_next(request)
    response.headers.update(_HEADERS)
    response.headers.setdefault("Cache-Control", "no-store")
    return response


@cache
def _static() -> Mapping[str, tuple[bytes, str, str]]:
    """The page's files: content, media type, entity tag. Nothing else is ever served as a file."""
    folder = files(__package__) / "static"
    return {
        place.name: (
            content := place.read_bytes(),
            mimetypes.guess_type(place.name)[0] or "application/octet-stream",
            f'"{hashlib.sha256(content).hexdigest()[:20]}"',
        )
        for place in folder.iterdir()
    }


def _file(name: str, request: Request) -> Response:
    if name not in _static():
        raise HTTPException(404, "There is no such file.")
    content, media_type, tag = _static()[name]
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=media_type, headers=headers)


async def _page(request: Request) -> Response:
    return _file("index.html", request)


for _name in _PAGES:
    router.add_api_route(f"/{_name}", _page)


@router.get("/static/{name}")
async def static_file(name: str, request: Request) -> Response:
    """Scripts, style and icons."""
    return _file(name, request)


_reads_task_instances = Depends(requires_access_dag("GET", DagAccessEntity.TASK_INSTANCE))
_reads_task_logs = Depends(requires_access_dag("GET", DagAccessEntity.TASK_LOGS))


@router.get("/api/jobs", dependencies=[_reads_task_instances])
def jobs(
    user: GetUserDep,
    session: SessionDep,
    dag_id: str | None = None,
    running: bool = False,
    limit: Annotated[int, Query(ge=1, le=100)] = 25,
    offset: Annotated[int, Query(ge=0)] = 0,
) -> dict[str, Any]:
    """The newest jobs, of DAGs that the user may read."""
    dag_ids = get_auth_manager().get_authorized_dag_ids(user=user)
    found, total = find_instances(session, dag_ids, dag_id=dag_id, running=running, limit=limit, offset=offset)
    looks = manifests.read_all(found)
    return {
        "jobs": [job_row(*pair) for pair in zip(found, looks, strict=True)],
        "total": total,
        "problems": _problems(looks),
    }


def _key(dag_id: str, run_id: str, task_id: str, map_index: Annotated[int, Path(ge=-1)]) -> JobKey:
    try:
        return JobKey(dag_id, run_id, task_id, map_index)
    except ValueError as error:
        raise HTTPException(404, str(error)) from error


_JobKeyDep = Annotated[JobKey, Depends(_key)]


@router.get(_JOB, dependencies=[_reads_task_instances])
def job(key: _JobKeyDep) -> dict[str, Any]:
    """How a job stands."""
    return job_details(_manifest(key))


@router.get(f"{_JOB}/failed", dependencies=[_reads_task_logs])
def failed(key: _JobKeyDep) -> dict[str, Any]:
    """Why a job failed, and some of the records that did."""
    return failed_records(_manifest(key))


def _manifest(key: JobKey) -> Mapping[str, Any]:
    found = manifests.look(key)
    if found.manifest is None:
        raise HTTPException(
            404,
            found.problem
            or "No enrichment job of this task is in [bedrock_llm] work_dir. Where the task has a work_dir of its own, "
            "name that in [bedrock_llm] work_dirs as well.",
        )
    return found.manifest


@router.get("/api/costs", dependencies=[_reads_task_instances])
def costs(user: GetUserDep, session: SessionDep, days: Annotated[int, Query(ge=1, le=366)] = 30) -> dict[str, Any]:
    """What jobs cost by DAG, task and day, of DAGs that the user may read."""
    dag_ids = get_auth_manager().get_authorized_dag_ids(user=user)
    since = datetime.now(UTC) - timedelta(days=days)
    found, total = find_instances(session, dag_ids, since=since, limit=_MOST_JOBS_IN_A_SUM)
    looks = manifests.read_all(found)
    return {
        "days": days,
        "rows": spend(zip(found, looks, strict=True)),
        "jobs": len(found),
        "left_out": total - len(found),
        "problems": _problems(looks),
    }


def _problems(looks: list[Found]) -> list[str]:
    return sorted({found.problem for found in looks if found.problem})


@router.get("/api/models", dependencies=[Depends(requires_access_view(AccessView.PROVIDERS))])
def models() -> dict[str, Any]:
    """The model catalog."""
    return list_models()


@router.get("/api/connections", dependencies=[Depends(requires_access_connection("GET"))])
def connections(user: GetUserDep, session: SessionDep) -> dict[str, Any]:
    """The connections that the user may read."""
    conn_ids = get_auth_manager().get_authorized_connections(user=user)
    return {"connections": list_connections(session, conn_ids), "can_check": tests_are_enabled()}


@router.post("/api/connections/{connection_id}/check", dependencies=[Depends(requires_access_connection("PUT"))])
def check(connection_id: str, session: SessionDep) -> dict[str, Any]:
    """Test a connection as it is stored."""
    if not tests_are_enabled():
        raise HTTPException(
            403,
            "[core] test_connection does not let the API server test connections. "
            f"Run: airflow bedrock-llm check --conn-id {connection_id}",
        )
    if not list_connections(session, [connection_id]):
        raise HTTPException(404, f"There is no connection {connection_id!r} of type Amazon Bedrock LLM.")
    works, text = check_connection(connection_id)
    return {"works": works, "text": text}
