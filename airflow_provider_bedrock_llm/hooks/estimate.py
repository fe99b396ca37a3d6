"""A job's estimate meets its connection: the catalog's prices, and Bedrock's own count of tokens where it is wanted."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from airflow_provider_bedrock_llm.core.errors import ConfigurationError, LLMManagerError
from airflow_provider_bedrock_llm.jobs.forecast import forecast
from airflow_provider_bedrock_llm.jobs.media import load_files

if TYPE_CHECKING:
    from airflow_provider_bedrock_llm.core.estimate import Estimate
    from airflow_provider_bedrock_llm.core.pricing import Prices
    from airflow_provider_bedrock_llm.hooks.bedrock_llm import BedrockLLMHook
    from airflow_provider_bedrock_llm.jobs.job import JobSpec

__all__ = ["check_prices", "estimate_job", "route_prices"]

log = logging.getLogger(__name__)


def route_prices(hook: BedrockLLMHook) -> dict[str, Prices | None]:
    """What the hook's routes cost, best first, by "model id in region"; None where neither list nor catalog says."""
    plan, policy = hook.plan(), hook.policy()
    return {str(route): policy.prices_of(route) for route in plan.routes(plan.regions)}


def check_prices(spec: JobSpec, hook: BedrockLLMHook) -> None:
    """Make sure that a budget in US dollars can be kept.

    Raises:
        ConfigurationError: what a route costs is not known.
    """
    if spec.budget is None or spec.budget.usd is None:
        return
    unpriced = [route for route, prices in route_prices(hook).items() if not _is_priced(prices)]
    if unpriced:
        raise ConfigurationError(
            f"budget={spec.budget} cannot be kept: the catalog has no price for {', '.join(unpriced)}. Give the budget "
            "in tokens, as budget={'tokens': N}, or ask models and regions whose price is known."
        )


def _is_priced(prices: Prices | None) -> bool:
    return prices is not None and prices.on_demand.input is not None and prices.on_demand.output is not None


def estimate_job(spec: JobSpec, hook: BedrockLLMHook, *, count_tokens: bool = False) -> Estimate:
    """What a job will take, before anything is spent. Blocks.

    Args:
        spec: the job.
        hook: its connection.
        count_tokens: whether Bedrock counts the tokens of a sample, which is free; where the model cannot, the
            heuristic has to do.

    Raises:
        SourceError: the source cannot be read, or has not one record that can be asked.
        TemplateError: the template takes not one record.
        OutputError: the journal cannot be read.
        ConfigurationError: no model can be asked.
    """
    prices = list(route_prices(hook).values())
    if count_tokens:
        try:
            return forecast(spec, prices, lambda request: hook.count_tokens(load_files(request)))
        except LLMManagerError as error:
            log.warning("Tokens were not counted, the estimate is a heuristic: %s", error)
    return forecast(spec, prices)
