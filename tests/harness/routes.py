"""Routes and plans for tests of the engine, without a catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.core.access import AccessMethod, AccessOption
from airflow_provider_bedrock_llm.core.config import RetryConfig
from airflow_provider_bedrock_llm.core.routes import ModelChoice, Route, RoutePlan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def make_route(model_id: str = "m", region: str = "us-east-1", access: str = "direct") -> Route:
    """One route to a model that is called what it is."""
    return Route(model_id, model_id, region, access, ModelChoice(model_id))


def make_routes(count: int) -> tuple[Route, ...]:
    """Routes to one model in so many regions."""
    return tuple(make_route(region=f"region-{number}") for number in range(count))


def direct_only(model: str, region: str) -> tuple[AccessOption, ...]:
    """Every model can be asked directly, everywhere."""
    return (AccessOption(model, AccessMethod.DIRECT),)


def direct_or_profile(model: str, region: str) -> tuple[AccessOption, ...]:
    """Every model can be asked directly and through a profile."""
    return (AccessOption(model, AccessMethod.DIRECT), AccessOption(f"us.{model}", AccessMethod.REGIONAL_PROFILE))


def make_plan(
    models: Sequence[str | ModelChoice | Mapping[str, Any]] = ("m",),
    regions: Sequence[str] = ("us-east-1",),
    retry: RetryConfig | None = None,
    options: Mapping[tuple[str, str], Sequence[AccessOption]] | object = direct_only,
) -> RoutePlan:
    """A plan over models and regions."""
    choices = [
        ModelChoice(model)
        if isinstance(model, str)
        else model
        if isinstance(model, ModelChoice)
        else ModelChoice(**model)
        for model in models
    ]
    return RoutePlan(choices, regions, retry or RetryConfig(), options)  # type: ignore[arg-type]
