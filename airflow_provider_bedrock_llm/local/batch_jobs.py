"""The batch jobs of an endpoint: what each was asked to do, how it stands, and who may start another one."""

from __future__ import annotations

import secrets
import string
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from .batch_settings import BatchSettings
from .wire_errors import ErrorReply, Refused

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

    from .credentials import Caller
    from .models import Target

__all__ = ["ENDED", "BatchBook", "BatchJob"]

ENDED = frozenset({"Completed", "PartiallyCompleted", "Failed", "Stopped", "Expired"})
_ID_LETTERS = string.ascii_lowercase + string.digits
_ID_LENGTH = 12
_DEFAULT_HOURS = 24


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True, eq=False)
class BatchJob:
    """One job. `request` is the body of CreateModelInvocationJob."""

    arn: str
    request: Mapping[str, Any]
    caller: Caller
    target: Target
    status: str = "Submitted"
    message: str = ""
    submitted_at: datetime = field(default_factory=_now)
    modified_at: datetime = field(default_factory=_now)
    ended_at: datetime | None = None
    total: int | None = None
    processed: int = 0
    succeeded: int = 0
    failed: int = 0
    work: asyncio.Task[None] | None = None

    @property
    def job_id(self) -> str:
        return self.arn.rpartition("/")[2]

    @property
    def timeout_hours(self) -> int:
        return int(self.request.get("timeoutDurationInHours", _DEFAULT_HOURS))

    @property
    def is_stopping(self) -> bool:
        return self.status == "Stopping"

    def move_to(self, status: str, message: str = "") -> None:
        """A new status; one that was stopped goes only to its end."""
        if self.status in ENDED or (self.is_stopping and status not in ENDED):
            return
        self.status, self.message, self.modified_at = status, message, _now()
        if status in ENDED:
            self.ended_at = self.modified_at

    def count(self, *, succeeded: bool) -> None:
        self.processed += 1
        self.succeeded += succeeded
        self.failed += not succeeded

    def summary(self) -> dict[str, Any]:
        """As ListModelInvocationJobs tells it."""
        request = self.request
        told: dict[str, Any] = {
            "jobArn": self.arn,
            "jobName": request["jobName"],
            "modelId": request["modelId"],
            "clientRequestToken": request.get("clientRequestToken"),
            "roleArn": request["roleArn"],
            "status": self.status,
            "message": self.message or None,
            "submitTime": self.submitted_at.isoformat(),
            "lastModifiedTime": self.modified_at.isoformat(),
            "endTime": self.ended_at.isoformat() if self.ended_at else None,
            "inputDataConfig": request["inputDataConfig"],
            "outputDataConfig": request["outputDataConfig"],
            "vpcConfig": request.get("vpcConfig"),
            "timeoutDurationInHours": self.timeout_hours,
            "jobExpirationTime": None,
            "modelInvocationType": request.get("modelInvocationType", "InvokeModel"),
            "totalRecordCount": self.total,
            "processedRecordCount": self.processed if self.total is not None else None,
            "successRecordCount": self.succeeded if self.total is not None else None,
            "errorRecordCount": self.failed if self.total is not None else None,
        }
        return {name: value for name, value in told.items() if value is not None}


class BatchBook:
    """All jobs of an endpoint, and the tokens that they were asked for under."""

    def __init__(self) -> None:
        self.settings = BatchSettings()
        self._jobs: dict[str, BatchJob] = {}
        self._by_token: dict[tuple[str, str, str], BatchJob] = {}

    def reset(self) -> None:
        """No jobs; work that is under way ends."""
        for job in self._jobs.values():
            if job.work is not None:
                job.work.cancel()
        self._jobs.clear()
        self._by_token.clear()
        self.settings = BatchSettings()

    def create(self, request: Mapping[str, Any], caller: Caller, target: Target) -> tuple[BatchJob, bool]:
        """The job for a request and whether it is new: the same token with the same request names the same job."""
        token = request.get("clientRequestToken")
        key = (caller.account, caller.region, str(token))
        known = self._by_token.get(key) if token else None
        if known is not None:
            if known.request != request:
                text = "The client request token was used before with other parameters."
                raise Refused(ErrorReply("ConflictException", 400, text))
            return known, False
        self._check_quota(caller, target)
        job_id = "".join(secrets.choice(_ID_LETTERS) for _ in range(_ID_LENGTH))
        arn = f"arn:aws:bedrock:{caller.region}:{caller.account}:model-invocation-job/{job_id}"
        job = self._jobs[arn] = BatchJob(arn, request, caller, target)
        if token:
            self._by_token[key] = job
        return job, True

    def find(self, identifier: str, caller: Caller) -> BatchJob:
        for job in self._jobs.values():
            if identifier in {job.arn, job.job_id} and _is_seen_by(job, caller):
                return job
        raise Refused(ErrorReply("ResourceNotFoundException", 404, "The requested model invocation job is not found."))

    def seen_by(self, caller: Caller) -> list[BatchJob]:
        """The jobs of an account in a region, the latest first."""
        return [job for job in reversed(self._jobs.values()) if _is_seen_by(job, caller)]

    def report(self) -> list[dict[str, Any]]:
        """Every job, the oldest first, for the control address."""
        return [job.summary() for job in self._jobs.values()]

    def _check_quota(self, caller: Caller, target: Target) -> None:
        open_jobs = sum(
            job.status not in ENDED and job.target.model is target.model and _is_seen_by(job, caller)
            for job in self._jobs.values()
        )
        if open_jobs >= self.settings.jobs_in_flight:
            text = (
                "Your account has reached the limit for the sum of in-progress and submitted batch inference jobs "
                f"using {target.model.model_id}: {self.settings.jobs_in_flight}."
            )
            raise Refused(ErrorReply("ServiceQuotaExceededException", 400, text))


def _is_seen_by(job: BatchJob, caller: Caller) -> bool:
    return (job.caller.account, job.caller.region) == (caller.account, caller.region)
