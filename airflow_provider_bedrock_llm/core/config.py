"""Settings: small frozen values, validated when they are made.

A wrong value raises `ValueError` (pydantic's `ValidationError` is one) that names the field and the value.
Names and defaults come from the seeds; fields that the seeds lack say so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping  # noqa: TC003 - pydantic reads the annotations
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

from airflow_provider_bedrock_llm.core.errors import ConfigurationError
from airflow_provider_bedrock_llm.core.features import DROPPABLE_FEATURES, is_droppable, unknown_features

if TYPE_CHECKING:
    from botocore.config import Config

__all__ = [
    "Boto3Config",
    "FailureHandlingStrategy",
    "LoadBalancingStrategy",
    "ParallelProcessingConfig",
    "RegionOrder",
    "ResponseValidationConfig",
    "RetryConfig",
    "RetryStrategy",
    "ValidationResult",
]

_STRICT = ConfigDict(strict=True, extra="forbid", arbitrary_types_allowed=True)

PositiveSeconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
PositiveCount = Annotated[int, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]
AccessMethodName = Literal["direct", "regional_profile", "global_profile"]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


def _check_features(names: tuple[str, ...]) -> tuple[str, ...]:
    if unknown := unknown_features(names):
        raise ValueError(
            f"{', '.join(unknown)} cannot be dropped. Name some of {', '.join(sorted(DROPPABLE_FEATURES))}, or "
            "additionalModelRequestFields.<member> for one of its members; a guardrail is never dropped."
        )
    return names


FeatureNames = Annotated[tuple[str, ...], AfterValidator(_check_features)]


@dataclass(frozen=True, config=_STRICT)
class Boto3Config:
    """How the AWS clients talk to the network. Seed 000; a model may think for minutes, so reads are patient.

    Args:
        read_timeout: seconds to wait for an answer after a request was sent.
        connect_timeout: seconds to wait for a connection.
        max_pool_connections: connections kept per client. Parallel work raises it to what it needs.
        retries_max_attempts: retries (not attempts) of botocore itself, for clients that the engine does not
            drive: control plane, STS, S3. Engine calls are retried by the engine alone.
    """

    read_timeout: PositiveSeconds = 600
    connect_timeout: PositiveSeconds = 60
    max_pool_connections: PositiveCount = 10
    retries_max_attempts: Count = 3

    def to_botocore_config(self) -> Config:
        """The same settings as a `botocore.config.Config`.

        Raises:
            ConfigurationError: boto3 is not installed.
        """
        try:
            from botocore.config import Config  # noqa: PLC0415 - the core runs without boto
        except ImportError as error:
            msg = "Calling Amazon Bedrock needs boto3, which is not installed. Install it with `pip install boto3`."
            raise ConfigurationError(msg) from error
        return Config(
            read_timeout=self.read_timeout,
            connect_timeout=self.connect_timeout,
            max_pool_connections=self.max_pool_connections,
            retries={"max_attempts": self.retries_max_attempts},
        )


class RetryStrategy(StrEnum):
    """What is tried next when a route fails."""

    REGION_FIRST = "region_first"
    """The same model in the next region; the next model when no region is left."""
    MODEL_FIRST = "model_first"
    """The next model in the same region; the next region when no model is left."""


class RegionOrder(StrEnum):
    """In which order the regions of one request are tried. Not in the seeds."""

    FIXED = "fixed"
    """As given, each time."""
    ROTATE = "rotate"
    """As given, but each request starts one further."""
    SHUFFLE = "shuffle"
    """A new order for each request, drawn from a seed."""


@dataclass(frozen=True, config=_STRICT)
class RetryConfig:
    """How often, how patiently and where a request is tried again.

    Args:
        max_retries: retries over all routes together; attempts are one more. A route that turns out not to exist
            (model not in the region, needs an inference profile) is left at once and uses none.
            A throttling on a route that is serving other requests uses none either: the request waits for its turn,
            at most ten times as often, within the deadline and `max_attempts_total`. 0 always means no retry.
        retry_delay: seconds of the first backoff, before jitter.
        backoff_multiplier: growth of the backoff from retry to retry.
        max_retry_delay: the longest backoff in seconds.
        retry_strategy: regions first or models first.
        enable_feature_fallback: a cache point, a latency wish or a service tier that the model does not take is
            dropped, with a warning. Nothing that changes what the answer means is ever dropped by this. False: nothing
            is ever dropped.
        droppable_features: what else a request may go on without where the model does not take it, by the API's
            names: `temperature`, `topP`, `topK`, `stopSequences`, `toolConfig`, `toolChoice`, `outputConfig`,
            `document`, `image`, `video`, `additionalModelRequestFields` or one member of it
            (`additionalModelRequestFields.top_k`). A guardrail is never dropped. Not in the seeds.
        retryable_errors: further AWS error codes (or exception types of that name) to retry.
        region_order: order of the regions. Not in the seeds.
        access_method_preference: how a model may be reached, best first: `direct`, `regional_profile`,
            `global_profile`. What is left out is never used. Not in the seeds.
        global_cris_fraction: the fraction of requests, 0.0 to 1.0, that try the global profile first, kept exactly;
            None to follow the preference. Not in the seeds.
        data_residency: a place that requests must not leave, such as `eu` or `us`: only regions, and profiles whose
            destinations all lie there, are used. Not in the seeds.
        deadline_seconds: the time for one request with all its retries, None for none. Not in the seeds.
        max_attempts_total: a hard cap on calls for one request, failovers included, None for none. Not in the seeds.
        max_timeout_retries: how often a request may be sent again after a read timeout, which AWS may bill for
            each time. Not in the seeds.
    """

    max_retries: Count = 3
    retry_delay: Seconds = 1.0
    backoff_multiplier: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 2.0
    max_retry_delay: Seconds = 60.0
    retry_strategy: RetryStrategy = RetryStrategy.REGION_FIRST
    enable_feature_fallback: bool = True
    droppable_features: FeatureNames = ()
    retryable_errors: tuple[str | type[BaseException], ...] = ()
    region_order: RegionOrder = RegionOrder.FIXED
    access_method_preference: tuple[AccessMethodName, ...] = ("direct", "regional_profile", "global_profile")
    global_cris_fraction: Fraction | None = None
    data_residency: str | None = None
    deadline_seconds: PositiveSeconds | None = None
    max_attempts_total: PositiveCount | None = None
    max_timeout_retries: Count = 0

    def may_drop(self, feature: str) -> bool:
        """Whether a request may go on without a feature that the model refuses."""
        return self.enable_feature_fallback and is_droppable(feature, self.droppable_features)

    @property
    def retryable_codes(self) -> frozenset[str]:
        """`retryable_errors` as lower-case error codes."""
        return frozenset(
            (error if isinstance(error, str) else error.__name__).lower() for error in self.retryable_errors
        )


class FailureHandlingStrategy(StrEnum):
    """What many requests do when some fail."""

    CONTINUE_ON_FAILURE = "continue_on_failure"
    STOP_ON_FIRST_FAILURE = "stop_on_first_failure"
    STOP_ON_THRESHOLD = "stop_on_threshold"


class LoadBalancingStrategy(StrEnum):
    """Where many requests start."""

    ROUND_ROBIN = "round_robin"
    LEAST_LOADED = "least_loaded"
    RANDOM = "random"


@dataclass(frozen=True, config=_STRICT)
class ParallelProcessingConfig:
    """How many requests run at once and what happens when some fail.

    Args:
        max_concurrent_requests: calls in flight at most.
        request_timeout_seconds: the time for one request with all its retries; it ends that request alone.
        enable_request_prioritization: waiting requests start by `priority`, highest first, then in order.
        failure_handling_strategy: go on, stop at the first failure, or stop at a share of failures.
        load_balancing_strategy: on which of the equally good routes a request starts.
        failure_threshold: the share of failed requests, 0.0 to 1.0, above which STOP_ON_THRESHOLD stops.
        failure_threshold_minimum: finished requests before the share means anything. Not in the seeds.
        tokens_per_minute: quotas that are known, by the id that goes on the wire; each holds in every region. A quota
            that is not given is learned from throttling. Not in the seeds.
    """

    max_concurrent_requests: PositiveCount = 5
    request_timeout_seconds: PositiveSeconds = 300
    enable_request_prioritization: bool = True
    failure_handling_strategy: FailureHandlingStrategy = FailureHandlingStrategy.CONTINUE_ON_FAILURE
    load_balancing_strategy: LoadBalancingStrategy = LoadBalancingStrategy.ROUND_ROBIN
    failure_threshold: Fraction = 0.5
    failure_threshold_minimum: PositiveCount = 20
    tokens_per_minute: Mapping[str, PositiveCount] | None = None


@dataclass(frozen=True, config=_STRICT)
class ValidationResult:
    """What a validation function says of a response.

    Args:
        success: whether the response may be used.
        error_message: one sentence for the log and, where the model is asked again, for the model.
        error_details: anything that helps; kept on the attempt.
    """

    success: bool
    error_message: str | None = None
    error_details: dict[str, Any] | None = None


@dataclass(frozen=True, config=_STRICT)
class ResponseValidationConfig:
    """Ask again until a function of yours accepts the response.

    Args:
        response_validation_function: takes a `BedrockResponse`, returns a `ValidationResult`; or the dotted path
            of such a function ("package.module:function"), which a deferred job needs.
        response_validation_retries: how often the model is asked again. Each time is a paid call.
        response_validation_delay: seconds between two of them.
    """

    response_validation_function: Callable[[Any], ValidationResult] | str
    response_validation_retries: Count = 3
    response_validation_delay: Seconds = 0.0
