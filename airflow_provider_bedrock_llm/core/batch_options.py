"""What a batch job needs beyond its records, as a value for job.json."""

from __future__ import annotations

import re
from dataclasses import field
from typing import Any

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from airflow_provider_bedrock_llm.core.batch_plan import BatchLimits
from airflow_provider_bedrock_llm.core.errors import ConfigurationError

__all__ = ["BatchOptions"]

_ROLE = re.compile(r"arn:aws(-[^:]+)?:iam::[0-9]{12}:role/.+")
_PLACE = re.compile(r"s3://[a-z0-9][-.a-z0-9]{1,61}[a-z0-9](/[-!_*'().a-z0-9A-Z]+)*/?")
_LEAST_HOURS, _MOST_HOURS = 24, 168
_ROLE_HELP = (
    "Give `batch_role_arn`, or the extra of that name in the connection: an IAM role that Bedrock may assume, and that "
    "may read and write the S3 place (AWS's guide: Create a service role for batch inference)"
)
_PLACE_HELP = (
    "Give `batch_s3_uri`, or the extra of that name in the connection: a folder s3://bucket/prefix in the region of "
    "the job, that both the role and the connection's credentials can read and write"
)


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class BatchOptions:
    """Where and how batch jobs run.

    Args:
        role_arn: the service role that Bedrock takes on to read and write S3.
        s3_uri: the folder in S3 for inputs and outputs.
        timeout_hours: after so many hours AWS ends a job, 24 to 168; what it has by then lands.
        finish_on_demand: ask on demand for the records that the job failed, left out or answered with something
            invalid. Otherwise they end as failed rows.
        limits: the account's quotas for the model.
        first_poll_seconds: how long to wait before the first look at a job; each further wait is longer.
        longest_poll_seconds: the longest wait.

    Raises:
        ConfigurationError: the role or the place is missing or malformed, or a time is out of range.
    """

    role_arn: str = ""
    s3_uri: str = ""
    timeout_hours: int = _LEAST_HOURS
    finish_on_demand: bool = True
    limits: BatchLimits = field(default_factory=BatchLimits)
    first_poll_seconds: float = 20.0
    longest_poll_seconds: float = 300.0

    def __post_init__(self) -> None:
        if not _ROLE.fullmatch(self.role_arn):
            raise ConfigurationError(f"A batch job needs a role, and batch_role_arn={self.role_arn!r}. {_ROLE_HELP}.")
        if not _PLACE.fullmatch(self.s3_uri):
            raise ConfigurationError(
                f"A batch job needs a place in S3, and batch_s3_uri={self.s3_uri!r}. {_PLACE_HELP}."
            )
        if not _LEAST_HOURS <= self.timeout_hours <= _MOST_HOURS:
            raise ConfigurationError(
                f"timeout_hours={self.timeout_hours} is not what AWS takes. Give {_LEAST_HOURS} to {_MOST_HOURS}."
            )
        if not 0 < self.first_poll_seconds <= self.longest_poll_seconds:
            raise ConfigurationError(
                f"first_poll_seconds={self.first_poll_seconds} is not above 0 and at most longest_poll_seconds="
                f"{self.longest_poll_seconds}. Give waits that grow."
            )

    def request(self, *, model_id: str, name: str, token: str, input_uri: str, output_uri: str) -> dict[str, Any]:
        """The parameters of CreateModelInvocationJob for one input file of Converse records."""
        return {
            "jobName": name,
            "roleArn": self.role_arn,
            "clientRequestToken": token,
            "modelId": model_id,
            "modelInvocationType": "Converse",
            "inputDataConfig": {"s3InputDataConfig": {"s3InputFormat": "JSONL", "s3Uri": input_uri}},
            "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": output_uri}},
            "timeoutDurationInHours": self.timeout_hours,
        }
