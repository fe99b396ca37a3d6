"""How batch jobs of the local endpoint behave: quotas, and a clock that runs faster than AWS's."""

from __future__ import annotations

from dataclasses import dataclass, fields

__all__ = ["BatchSettings"]


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """Quotas and pace of batch jobs.

    The quotas are those of most models in Service Quotas; AWS keeps them per model and region. `jobs_in_flight` counts
    per model. A job waits `queue_seconds` in Scheduled and takes `record_seconds` a record; `hour_seconds` is how long
    an hour of its timeout lasts here.
    """

    min_records: int = 100
    max_records: int = 50_000
    max_file_bytes: int = 1_000_000_000
    max_job_bytes: int = 5_000_000_000
    jobs_in_flight: int = 20
    queue_seconds: float = 0.0
    record_seconds: float = 0.0
    hour_seconds: float = 3600.0

    def __post_init__(self) -> None:
        for one in fields(self):
            if getattr(self, one.name) < 0:
                raise ValueError(f"{one.name}={getattr(self, one.name)} is below 0. Give a limit of 0 or more.")
