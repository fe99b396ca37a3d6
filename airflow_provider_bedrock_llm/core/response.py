"""What Bedrock answered, with every attempt that it took."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_bedrock_llm.core.answer_parts import ConverseAnswer
from airflow_provider_bedrock_llm.core.errors import LLMManagerError
from airflow_provider_bedrock_llm.core.transport import Failure, FailureKind

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CUT_OFF", "BedrockResponse", "RequestAttempt", "Usage"]

CUT_OFF = "it was cut off at maxTokens; raise maxTokens"
"""Why an answer was rejected that had to fit a schema and was not whole."""

_BYTES = "__bytes__"
_MARK = "\\"


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one or more answers. `input_tokens` excludes what was read from or written to a prompt cache."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_input_tokens: int = 0
    cache_write_input_tokens: int = 0

    @classmethod
    def from_wire(cls, usage: Mapping[str, Any] | None) -> Self:
        """Read the `usage` member of an answer."""
        if not usage:
            return cls()
        return cls(
            usage.get("inputTokens") or 0,
            usage.get("outputTokens") or 0,
            usage.get("cacheReadInputTokens") or 0,
            usage.get("cacheWriteInputTokens") or 0,
        )

    def to_wire(self) -> dict[str, int]:
        """The same in the API's names."""
        return {
            "inputTokens": self.input_tokens,
            "outputTokens": self.output_tokens,
            "cacheReadInputTokens": self.cache_read_input_tokens,
            "cacheWriteInputTokens": self.cache_write_input_tokens,
        }

    @property
    def total_tokens(self) -> int:
        """All of them, cached ones included, as AWS counts `totalTokens`."""
        return self.input_tokens + self.output_tokens + self.cache_read_input_tokens + self.cache_write_input_tokens

    def __add__(self, other: Usage) -> Usage:
        """Sum up."""
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cache_read_input_tokens + other.cache_read_input_tokens,
            self.cache_write_input_tokens + other.cache_write_input_tokens,
        )


