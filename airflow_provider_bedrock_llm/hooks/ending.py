"""Whether a person has ended a task, or Airflow only moves it: `on_kill` is called for both."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async

from airflow_provider_bedrock_llm.hooks.batch import stop_jobs_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

    from airflow_provider_bedrock_llm.hooks.bedrock_llm import BedrockLLMHook

__all__ = ["ask_task_state", "stop_if_ended", "was_ended"]

log = logging.getLogger(__name__)

_ENDED = frozenset({"failed", "success", "skipped", "removed"})
_GONE = "removed"


def ask_task_state(task_instance: Any) -> str | None:
    """The state of a task instance in Airflow's database. Blocks.

    Args:
        task_instance: has `dag_id`, `run_id`, `task_id` and `map_index`.

    Returns:
        The state; None where it has none, as after a clear; `removed` where there is no such task instance any more.
    """
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance  # noqa: PLC0415 - heavy

    map_index = task_instance.map_index if (task_instance.map_index or -1) >= 0 else None
    states = RuntimeTaskInstance.get_task_states(
        dag_id=task_instance.dag_id,
        task_ids=[task_instance.task_id],
        run_ids=[task_instance.run_id],
        map_index=map_index,
    )
    return _state_in(states.get(task_instance.run_id), task_instance.task_id, map_index)


def was_ended(state: str | None) -> bool:
    """Whether a task in this state goes on nowhere: marked failed or success, skipped, deleted.

    A cleared task has no state, or waits to run again, and its new try goes on with the job. A task that is only
    handed over is still deferred, or runs.
    """
    return state in _ENDED


async def _here(work: Coroutine[Any, Any, list[str]]) -> list[str]:
    return await work


async def stop_if_ended(
    task_instance: Any,
    hook: BedrockLLMHook,
    job_uri: str,
    *,
    run: Callable[[Coroutine[Any, Any, list[str]]], Awaitable[list[str]]] = _here,
    ask_state: Callable[[Any], str | None] = ask_task_state,
) -> None:
    """Stop the batch jobs of a task that a person has ended. Where that is not certain, they go on.

    Args:
        task_instance: which.
        hook: the job's connection.
        job_uri: the job's folder.
        run: where to run what calls AWS.
        ask_state: asks Airflow for the task's state.
    """
    try:
        state = await sync_to_async(ask_state)(task_instance)
    except Exception as error:  # noqa: BLE001 - whatever Airflow raises, it is not known that the task has ended
        log.warning("The batch jobs of %s go on: the state of the task is not known (%s)", job_uri, error)
        return
    if not was_ended(state):
        log.info("The task is %s: the batch jobs of %s go on, and whoever takes over finds them", state, job_uri)
        return
    stopped = await run(stop_jobs_of(hook, job_uri))
    log.info("The task was ended (%s): %d batch jobs of %s stopped", state, len(stopped), job_uri)


def _state_in(states: Mapping[str, Any] | None, task_id: str, map_index: int | None) -> str | None:
    if not states:
        return _GONE
    names = [task_id] if map_index is None else [f"{task_id}_{map_index}", task_id]
    for name in names:
        if name in states:
            return None if states[name] is None else str(getattr(states[name], "value", states[name]))
    return _GONE
