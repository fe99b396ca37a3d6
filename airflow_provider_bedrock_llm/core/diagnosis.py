"""Why a request failed, said so that a person can act on it: one sentence of cause, one of remedy."""

from __future__ import annotations

from collections.abc import Callable  # noqa: TC003 - a type of public fields
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.core.errors import (
    AuthenticationError,
    ContextTooLongError,
    LLMManagerError,
    ModelAccessError,
    QuotaExhaustedError,
    RequestTimeoutError,
    RequestValidationError,
    ResponseValidationError,
    RetryExhaustedError,
    StreamingError,
)
from airflow_provider_bedrock_llm.core.failover import GiveUp, Reason
from airflow_provider_bedrock_llm.core.faults import Fault
from airflow_provider_bedrock_llm.core.transport import Failure, FailureKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_bedrock_llm.core.config import RetryConfig
    from airflow_provider_bedrock_llm.core.response import RequestAttempt
    from airflow_provider_bedrock_llm.core.routes import Route

__all__ = ["Setting", "error_for"]


@dataclass(frozen=True, slots=True)
class Setting:
    """What the messages need to name.

    Args:
        connection: where credentials are configured, such as "the Airflow connection 'bedrock_llm_default'".
        read_timeout_seconds: the read timeout in force.
        suggest: model as the caller named it -> which names are near, or which regions have it, as a sentence.
    """

    connection: str = "the AWS credentials"
    read_timeout_seconds: float = 600
    suggest: Callable[[str], str] = lambda _model: ""


def error_for(
    end: GiveUp,
    route: Route,
    attempts: Sequence[RequestAttempt],
    retry: RetryConfig,
    setting: Setting,
) -> LLMManagerError:
    """The exception for a request that the engine gave up.

    Args:
        end: what the engine said.
        route: the route that was called last.
        attempts: every call that was made.
        retry: the budgets in force.
        setting: values that the remedies name.
    """
    last = attempts[-1] if attempts else None
    if end.reason is Reason.ROUTES:  # a day that is used up says more than a profile that was not tried for long
        daily = next((attempt for attempt in attempts if attempt.fault == str(Fault.DAILY_QUOTA)), None)
        if daily is not None:
            end, last = replace(end, fault=Fault.DAILY_QUOTA), daily
            route = replace(route, model=daily.model, model_id=daily.model_used, region=daily.region_used)
    failure = (last.failure if last else None) or Failure(FailureKind.SERVICE)
    kind, text = _explain(end, route, attempts, retry, setting)
    context: dict[str, Any] = {
        "aws_code": failure.code or None,
        "aws_message": failure.message or None,
        "request_id": last.request_id if last else None,
        "attempts": attempts,
        # An answer is paid for, whether it was accepted or not.
        "may_have_cost": any(attempt.may_have_cost or attempt.failure is None for attempt in attempts),
        "said_by": route.choice.service,
    }
    return kind(text, **context)


def _explain(
    end: GiveUp, route: Route, attempts: Sequence[RequestAttempt], retry: RetryConfig, setting: Setting
) -> tuple[type[LLMManagerError], str]:
    if end.fault is Fault.INVALID_ANSWER and end.reason is not Reason.DEADLINE:
        return ResponseValidationError, _rejected(end, route, attempts, retry)
    if end.reason is Reason.DEADLINE:
        return RequestTimeoutError, (
            f"The request did not finish within its deadline of {retry.deadline_seconds:g} seconds "
            f"({_count(len(attempts), 'call')}). Raise `request_timeout_seconds` or `deadline_seconds`, "
            "or lower maxTokens; a call that was cut off may still be billed."
        )
    if end.reason is Reason.STREAM:
        return StreamingError, (
            f"{route} broke off its answer because of {_words(end.fault)}, after text of it was passed on. "
            "Take that text as void and ask again, or let `recovery` do so: 'restart' asks again by itself, "
            "'continue' goes on from there with models that can."
        )
    if end.fault is Fault.UNSUPPORTED_FEATURE and end.reason is not Reason.ATTEMPTS:
        return RequestValidationError, _refused(route, attempts, retry)
    if end.fault is Fault.READ_TIMEOUT:
        return RequestTimeoutError, _timed_out(end, route, retry, setting)
    if end.fault in _FINAL and end.reason is not Reason.ATTEMPTS:
        kind, cause, remedy = _final(end.fault, attempts[-1].failure if attempts else None)
        values = {"route": route, "model": route.model, "id": route.model_id, "region": route.region}
        said = [cause.format(**values), remedy.format(**values, setting=setting)]
        if end.fault in _ABOUT_THE_MODEL and route.choice.service is None:
            said.append(setting.suggest(route.model))
        if end.reason is Reason.ROUTES:
            said.append(_elsewhere(end, attempts))
        return kind, " ".join(filter(None, said))
    return RetryExhaustedError, (
        f"{_count(len(attempts), 'call')} failed, the last one on {route} because of {_words(end.fault)}. "
        f"{_REMEDIES.get(end.fault, 'Run the task again later')}, raise {_budget(end, retry)}, "
        "or give more models or regions."
    )