@dataclass(frozen=True, slots=True)
class RequestAttempt:
    """One call, whatever came of it.

    Args:
        model: the model as the caller named it.
        model_used: the id that was sent.
        region_used: the region that was called.
        access: how the model was reached.
        duration_seconds: from sending to the outcome.
        fault: the name of the cause where it failed, `invalid_answer` where the answer was rejected.
        failure: what the transport gave where it failed.
        validation_error: why the answer was rejected.
        usage: tokens of the answer, if one came.
        cost_usd: its price; None where the price is not known.
        request_id: AWS's id of the call.
        may_have_cost: whether AWS may bill for an attempt without an answer.
        cache_savings_usd: what the prompt cache saved on the answer, below zero where it was written and hardly read;
            None where a price is not known.
        refused_feature: what the model does not take, by the API's name, where it failed for that.
    """

    model: str
    model_used: str
    region_used: str
    access: str
    duration_seconds: float
    fault: str | None = None
    failure: Failure | None = None
    validation_error: str | None = None
    usage: Usage = field(default_factory=Usage)
    cost_usd: float | None = None
    request_id: str | None = None
    may_have_cost: bool = False
    cache_savings_usd: float | None = 0.0
    refused_feature: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe, without the text of the failure's cause being lost."""
        data: dict[str, Any] = {
            "model": self.model,
            "model_used": self.model_used,
            "region_used": self.region_used,
            "access": self.access,
            "duration_seconds": round(self.duration_seconds, 6),
            "usage": self.usage.to_wire(),
            "cost_usd": self.cost_usd,
            "request_id": self.request_id,
        }
        if self.cache_savings_usd != 0:
            data["cache_savings_usd"] = self.cache_savings_usd
        if self.fault is not None:
            data["fault"] = self.fault
        if self.may_have_cost:
            data["may_have_cost"] = True
        if self.validation_error is not None:
            data["validation_error"] = self.validation_error
        if self.refused_feature is not None:
            data["refused_feature"] = self.refused_feature
        if self.failure is not None:
            data["failure"] = _failure_to_dict(self.failure)
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The reverse of `to_dict`."""
        return cls(
            model=data["model"],
            model_used=data["model_used"],
            region_used=data["region_used"],
            access=data["access"],
            duration_seconds=data["duration_seconds"],
            fault=data.get("fault"),
            failure=_failure_from_dict(data["failure"]) if data.get("failure") else None,
            validation_error=data.get("validation_error"),
            usage=Usage.from_wire(data["usage"]),
            cost_usd=data["cost_usd"],
            request_id=data["request_id"],
            may_have_cost=data.get("may_have_cost", False),
            cache_savings_usd=data.get("cache_savings_usd", 0.0),
            refused_feature=data.get("refused_feature"),
        )


@dataclass(frozen=True, slots=True)
class BedrockResponse(ConverseAnswer):
    """The outcome of one request.

    Args:
        success: whether there is an answer that may be used.
        response_data: the answer as Converse gave it.
        model_used: the id that really answered: model id, inference profile id or ARN.
        region_used: the region that answered.
        access: how the model was reached.
        attempts: every call, oldest first.
        total_duration_ms: the whole request, waits included, in milliseconds.
        cost_usd: price of everything that was answered, rejected answers included; None where a price is not known.
        warnings: what the caller should know, such as a feature that was dropped.
        features_disabled: features that were dropped to get an answer.
        structured_output: the validated value, where the request had a schema.
        request_id: the caller's id of the request.
        error: why there is no answer.
        candidate: the name of the candidate that answered, where one was chosen from a list.
        routing_reason: why it was chosen, in one sentence.
    """

    success: bool
    response_data: Mapping[str, Any] = field(default_factory=dict)
    model_used: str | None = None
    region_used: str | None = None
    access: str | None = None
    attempts: tuple[RequestAttempt, ...] = ()
    total_duration_ms: float = 0.0
    cost_usd: float | None = None
    warnings: tuple[str, ...] = ()
    features_disabled: tuple[str, ...] = ()
    structured_output: Any = None
    request_id: str | None = None
    error: LLMManagerError | None = None
    candidate: str | None = None
    routing_reason: str | None = None

    @property
    def usage(self) -> Usage:
        """Tokens of every answer that was paid for, rejected ones included."""
        total = self.attempts[0].usage if self.attempts else Usage()
        for attempt in self.attempts[1:]:
            total += attempt.usage
        return total

    @property
    def is_truncated(self) -> bool:
        """Whether the answer was cut off at maxTokens, and perhaps rejected for it: the same request is cut again."""
        if not self.success:
            return bool(self.attempts) and self.attempts[-1].validation_error == CUT_OFF
        return self.get_stop_reason() == "max_tokens"

    def get_cache_efficiency(self) -> dict[str, Any] | None:
        """What the prompt cache did for all answers that were paid for; None where there is no answer.

        Returns:
            `cache_hit_ratio` (tokens read from the cache, as a share of all that went in, 0.0 to 1.0),
            `cache_read_tokens`, `cache_write_tokens`, and `cache_savings_usd`: what was saved against the same
            answers without a cache, below zero where writing cost more than reading saved so far, None where a price
            is not known.
        """
        usage = self.usage
        prompt_tokens = usage.total_tokens - usage.output_tokens
        if prompt_tokens == 0:
            return None
        savings = [attempt.cache_savings_usd for attempt in self.attempts]
        known = [saved for saved in savings if saved is not None]
        return {
            "cache_hit_ratio": usage.cache_read_input_tokens / prompt_tokens,
            "cache_read_tokens": usage.cache_read_input_tokens,
            "cache_write_tokens": usage.cache_write_input_tokens,
            "cache_savings_usd": sum(known) if len(known) == len(savings) else None,
        }

    def get_warnings(self) -> list[str]:
        """What the caller should know."""
        return list(self.warnings)

    def get_last_error(self) -> Exception | None:
        """Why there is no answer, or why the last failed attempt failed."""
        errors = self.get_all_errors()
        return self.error or (errors[-1] if errors else None)

    def get_all_errors(self) -> list[Exception]:
        """One error per failed attempt, oldest first."""
        return [
            LLMManagerError(
                f"{attempt.model_used} in {attempt.region_used} failed: {attempt.fault}.",
                aws_code=attempt.failure.code if attempt.failure else None,
                aws_message=attempt.failure.message if attempt.failure else attempt.validation_error,
                request_id=attempt.request_id,
                may_have_cost=attempt.may_have_cost or attempt.failure is None,
            )
            for attempt in self.attempts
            if attempt.fault is not None
        ]

    def had_validation_failures(self) -> bool:
        """Whether an answer was rejected on the way."""
        return any(attempt.validation_error is not None for attempt in self.attempts)

    def get_validation_errors(self) -> list[dict[str, Any]]:
        """Why answers were rejected, oldest first."""
        return [
            {"error_message": attempt.validation_error, "model_used": attempt.model_used, "cost_usd": attempt.cost_usd}
            for attempt in self.attempts
            if attempt.validation_error is not None
        ]

    def get_structured_output(self) -> Any:
        """The validated value, where the request had a schema."""
        return self.structured_output

    def with_request_id(self, request_id: str | None) -> BedrockResponse:
        """The same under the caller's id."""
        return replace(self, request_id=request_id)

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe and lossless; bytes become `{"__bytes__": base64}`."""
        return {
            "success": self.success,
            "response_data": _to_json(self.response_data),
            "model_used": self.model_used,
            "region_used": self.region_used,
            "access": self.access,
            "attempts": [attempt.to_dict() for attempt in self.attempts],
            "total_duration_ms": self.total_duration_ms,
            "cost_usd": self.cost_usd,
            "warnings": list(self.warnings),
            "features_disabled": list(self.features_disabled),
            "structured_output": _to_json(self.structured_output),
            "request_id": self.request_id,
            "error": self.error.to_dict() if self.error else None,
            "candidate": self.candidate,
            "routing_reason": self.routing_reason,
        }

    def to_json(self, indent: int | None = None) -> str:
        """`to_dict` as text."""
        return json.dumps(self.to_dict(), indent=indent, ensure_ascii=False)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The reverse of `to_dict`; a value of a pydantic class comes back as a dict."""
        return cls(
            success=data["success"],
            response_data=_from_json(data["response_data"]),
            model_used=data["model_used"],
            region_used=data["region_used"],
            access=data["access"],
            attempts=tuple(RequestAttempt.from_dict(attempt) for attempt in data["attempts"]),
            total_duration_ms=data["total_duration_ms"],
            cost_usd=data["cost_usd"],
            warnings=tuple(data["warnings"]),
            features_disabled=tuple(data["features_disabled"]),
            structured_output=_from_json(data["structured_output"]),
            request_id=data["request_id"],
            error=LLMManagerError.from_dict(data["error"]) if data["error"] else None,
            candidate=data.get("candidate"),
            routing_reason=data.get("routing_reason"),
        )


def _failure_to_dict(failure: Failure) -> dict[str, Any]:
    """Code, text and status always; the rest where there is any."""
    data = asdict(failure)
    short = {name: value for name, value in data.items() if value not in {None, 0.0}}
    return {**{name: data[name] for name in ("code", "message", "status")}, **short, "kind": str(failure.kind)}


def _failure_from_dict(data: Mapping[str, Any]) -> Failure:
    return Failure(**{**data, "kind": FailureKind(data["kind"])})


def _is_marked(key: str) -> bool:
    """Whether a key of the answer's own could be taken for the mark of bytes."""
    return key.endswith(_BYTES) and key.lstrip(_MARK) == _BYTES


def _to_json(value: Any) -> Any:
    if isinstance(value, (bytes, bytearray)):
        return {_BYTES: base64.b64encode(value).decode()}
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if hasattr(value, "items"):
        return {_MARK + key if _is_marked(key) else key: _to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_to_json(item) for item in value]
    return value


def _from_json(value: Any) -> Any:
    if isinstance(value, dict):
        if value.keys() == {_BYTES}:
            return base64.b64decode(value[_BYTES])
        return {key.removeprefix(_MARK) if _is_marked(key) else key: _from_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_from_json(item) for item in value]
    return value
