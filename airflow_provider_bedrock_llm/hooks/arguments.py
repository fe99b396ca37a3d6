"""What callers give, checked where it comes in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.core.errors import ConfigurationError
from airflow_provider_bedrock_llm.core.routes import ModelChoice

if TYPE_CHECKING:
    from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest

__all__ = ["expect_kind", "expect_list", "model_choice", "named_requests"]


def expect_kind(value: Any, kind: type, name: str) -> Any:
    if value is not None and not isinstance(value, kind):
        raise ConfigurationError(f"{name} is {type(value).__name__}. Give a {kind.__name__}, or None for the default.")
    return value


def expect_list(value: Any, name: str) -> Any:
    if isinstance(value, (str, bytes)) or (value is not None and not isinstance(value, Sequence)):
        raise ConfigurationError(f"{name} is {type(value).__name__}. Give a list, best first.")
    return value


def model_choice(model: str | Mapping[str, Any] | ModelChoice) -> ModelChoice:
    if isinstance(model, ModelChoice):
        return model
    if isinstance(model, str):
        return ModelChoice(model)
    known = {"model", "region", "inference_config"}
    if not isinstance(model, Mapping) or "model" not in model or set(model) - known:
        raise ConfigurationError(
            f"The model entry {model!r} is not understood. Give a name, or a dict with 'model' and perhaps 'region' "
            "and 'inference_config'."
        )
    return ModelChoice(**model)


def named_requests(requests: Sequence[BedrockConverseRequest]) -> dict[str, BedrockConverseRequest]:
    named = {}
    for index, request in enumerate(requests):
        name = request.request_id or f"request-{index}"
        if name in named:
            raise ConfigurationError(f"Two requests have the id {name!r}. Give each its own `request_id`, or none.")
        named[name] = request if request.request_id else replace(request, request_id=name)
    return named