def _final(fault: Fault, failure: Failure | None) -> tuple[type[LLMManagerError], str, str]:
    """Kind, cause and remedy of a final fault; where AWS's text tells more, those that it tells."""
    kind, cause, remedy = _FINAL[fault]
    if failure is None:
        return kind, cause, remedy
    if failure.kind is FailureKind.CREDENTIALS:
        return kind, "No usable AWS credentials were found.", remedy
    text = failure.message.lower()
    told = (words for known, part, *words in _TOLD if fault is known and part in text)
    cause, remedy = next(told, [cause, remedy])
    return kind, cause, remedy


def _rejected(end: GiveUp, route: Route, attempts: Sequence[RequestAttempt], retry: RetryConfig) -> str:
    reasons = [attempt.validation_error for attempt in attempts if attempt.validation_error is not None]
    last = reasons[-1] if reasons else "no reason was given"
    budget = f", or raise {_budget(end, retry)}" if end.reason is Reason.ATTEMPTS else ""
    return (
        f"{_count(len(reasons), 'answer')} of {route} {'was' if len(reasons) == 1 else 'were'} paid for and rejected, "
        f"the last because of this: {last}. Make the prompt clearer, or the schema or the validation function milder"
        f"{budget}."
    )


def _refused(route: Route, attempts: Sequence[RequestAttempt], retry: RetryConfig) -> str:
    feature = (attempts[-1].refused_feature if attempts else None) or "a feature"
    named = ", ".join(retry.droppable_features) or "none"
    go_on = (
        f"name {feature!r} in `droppable_features` (now {named})"
        if retry.enable_feature_fallback
        else "set `enable_feature_fallback` (now False)"
    )
    return (
        f"{route} does not take {feature} of this request. Leave it out, choose a model that takes it, or {go_on} to "
        "let it be left out where a model refuses it."
    )


def _timed_out(end: GiveUp, route: Route, retry: RetryConfig, setting: Setting) -> str:
    allow = f"or allow paying twice with `max_timeout_retries` (now {retry.max_timeout_retries})"
    return (
        f"{route} did not answer within {setting.read_timeout_seconds:g} seconds, and may have billed the work. "
        f"Raise `read_timeout` (now {setting.read_timeout_seconds:g}) in {setting.connection} or the Boto3Config, "
        f"{allow if end.reason is Reason.TIMEOUTS else f'or raise {_budget(end, retry)}'}."
    )


def _budget(end: GiveUp, retry: RetryConfig) -> str:
    """The setting that ended the request."""
    if end.reason is Reason.ATTEMPTS:
        return f"`max_attempts_total` (now {retry.max_attempts_total})"
    return f"`max_retries` (now {retry.max_retries})"


def _elsewhere(end: GiveUp, attempts: Sequence[RequestAttempt]) -> str:
    """What other routes answered, where it was something else."""
    others = {f"{a.model_used} in {a.region_used}": a.fault for a in attempts if a.fault not in {None, str(end.fault)}}
    return f"Elsewhere: {', '.join(f'{route} {fault}' for route, fault in others.items())}." if others else ""


def _words(fault: Fault) -> str:
    return _WORDS.get(fault, str(fault).replace("_", " "))


