"""What happens between the description of a job and its first cent: the estimate, the mode, and a person's word."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.core.errors import JobStoppedError
from airflow_provider_bedrock_llm.hooks.estimate import estimate_job
from airflow_provider_bedrock_llm.operators.job_mode import (
    AUTO,
    chosen_before,
    expected_usd,
    in_mode,
    keep_choice,
    plan_mode,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.sdk import Context

    from airflow_provider_bedrock_llm.core.estimate import Range
    from airflow_provider_bedrock_llm.hooks.bedrock_llm import BedrockLLMHook
    from airflow_provider_bedrock_llm.jobs.job import JobSpec
    from airflow_provider_bedrock_llm.operators.parallel import BedrockParallelOperator

__all__ = ["ApprovalRefusedError", "before_spending", "take_answer"]

APPROVE, REJECT = "Approve", "Reject"
_FILE = "approval.json"


class ApprovalRefusedError(JobStoppedError):
    """A person said no, or nobody said anything; nothing was spent."""

    retry_helps = False
    may_have_cost = False


def before_spending(
    operator: BedrockParallelOperator, context: Context, spec: JobSpec, hook: BedrockLLMHook
) -> JobSpec:
    """Say what the job will take, choose its mode, and ask a person where that is wanted.

    Returns:
        The job, in the mode that was chosen.

    Raises:
        TaskAwaitingInput: the task waits for a person (TaskDeferred before Airflow 3.3).
        LLMManagerError: the source cannot be read, or no model can be asked.
    """
    chooses = operator.mode == AUTO and chosen_before(spec) is None
    if not (operator.estimate or chooses or operator.approve_above_usd is not None):
        return spec
    estimate = estimate_job(spec, hook, count_tokens=operator.estimate == "count_tokens")
    told = estimate.line
    operator.log.info("%s", told)
    context["ti"].xcom_push("estimate", estimate.to_dict())
    if chooses:
        plan = plan_mode(operator, spec, hook, estimate)
        operator.log.info("%s", plan.line)
        context["ti"].xcom_push("mode_plan", plan.to_dict())
        told = f"{told}\n\n{plan.line}"
        spec = in_mode(plan.choice, operator, spec, hook)
        spec.save()
        keep_choice(spec, plan)
    usd = expected_usd(spec, hook, estimate)
    if _needs_approval(usd, operator.approve_above_usd) and not _is_approved(spec, usd):
        operator.log.info("A person is asked: the job may cost more than %s USD.", operator.approve_above_usd)
        _ask_a_person(operator, context["ti"], told)
    return spec


def take_answer(spec: JobSpec, hook: BedrockLLMHook, event: Mapping[str, Any]) -> None:
    """Keep a person's yes for this try and later ones.

    Args:
        spec: the job.
        hook: its connection.
        event: what Airflow hands over: `chosen_options`, or `error`.

    Raises:
        ApprovalRefusedError: it was no yes.
    """
    if list(event.get("chosen_options") or ()) != [APPROVE]:
        who = (event.get("responded_by_user") or {}).get("name")
        said = f"{who} rejected the job" if who else "Nobody approved the job"
        raise ApprovalRefusedError(
            f"{said} {spec.job_uri}, so nothing was asked and nothing was spent. "
            "Clear the task to ask again, or raise approve_above_usd."
        )
    usd = expected_usd(spec, hook, estimate_job(spec, hook))
    spec.folder.child(_FILE).write(json.dumps({"usd": None if usd is None else usd.high}).encode())


def _needs_approval(usd: Range | None, above_usd: float | None) -> bool:
    """Whether what may be spent is above the limit, or not known at all."""
    return above_usd is not None and (usd is None or usd.high > above_usd)


def _is_approved(spec: JobSpec, usd: Range | None) -> bool:
    """Whether a person has said yes to this job at no less money."""
    try:
        approved = json.loads(spec.folder.child(_FILE).read())["usd"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return approved is None or (usd is not None and usd.high <= approved)


def _ask_a_person(operator: BedrockParallelOperator, task_instance: Any, body: str) -> None:
    """Put the question on Airflow's page of required actions, and leave the worker until there is an answer."""
    from airflow.providers.standard.operators import hitl  # noqa: PLC0415 - only jobs that ask need it
    from airflow.sdk.execution_time.hitl import upsert_hitl_detail  # noqa: PLC0415

    options, method_name = [APPROVE, REJECT], "execute_approved"
    subject = f"May {task_instance.task_id} spend more than {operator.approve_above_usd:g} USD on Bedrock?"
    upsert_hitl_detail(task_instance.id, options=options, subject=subject, body=body, params={})
    if hitl.AIRFLOW_V_3_3_PLUS:
        raise hitl.TaskAwaitingInput(method_name=method_name, timeout=None)
    trigger = hitl.HITLTrigger(
        ti_id=task_instance.id, options=options, params={}, multiple=False, defaults=None, timeout_datetime=None
    )
    operator.defer(trigger=trigger, method_name=method_name)
