"""Batch jobs, decided: how records are cut into jobs, what a job is called, when to look again, what its end means."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass as pydantic_dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "BatchLimits",
    "Chunk",
    "ChunkState",
    "JobView",
    "Slice",
    "job_name",
    "plan_slices",
    "poll_seconds",
    "record_id",
    "record_number",
    "request_token",
]

_ID_DIGITS = 10
_POLL_GROWTH = 1.5
_ENDED = frozenset({"Completed", "PartiallyCompleted", "Failed", "Stopped", "Expired"})


@pydantic_dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class BatchLimits:
    """The quotas of batch jobs. AWS keeps them per model and region (Service Quotas, Amazon Bedrock); these defaults
    are the lowest in AWS's own samples, so a job is never refused for its size where they hold.

    Args:
        min_records: a job with fewer fails its validation.
        max_records: a job with more does.
        max_file_bytes: the largest input file; a job here has one.
        jobs_in_flight: jobs of one model that may be submitted and not ended.
    """

    min_records: int = 100
    max_records: int = 50_000
    max_file_bytes: int = 200_000_000
    jobs_in_flight: int = 20

    def __post_init__(self) -> None:
        for one in fields(self):
            if getattr(self, one.name) < 1:
                raise ValueError(f"{one.name}={getattr(self, one.name)} is below 1. Give the quota of the account.")
        if self.min_records > self.max_records:
            raise ValueError(
                f"min_records={self.min_records} is above max_records={self.max_records}. "
                "Give both as Service Quotas has them."
            )


@dataclass(frozen=True, slots=True)
class Slice:
    """Neighbouring records that make one job.

    Args:
        start: number of the first record.
        stop: number behind the last one.
        size_bytes: of their lines.
    """

    start: int
    stop: int
    size_bytes: int

    @property
    def records(self) -> int:
        """How many there are."""
        return self.stop - self.start


def plan_slices(sizes_bytes: Sequence[int], limits: BatchLimits) -> list[Slice]:
    """Cut records into jobs, in order, as few as the limits allow.

    Args:
        sizes_bytes: of each record's line.
        limits: of a job.

    Returns:
        The slices that are jobs. Records that are in none are too few for a job of their own, or larger than a file
        may be; they are for on-demand calls.
    """
    slices: list[Slice] = []
    start = size = 0
    for number, record_bytes in enumerate(sizes_bytes):
        is_full = number - start == limits.max_records or size + record_bytes > limits.max_file_bytes
        if is_full and number > start:
            slices.append(Slice(start, number, size))
            start, size = number, 0
        size += record_bytes
    if len(sizes_bytes) > start:
        slices.append(Slice(start, len(sizes_bytes), size))
    if len(slices) > 1 and slices[-1].records < limits.min_records:
        halves = _halves(slices[-2], slices[-1], sizes_bytes)
        if all(_is_job(half, limits) for half in halves):
            slices[-2:] = halves
    return [one for one in slices if _is_job(one, limits)]


def _halves(before: Slice, last: Slice, sizes_bytes: Sequence[int]) -> list[Slice]:
    """Two slices of half the records each: a small rest joins a job that has more than it needs."""
    middle = (before.start + last.stop) // 2
    left = sum(sizes_bytes[before.start : middle])
    return [
        Slice(before.start, middle, left),
        Slice(middle, last.stop, before.size_bytes + last.size_bytes - left),
    ]


def _is_job(one: Slice, limits: BatchLimits) -> bool:
    return limits.min_records <= one.records <= limits.max_records and one.size_bytes <= limits.max_file_bytes


def record_id(number: int) -> str:
    """The `recordId` of a record: eleven letters and digits, as AWS's documents show them."""
    return f"R{number:0{_ID_DIGITS}}"


def record_number(given: Any) -> int | None:
    """The reverse of `record_id`; None where it is none of ours."""
    if not isinstance(given, str) or not given.startswith("R") or not given[1:].isdecimal():
        return None
    return int(given[1:])


