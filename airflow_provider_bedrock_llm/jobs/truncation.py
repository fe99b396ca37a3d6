"""Answers that were cut off at maxTokens: when one still counts, and with which limit it is asked again.

The limit is no part of a request's hash, because an answer that ended by itself is the same under a larger one. It is
noted on the line of an answer that was cut instead, so that a larger limit asks those alone again, and the same limit
never asks the same in vain.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest

__all__ = ["CAUSE", "Truncation", "covers"]

CAUSE = "truncated"

_LIMIT = "maxTokens"


class Truncation:
    """What a job does about truncated answers.

    Args:
        models: those of the job; each may have a limit of its own, which wins over that of a request.
        policy: `keep`, `fail`, or `{"max_tokens": N}`: ask once more with N.
    """

    def __init__(self, models: Sequence[Any], policy: str | Mapping[str, int]) -> None:
        self._models = list(models)
        self._again_tokens = None if isinstance(policy, str) else policy["max_tokens"]
        self.fails = policy == "fail"
        """Whether a record with a truncated answer counts as failed."""

    def limit_of(self, request: BedrockConverseRequest) -> int | None:
        """The limit that is in force for a request, the lowest of its models'; None for the models' own maximum."""
        given = (request.inference_config or {}).get(_LIMIT)
        limits = [_own_limit(model) or given for model in request.models or self._models]
        return min((limit for limit in limits if limit), default=given)

    def again_tokens(self, limit: int | None) -> int | None:
        """The limit for another try of what was cut at a limit; None where there is none to make."""
        again = self._again_tokens
        return again if again is not None and limit is not None and again > limit else None

    def with_limit(self, request: BedrockConverseRequest, max_tokens: int) -> BedrockConverseRequest:
        """The same request with another limit."""
        models = request.models or self._models
        changed = replace(request, inference_config={**(request.inference_config or {}), _LIMIT: max_tokens})
        if not any(map(_own_limit, models)):
            return changed
        return replace(changed, models=[_with_limit(model, max_tokens) for model in models])

    def outcome(self, line: Mapping[str, Any]) -> Mapping[str, Any]:
        """A line of the journal as the output is to show it."""
        if not self.fails or "max_tokens" not in line or "error" in line:
            return line
        message = (
            f"The answer was cut off at maxTokens={line['max_tokens'] or 'the limit of the model'}; it is kept in the "
            "job's folder. Raise maxTokens and run the task again: only truncated records are asked."
        )
        return {**line, "answer": None, "error": {"cause": CAUSE, "message": message}}


def covers(cut_at: int | None, limit: int | None) -> bool:
    """Whether what was cut at one limit would be cut at another one, too."""
    return cut_at is None or (limit is not None and limit <= cut_at)


def _own_limit(model: Any) -> int | None:
    return None if isinstance(model, str) else (model.get("inference_config") or {}).get(_LIMIT)


def _with_limit(model: Any, max_tokens: int) -> Any:
    if _own_limit(model) is None:
        return model
    return {**model, "inference_config": {**model["inference_config"], _LIMIT: max_tokens}}
