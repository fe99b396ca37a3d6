"""The calls of batch jobs: create, look, find, stop. Each makes one attempt and gives a value or a `Failure`."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.aws.failures import EXPECTED, failure_from
from airflow_provider_bedrock_llm.core.batch_plan import JobView
from airflow_provider_bedrock_llm.core.transport import Failure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_bedrock_llm.aws.clients import Clients

__all__ = ["BatchJobs"]

_SERVICE = "bedrock"
_PAGE = 1000


class BatchJobs:
    """Batch jobs of an account in one region.

    Args:
        clients: for threads, which is where the few calls of a job are made.
        region: where the jobs run.
    """

    def __init__(self, clients: Clients, region: str) -> None:
        self._clients = clients
        self._region = region

    async def create(self, request: Mapping[str, Any]) -> str | Failure:
        """Ask for a job; the same `clientRequestToken` gives the same job.

        Returns:
            Its ARN.
        """
        reply = await self._call("create_model_invocation_job", request)
        return reply if isinstance(reply, Failure) else str(reply["jobArn"])

    async def look(self, arn: str) -> JobView | Failure:
        """How a job stands."""
        reply = await self._call("get_model_invocation_job", {"jobIdentifier": arn})
        return reply if isinstance(reply, Failure) else JobView.from_wire(reply)

    async def stop(self, arn: str) -> Failure | None:
        """End a job; what it has answered is kept and billed."""
        reply = await self._call("stop_model_invocation_job", {"jobIdentifier": arn})
        return reply if isinstance(reply, Failure) else None

    async def find(self, name: str) -> list[JobView] | Failure:
        """The jobs whose names contain this."""
        found: list[JobView] = []
        token: str | None = None
        while True:
            page: dict[str, Any] = {"nextToken": token} if token else {}
            reply = await self._call("list_model_invocation_jobs", {"nameContains": name, "maxResults": _PAGE, **page})
            if isinstance(reply, Failure):
                return reply
            found += [JobView.from_wire(one) for one in reply.get("invocationJobSummaries", ())]
            token = reply.get("nextToken")
            if not token:
                return found

    async def close(self) -> None:
        """Close every connection."""
        await asyncio.to_thread(lambda: self._client().close())

    def _client(self) -> Any:
        return self._clients.engine_client(_SERVICE, self._region)

    async def _call(self, operation: str, arguments: Mapping[str, Any]) -> dict[str, Any] | Failure:
        return await asyncio.to_thread(self._call_in_thread, operation, arguments)

    def _call_in_thread(self, operation: str, arguments: Mapping[str, Any]) -> dict[str, Any] | Failure:
        started = time.monotonic()
        try:
            reply: dict[str, Any] = getattr(self._client(), operation)(**arguments)
        except EXPECTED as error:
            failure = failure_from(error, time.monotonic() - started)
            if failure.code in {"ExpiredTokenException", "ExpiredToken"}:
                self._clients.renew()
            return failure
        return reply
