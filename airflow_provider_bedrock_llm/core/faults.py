"""What came back -> what it means.

A failure is recognised by its error code and HTTP status, compared without case. AWS tells some causes apart only by
text; each such text stands in `TEXTS`, with where it was seen. The table of codes follows botocore's model of
bedrock-runtime and AWS's answers as recorded; an unknown error is never retried.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import TYPE_CHECKING

from airflow_provider_bedrock_llm.core.transport import Failure, FailureKind

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

__all__ = ["TEXTS", "Fault", "Reaction", "classify"]


class Reaction(StrEnum):
    """What helps against a fault."""

    RETRY = "retry"
    """It may pass: another route at once, the same one after a backoff."""
    MOVE_ON = "move_on"
    """This route cannot serve this request; another may, at once."""
    REFRESH = "refresh"
    """New credentials, once; then it is final."""
    STOP = "stop"
    """The same request fails everywhere."""


@dataclass(frozen=True, slots=True)
class _Nature:
    """Distinct per fault: enum members with equal values would be aliases of each other."""

    name: str
    reaction: Reaction
    is_capacity: bool = False
    may_have_cost: bool = False


class Fault(Enum):
    """The causes that need different treatment."""

    THROTTLED = _Nature("throttled", Reaction.RETRY, is_capacity=True)
    """Too many requests or tokens for this moment."""
    OVERLOADED = _Nature("overloaded", Reaction.RETRY, is_capacity=True)
    """The service or the model has no capacity, or broke down for a moment."""
    NOT_READY = _Nature("not_ready", Reaction.RETRY, is_capacity=True)
    """The model is being loaded (imported and custom models)."""
    MODEL_TIMEOUT = _Nature("model_timeout", Reaction.RETRY, may_have_cost=True)
    """The model took longer than AWS waits."""
    MODEL_ERROR = _Nature("model_error", Reaction.RETRY, may_have_cost=True)
    """The model broke while it worked."""
    CONNECTION_FAILED = _Nature("connection_failed", Reaction.RETRY, is_capacity=True)
    """Nothing was sent."""
    CONNECTION_LOST = _Nature("connection_lost", Reaction.RETRY, may_have_cost=True)
    """Sent, and the answer was lost."""
    READ_TIMEOUT = _Nature("read_timeout", Reaction.RETRY, may_have_cost=True)
    """Sent, and no answer in time: sent again only as often as `max_timeout_retries` allows."""
    STREAM_BROKEN = _Nature("stream_broken", Reaction.RETRY, may_have_cost=True)
    """A stream ended early."""
    LISTED = _Nature("listed", Reaction.RETRY, may_have_cost=True)
    """The caller named its code in `retryable_errors`."""
    DAILY_QUOTA = _Nature("daily_quota", Reaction.MOVE_ON, is_capacity=True)
    """The tokens of the day are used up for this model in this region."""
    NEEDS_PROFILE = _Nature("needs_profile", Reaction.MOVE_ON)
    """The model answers only through an inference profile."""
    NOT_IN_REGION = _Nature("not_in_region", Reaction.MOVE_ON)
    """The region does not know the model id."""
    END_OF_LIFE = _Nature("end_of_life", Reaction.MOVE_ON)
    """The model is retired, or closed for those who did not use it."""
    EXPIRED_CREDENTIALS = _Nature("expired_credentials", Reaction.REFRESH)
    """The session is over."""
    BAD_CREDENTIALS = _Nature("bad_credentials", Reaction.STOP)
    """AWS does not know the key, or there is none."""
    SERVICE_REFUSED = _Nature("service_refused", Reaction.MOVE_ON)
    """Another service than Bedrock does not accept its key, or has none: a candidate elsewhere may answer."""
    DENIED = _Nature("denied", Reaction.STOP)
    """A policy, a missing agreement or a missing form forbids it."""
    CONTEXT_TOO_LONG = _Nature("context_too_long", Reaction.STOP)
    """Prompt and answer do not fit the model."""
    BAD_INPUT = _Nature("bad_input", Reaction.STOP)
    """The request is malformed."""
    DEADLINE = _Nature("deadline", Reaction.STOP, may_have_cost=True)
    """The time of the whole request is over."""
    UNSUPPORTED_FEATURE = _Nature("unsupported_feature", Reaction.STOP)
    """The model does not take a feature of the request. What may be left out is: `Failover.dropped`."""
    INVALID_ANSWER = _Nature("invalid_answer", Reaction.RETRY, may_have_cost=True)
    """An answer came and was rejected. The engine asks again by the rules of validation, not of retries."""
    UNKNOWN = _Nature("unknown", Reaction.STOP, may_have_cost=True)
    """Nothing known helps."""

    @property
    def reaction(self) -> Reaction:
        """What helps."""
        return self.value.reaction

    @property
    def is_capacity(self) -> bool:
        """Whether it says that the route has no room now, so that others should leave it alone for a while."""
        return self.value.is_capacity

    @property
    def may_have_cost(self) -> bool:
        """Whether AWS may bill for the call."""
        return self.value.may_have_cost

    def __str__(self) -> str:
        """The name for logs, metrics and manifests."""
        return self.value.name


TEXTS: tuple[tuple[str, str, Fault], ...] = (
    # (code without case, part of the text without case, what it means); first match wins
    ("throttlingexception", "per day", Fault.DAILY_QUOTA),  # minorun365/agent-book#29
    ("validationexception", "on-demand throughput", Fault.NEEDS_PROFILE),  # aioboto3#352, bedrock-chat#508
    ("validationexception", "model identifier is invalid", Fault.NOT_IN_REGION),  # recorded
    ("validationexception", "prompt is too long", Fault.CONTEXT_TOO_LONG),  # moca#254
    ("validationexception", "input is too long", Fault.CONTEXT_TOO_LONG),  # bedrock-chat#95
    ("validationexception", "exceed context limit", Fault.CONTEXT_TOO_LONG),  # Anthropic's text, passed on
    ("resourcenotfoundexception", "end of its life", Fault.END_OF_LIFE),  # langchain-aws#1245
    ("resourcenotfoundexception", "provider as legacy", Fault.END_OF_LIFE),  # llmeter#35
    ("resourcenotfoundexception", "use case details", Fault.DENIED),  # the Anthropic use case form
    ("accessdeniedexception", "expired", Fault.EXPIRED_CREDENTIALS),
    ("accessdeniedexception", "your api key is valid", Fault.BAD_CREDENTIALS),  # opencode#47073
    ("ratelimiterror", "insufficient_quota", Fault.DAILY_QUOTA),  # OpenAI's code for an account without credit
)

_CODES = {
    "throttlingexception": Fault.THROTTLED,
    "toomanyrequestsexception": Fault.THROTTLED,
    "throttling": Fault.THROTTLED,  # STS, while credentials are fetched: status 400
    "servicequotaexceededexception": Fault.THROTTLED,
    "serviceunavailableexception": Fault.OVERLOADED,
    "internalserverexception": Fault.OVERLOADED,
    "internalfailure": Fault.OVERLOADED,
    "modelnotreadyexception": Fault.NOT_READY,
    "modeltimeoutexception": Fault.MODEL_TIMEOUT,
    "modelerrorexception": Fault.MODEL_ERROR,
    "modelstreamerrorexception": Fault.STREAM_BROKEN,
    "validationexception": Fault.BAD_INPUT,
    "conflictexception": Fault.BAD_INPUT,
    "resourcenotfoundexception": Fault.NOT_IN_REGION,
    "unknownoperationexception": Fault.NOT_IN_REGION,
    "accessdeniedexception": Fault.DENIED,
    "expiredtokenexception": Fault.EXPIRED_CREDENTIALS,
    "expiredtoken": Fault.EXPIRED_CREDENTIALS,
    "requestexpired": Fault.EXPIRED_CREDENTIALS,
    "unrecognizedclientexception": Fault.BAD_CREDENTIALS,
    "invalidsignatureexception": Fault.BAD_CREDENTIALS,
    "incompletesignature": Fault.BAD_CREDENTIALS,
    "missingauthenticationtokenexception": Fault.BAD_CREDENTIALS,
    "invalidclienttokenid": Fault.BAD_CREDENTIALS,
    # what the transport of other services gives, by LiteLLM's names of exceptions
    "authenticationerror": Fault.SERVICE_REFUSED,
    "permissiondeniederror": Fault.SERVICE_REFUSED,
    "paymentrequirederror": Fault.SERVICE_REFUSED,
    "contextwindowexceedederror": Fault.CONTEXT_TOO_LONG,
}

_STATUSES = {
    408: Fault.MODEL_TIMEOUT,
    424: Fault.MODEL_ERROR,
    429: Fault.THROTTLED,
    400: Fault.BAD_INPUT,
    401: Fault.BAD_CREDENTIALS,
    403: Fault.BAD_CREDENTIALS,
    404: Fault.NOT_IN_REGION,
}

_KINDS = {
    FailureKind.READ_TIMEOUT: Fault.READ_TIMEOUT,
    FailureKind.CONNECTION_LOST: Fault.CONNECTION_LOST,
    FailureKind.CONNECTION_FAILED: Fault.CONNECTION_FAILED,
    FailureKind.CREDENTIALS: Fault.BAD_CREDENTIALS,
    FailureKind.REJECTED: Fault.BAD_INPUT,
    FailureKind.DEADLINE: Fault.DEADLINE,
}

_SERVER_ERROR = 500


def classify(failure: Failure, retryable_codes: AbstractSet[str] = frozenset()) -> Fault:
    """Name the cause of a failure.

    Args:
        failure: what the transport gave.
        retryable_codes: further error codes, lower case, that the caller wants retried (`RetryConfig`).
    """
    code = failure.code.lower()
    fault = _KINDS.get(failure.kind) or _from_service(failure, code)
    if fault.reaction is Reaction.STOP and fault is not Fault.DEADLINE and code in retryable_codes:
        return Fault.LISTED
    return fault


def _from_service(failure: Failure, code: str) -> Fault:
    fault = _from_text(code, failure.message) or _CODES.get(code) or _from_status(failure.status)
    if fault is Fault.MODEL_ERROR and failure.original_status is not None:
        return _model_error(failure.original_status)
    if fault is Fault.UNKNOWN and failure.kind is FailureKind.STREAM:
        return Fault.STREAM_BROKEN
    return fault


def _from_text(code: str, message: str) -> Fault | None:
    text = message.lower()
    for known_code, part, fault in TEXTS:
        if code == known_code and part in text:
            return fault
    return None


def _from_status(status: int | None) -> Fault:
    if status is None:
        return Fault.UNKNOWN
    if status >= _SERVER_ERROR:
        return Fault.OVERLOADED
    return _STATUSES.get(status, Fault.UNKNOWN)


def _model_error(original_status: int) -> Fault:
    """Bedrock passes on what the model's own server said."""
    if original_status >= _SERVER_ERROR:
        return Fault.MODEL_ERROR
    fault = _STATUSES.get(original_status)
    return fault if fault in {Fault.THROTTLED, Fault.MODEL_TIMEOUT, Fault.MODEL_ERROR} else Fault.BAD_INPUT