def request_token(job_uri: str, chunk: str, fingerprint: str) -> str:
    """The `clientRequestToken` of a chunk: whoever submits the same records of the same job names the same AWS job."""
    return hashlib.sha256(f"{job_uri}\n{chunk}\n{fingerprint}".encode()).hexdigest()


def job_name(job_uri: str, chunk: str, token: str = "") -> str:
    """What the AWS job is called: at most 63 letters, digits and hyphens. Without a token, what all names begin with.

    Args:
        job_uri: the enrichment job's folder.
        chunk: the chunk's name, "" for all.
        token: the chunk's `clientRequestToken`.
    """
    head = f"airflow-llm-{hashlib.sha256(job_uri.encode()).hexdigest()[:16]}"
    return "-".join(part for part in (head, chunk, token[:8]) if part)


def poll_seconds(looks: int, first_seconds: float, longest_seconds: float) -> float:
    """How long to wait before the next look at a job, longer each time.

    Args:
        looks: how many there were.
        first_seconds: before the first.
        longest_seconds: the most.
    """
    exponent = min(looks, 64)
    return float(min(longest_seconds, first_seconds * _POLL_GROWTH**exponent))


@dataclass(frozen=True, slots=True)
class JobView:
    """What AWS says of one of its jobs.

    Args:
        arn: of the job.
        name: of the job.
        status: such as `InProgress`.
        message: why it failed, and the like.
        total: records in the input; None until they were counted.
        processed: records that have an outcome.
    """

    arn: str
    name: str
    status: str
    message: str = ""
    total: int | None = None
    processed: int = 0

    @classmethod
    def from_wire(cls, raw: Mapping[str, Any]) -> Self:
        """Read a reply of GetModelInvocationJob, or a summary of ListModelInvocationJobs."""
        return cls(
            arn=raw["jobArn"],
            name=raw.get("jobName", ""),
            status=raw.get("status", "Submitted"),
            message=raw.get("message") or "",
            total=raw.get("totalRecordCount"),
            processed=raw.get("processedRecordCount") or 0,
        )

    @property
    def has_ended(self) -> bool:
        """Whether nothing more comes of it."""
        return self.status in _ENDED


class ChunkState(StrEnum):
    """Where a chunk stands. It goes forward only."""

    PLANNED = "planned"
    """Its input is in S3; nobody was asked for anything."""
    INTENDED = "intended"
    """AWS may have been asked for a job: by its token, and by its name, it can be found out."""
    SUBMITTED = "submitted"
    """AWS has a job, and its ARN is known."""
    LANDED = "landed"
    """What came of it is in the journal."""
    DROPPED = "dropped"
    """It is not going to be submitted: its records are planned anew."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """One AWS job of an enrichment job.

    Args:
        name: unique in the job: round and number.
        records: how many.
        first: number of its first record.
        size_bytes: of its input.
        token: the `clientRequestToken`.
        job_name: what the AWS job is called.
        input_uri: the input in S3.
        output_uri: the folder in S3 that the output goes under.
        records_name: the file beside this one that says whose records they are.
        state: where it stands.
        arn: of the AWS job.
        status: the last one seen.
    """

    name: str
    records: int
    first: int
    size_bytes: int
    token: str
    job_name: str
    input_uri: str
    output_uri: str
    records_name: str
    state: ChunkState = ChunkState.PLANNED
    arn: str | None = None
    status: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether something is still to be done about it."""
        return self.state not in {ChunkState.LANDED, ChunkState.DROPPED}

    def intended(self) -> Chunk:
        """AWS is about to be asked."""
        return self if self.state is ChunkState.SUBMITTED else replace(self, state=ChunkState.INTENDED)

    def submitted(self, arn: str) -> Chunk:
        """AWS has a job."""
        return replace(self, state=ChunkState.SUBMITTED, arn=arn)

    def landed(self, status: str) -> Chunk:
        """The journal has what came of it."""
        return replace(self, state=ChunkState.LANDED, status=status)

    def dropped(self) -> Chunk:
        """It is given up before AWS has a job."""
        if self.arn is not None:
            raise ValueError(f"The chunk {self.name} has the job {self.arn}. Land it, do not drop it.")
        return replace(self, state=ChunkState.DROPPED)