_FINAL: dict[Fault, tuple[type[LLMManagerError], str, str]] = {
    Fault.BAD_CREDENTIALS: (
        AuthenticationError,
        "AWS does not accept the credentials in use.",
        (
            "Set access key and secret key as login and password of {setting.connection}, or let it borrow another "
            "connection by `aws_conn_id`, or give the worker an IAM role."
        ),
    ),
    Fault.EXPIRED_CREDENTIALS: (
        AuthenticationError,
        "The credentials have expired, and fetching new ones did not help.",
        "Renew the session token in {setting.connection}, or use a role that AWS renews by itself.",
    ),
    Fault.SERVICE_REFUSED: (
        AuthenticationError,
        "{region} does not accept the key in use, or there is none.",
        (
            "Set the key as password of the Airflow connection that the candidate's `conn_id` names, or of "
            "`<service>_default` in lower case, or in API_KEYS under the service's name."
        ),
    ),
    Fault.DENIED: (
        ModelAccessError,
        "The credentials may not use {model} in {region}.",
        (
            "Allow `bedrock:InvokeModel` on this model (and on the inference profile, if one is used) for the role in "
            "{setting.connection}, and ask for the model in that region's Bedrock console under Model access."
        ),
    ),
    Fault.NEEDS_PROFILE: (
        ModelAccessError,
        "{model} answers in {region} only through an inference profile, and none of its profiles worked.",
        (
            "Give the id of a profile that the account has as the model: the model's own id with us., eu., apac. or "
            "global. before it."
        ),
    ),
    Fault.NOT_IN_REGION: (
        ModelAccessError,
        "{region} does not know the model {model}.",
        "Check the id, and choose a region that has it.",
    ),
    Fault.END_OF_LIFE: (
        ModelAccessError,
        "{model} is retired, or closed to accounts that did not use it lately, in {region}.",
        "Choose a current model: `airflow bedrock-llm models` lists them.",
    ),
    Fault.DAILY_QUOTA: (
        QuotaExhaustedError,
        "The account's tokens for today are used up for {model} in {region}, and no other route could serve it.",
        (
            "Run the task again tomorrow, give more regions or models, or ask AWS for more tokens per day; "
            "new accounts start with 0."
        ),
    ),
    Fault.CONTEXT_TOO_LONG: (
        ContextTooLongError,
        "The prompt does not fit into the context of {model}.",
        "Shorten the record or the template, or choose a model with a larger context.",
    ),
    Fault.BAD_INPUT: (
        RequestValidationError,
        "{model} refuses the request as malformed.",
        "Correct what AWS names in its text.",
    ),
    Fault.UNKNOWN: (
        LLMManagerError,
        "The call of {route} failed for a cause that this package does not know.",
        "If a retry helps, add the error code to `retryable_errors`.",
    ),
}

_ABOUT_THE_MODEL = frozenset({Fault.NOT_IN_REGION, Fault.NEEDS_PROFILE})

_TOLD: tuple[tuple[Fault, str, str, str], ...] = (
    # (fault, part of AWS's text without case, cause, remedy); first match wins; texts as in `wire_errors` of `local`
    (
        Fault.DENIED,
        "use case details",
        "Anthropic wants to be told once per account what its models are used for, and {model} waits for that.",
        (
            "Open one of Anthropic's models in the Bedrock console of this account, fill out the use case form, and "
            "wait 15 minutes."
        ),
    ),
    (
        Fault.DENIED,
        "aws marketplace",
        "{model} comes through AWS Marketplace, and the role may not subscribe to it.",
        (
            "Allow `aws-marketplace:Subscribe` and `aws-marketplace:ViewSubscriptions` to the role in "
            "{setting.connection}, or let an administrator ask the model once; then wait two minutes."
        ),
    ),
    (
        Fault.DENIED,
        "service control policy",
        "A service control policy of the AWS organization forbids {id} from {region}.",
        (
            "Ask the organization's administrators to allow it in every region that {id} may use, or give other "
            "`regions`, or leave `global_profile` out of `access_method_preference`."
        ),
    ),
    (
        Fault.BAD_CREDENTIALS,
        "security token included in the request is invalid",
        "AWS does not know the access key in use, or the session token is not its own.",
        (
            "Check login, password and `aws_session_token` of {setting.connection}: temporary keys need all three, "
            "lasting keys no token."
        ),
    ),
    (
        Fault.BAD_CREDENTIALS,
        "signature we calculated does not match",
        "AWS knows the access key, but the secret key does not fit it.",
        "Copy the secret key anew into the password of {setting.connection}; a space at its end is enough to spoil it.",
    ),
    (
        Fault.BAD_CREDENTIALS,
        "your api key is valid",
        "AWS does not accept the Bedrock API key in use.",
        (
            "Renew AWS_BEARER_TOKEN_BEDROCK in the worker's environment, or set login and password of "
            "{setting.connection}, which win over it."
        ),
    ),
)

_WORDS = {
    Fault.THROTTLED: "throttling (too many requests or tokens for the account's quota)",
    Fault.OVERLOADED: "an overloaded or broken service",
    Fault.NOT_READY: "a model that is still being loaded",
    Fault.MODEL_TIMEOUT: "a model that took too long",
    Fault.MODEL_ERROR: "an error inside the model",
    Fault.CONNECTION_FAILED: "a connection that could not be made",
    Fault.CONNECTION_LOST: "a connection that broke",
    Fault.STREAM_BROKEN: "a stream that broke off",
    Fault.READ_TIMEOUT: "a silence longer than the read timeout",
    Fault.LISTED: "an error that `retryable_errors` lists",
}

_REMEDIES = {
    Fault.THROTTLED: "Lower `max_concurrent_requests`",
    Fault.CONNECTION_FAILED: "Check network, proxy, region and `endpoint_url`",
}


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
