"""The mode of a job: what `BedrockParallelOperator` was told, or, for `auto`, what is chosen before a cent is spent."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from airflow_provider_bedrock_llm.core.batch_options import BatchOptions
from airflow_provider_bedrock_llm.core.batch_plan import BatchLimits
from airflow_provider_bedrock_llm.core.errors import ConfigurationError
from airflow_provider_bedrock_llm.core.mode_choice import Mode, ModeFacts, ModePlan, choose_mode, usd_in_tier
from airflow_provider_bedrock_llm.core.pricing import with_batch_rates
from airflow_provider_bedrock_llm.hooks.batch import batch_route

if TYPE_CHECKING:
    from airflow_provider_bedrock_llm.core.estimate import Estimate, Range
    from airflow_provider_bedrock_llm.core.pricing import Prices
    from airflow_provider_bedrock_llm.hooks.bedrock_llm import BedrockLLMHook
    from airflow_provider_bedrock_llm.jobs.job import JobSpec
    from airflow_provider_bedrock_llm.operators.parallel import BedrockParallelOperator

__all__ = ["AUTO", "chosen_before", "expected_usd", "in_mode", "keep_choice", "plan_mode", "with_mode"]

AUTO = "auto"
_CHOICE_FILE = "mode.json"
_MODES = (*get_args(Mode), AUTO)


def with_mode(operator: BedrockParallelOperator, spec: JobSpec, hook: BedrockLLMHook) -> JobSpec:
    """The job in the operator's mode. `auto` is on demand until something was chosen, and then stays what was chosen.

    Raises:
        ConfigurationError: there is no such mode, or it lacks something, or the model does not have it.
    """
    if operator.mode not in _MODES:
        raise ConfigurationError(f"mode={operator.mode!r} is not known. Use one of: {', '.join(_MODES)}.")
    mode = chosen_before(spec) or "on_demand" if operator.mode == AUTO else operator.mode
    return in_mode(mode, operator, spec, hook)


def in_mode(mode: str, operator: BedrockParallelOperator, spec: JobSpec, hook: BedrockLLMHook) -> JobSpec:
    """The job in a mode.

    Raises:
        ConfigurationError: the mode lacks something, or the model does not have it.
    """
    if mode == "batch":
        return replace(spec, batch=_batch_options(operator, spec, hook))
    if mode == "flex":
        _check_flex(hook)
        return replace(spec, request={**spec.request, "service_tier": {"type": "flex"}})
    return spec


def plan_mode(operator: BedrockParallelOperator, spec: JobSpec, hook: BedrockLLMHook, estimate: Estimate) -> ModePlan:
    """Choose a mode for a job. Nothing is called."""
    options: BatchOptions | None = None
    try:
        options, missing = _batch_options(operator, spec, hook), ""
    except ConfigurationError as error:
        missing = error.message
    facts = ModeFacts(
        concurrency=spec.parallel.max_concurrent_requests,
        prices=_prices(hook),
        batch_missing=missing,
        limits=options.limits if options else BatchLimits(),
        batch_hours=options.timeout_hours if options else BatchOptions.timeout_hours,
    )
    deadline = operator.deadline.total_seconds() if operator.deadline is not None else None
    return choose_mode(estimate, facts, deadline_seconds=deadline, least_saving_usd=operator.least_saving_usd)


def expected_usd(spec: JobSpec, hook: BedrockLLMHook, estimate: Estimate) -> Range | None:
    """What a job is expected to cost in its mode; None where a price is not known."""
    if spec.batch is None:
        return estimate.usd
    return usd_in_tier(estimate, with_batch_rates(_prices(hook)), "batch")


def chosen_before(spec: JobSpec) -> Literal["on_demand", "flex", "batch"] | None:
    """What an earlier try of the task has chosen: a retry must not leave batch jobs alone that run."""
    try:
        mode = json.loads(spec.folder.child(_CHOICE_FILE).read())["mode"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return mode if mode in get_args(Mode) else None


def keep_choice(spec: JobSpec, plan: ModePlan) -> None:
    """Remember a choice for later tries."""
    spec.folder.child(_CHOICE_FILE).write(json.dumps({"mode": plan.choice, "reason": plan.reason}).encode())


def _batch_options(operator: BedrockParallelOperator, spec: JobSpec, hook: BedrockLLMHook) -> BatchOptions:
    if spec.budget is not None:
        raise ConfigurationError(
            "A batch job cannot keep a budget: AWS answers all of it. Leave `budget` out and set approve_above_usd, "
            "or use another mode."
        )
    for setting in ("media_columns", "override_columns", "candidates"):
        if getattr(spec, setting):
            raise ConfigurationError(
                f"A batch job asks one model, without files, so {setting} has no place in it. Leave it out, or use "
                "mode='on_demand' or 'flex'."
            )
    connection = hook.connection
    given: dict[str, Any] = {
        "role_arn": operator.batch_role_arn or connection.batch_role_arn or "",
        "s3_uri": operator.batch_s3_uri or connection.batch_s3_uri or "",
        **(operator.batch_config or {}),
    }
    try:
        return BatchOptions(**given)
    except ValueError as error:
        raise ConfigurationError(f"batch_config is wrong: {error}. Correct the operator's argument.") from error


def _prices(hook: BedrockLLMHook) -> Prices | None:
    route = batch_route(hook)
    return hook.catalog.prices_for(route.model_id, route.region)


def _check_flex(hook: BedrockLLMHook) -> None:
    prices = _prices(hook)
    if prices is not None and "flex" not in prices.tiers:
        raise ConfigurationError(
            f"mode='flex': {batch_route(hook).model_id} has no flex price in the catalog, so AWS does not offer it as "
            "far as is known. Use mode='on_demand' or 'batch', another model, or, if you know better, "
            "request_fields={'service_tier': {'type': 'flex'}}."
        )
