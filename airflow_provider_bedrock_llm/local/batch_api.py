"""CreateModelInvocationJob, GetModelInvocationJob, ListModelInvocationJobs and StopModelInvocationJob."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, unquote

from .batch_jobs import ENDED
from .batch_work import BatchWork
from .catalog_api import page_of
from .service_model import Check, compile_shape, load_service, refuse
from .wire import read_json
from .wire_errors import ErrorReply, Refused, validation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .batch_jobs import BatchJob
    from .credentials import Caller
    from .runtime import Runtime
    from .state import EndpointState

__all__ = ["BatchApi", "BatchRoute"]

_ONE, _MANY = "/model-invocation-job", "/model-invocation-jobs"
_NUMBERS = frozenset({"maxResults"})


class BatchRoute(NamedTuple):
    """An operation, and the job that its path names."""

    operation: str
    identifier: str


class BatchApi:
    """Serves batch jobs from an endpoint's state."""

    def __init__(self, state: EndpointState, runtime: Runtime) -> None:
        self._state = state
        self._work = BatchWork(state, runtime)
        service = load_service("bedrock")
        names = ("Create", "Get", "List", "Stop")
        self._checks: dict[str, Check] = {}
        for name in names:
            operation = f"{name}ModelInvocationJob{'s' if name == 'List' else ''}"
            shape: Any = service.operation_model(operation).input_shape
            self._checks[operation] = compile_shape(shape)

    @staticmethod
    def route(method: str, path: str) -> BatchRoute | None:
        """The operation that a method and raw path mean, if it is one of these."""
        if (method, path) == ("POST", _ONE):
            return BatchRoute("CreateModelInvocationJob", "")
        if (method, path) == ("GET", _MANY):
            return BatchRoute("ListModelInvocationJobs", "")
        if path.startswith(f"{_ONE}/"):
            identifier = unquote(path.removeprefix(f"{_ONE}/"))
            if method == "GET":
                return BatchRoute("GetModelInvocationJob", identifier)
            if method == "POST" and identifier.endswith("/stop"):
                return BatchRoute("StopModelInvocationJob", identifier.removesuffix("/stop"))
        return None

    def serve(self, route: BatchRoute, query: str, raw: bytes, caller: Caller) -> dict[str, Any]:
        """The reply's body; Refused for what AWS refuses."""
        arguments = read_json(raw) if raw else {}
        if route.identifier:
            arguments["jobIdentifier"] = route.identifier
        for key, values in parse_qs(query).items():
            number = key in _NUMBERS and values[-1].isdigit()
            arguments[key] = int(values[-1]) if number else values[-1]
        wrong = self._checks[route.operation](arguments)
        if wrong:
            raise refuse(wrong)
        if route.operation == "CreateModelInvocationJob":
            return self._create(arguments, caller)
        if route.operation == "ListModelInvocationJobs":
            return self._list(arguments, caller)
        job = self._state.batch.find(route.identifier, caller)
        return job.summary() if route.operation == "GetModelInvocationJob" else _stop(job)

    def _create(self, request: dict[str, Any], caller: Caller) -> dict[str, Any]:
        target = self._state.models.resolve(request["modelId"], caller.region)
        if target.model.embedding and request.get("modelInvocationType") == "Converse":
            raise validation("The provided model does not support the Converse invocation type.")
        job, is_new = self._state.batch.create(request, caller, target)
        if is_new:
            job.work = asyncio.get_running_loop().create_task(self._work.do(job))
        return {"jobArn": job.arn}

    def _list(self, arguments: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
        found = [job for job in self._state.batch.seen_by(caller) if _fits(job, arguments)]
        if arguments.get("sortOrder") == "Ascending":
            found.reverse()
        jobs, token = page_of([job.summary() for job in found], arguments)
        return {"invocationJobSummaries": jobs, **({"nextToken": token} if token else {})}


def _fits(job: BatchJob, asked: Mapping[str, Any]) -> bool:
    after, before = asked.get("submitTimeAfter"), asked.get("submitTimeBefore")
    return (
        asked.get("nameContains", "") in job.request["jobName"]
        and asked.get("statusEquals", job.status) == job.status
        and (after is None or job.submitted_at > _time(after))
        and (before is None or job.submitted_at < _time(before))
    )


def _time(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise validation(f"{text} is not a timestamp.") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _stop(job: BatchJob) -> dict[str, Any]:
    if job.status in ENDED:
        text = f"The model invocation job is {job.status} and cannot be stopped."
        raise Refused(ErrorReply("ConflictException", 400, text))
    job.move_to("Stopping")
    return {}
