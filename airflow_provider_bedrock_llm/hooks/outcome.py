"""The one place where this package's errors become Airflow's outcomes, and Airflow's context becomes tags."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_bedrock_llm.core.errors import LLMManagerError

__all__ = ["BedrockTaskError", "airflow_error", "airflow_failure", "tags_of"]

_TAG_LENGTH = 256


class BedrockTaskError(AirflowException):
    """The task failed for a cause that may pass: Airflow retries it as the task says."""


def airflow_error(error: LLMManagerError) -> AirflowException:
    """Airflow's exception for an error of this package.

    Returns:
        `AirflowFailException` where the same task would fail again; `BedrockTaskError` where a retry may help.
    """
    billed = " What failed may be billed." if error.may_have_cost else ""
    return airflow_failure(f"{type(error).__name__}: {error}{billed}", retry_helps=error.retry_helps)


def airflow_failure(text: str, *, retry_helps: bool) -> AirflowException:
    """The same for an error of which only the text is left, as in a trigger's event."""
    return BedrockTaskError(text) if retry_helps else AirflowFailException(text)


def tags_of(context: Context) -> dict[str, str]:
    """Tags for `requestMetadata`, so that AWS's own logs and bills can be split by DAG, run and task."""
    task_instance = context["ti"]
    tags = {
        "airflow_dag_id": task_instance.dag_id,
        "airflow_run_id": task_instance.run_id,
        "airflow_task_id": task_instance.task_id,
    }
    if task_instance.map_index is not None and task_instance.map_index >= 0:
        tags["airflow_map_index"] = str(task_instance.map_index)
    return {name: value[:_TAG_LENGTH] for name, value in tags.items()}
