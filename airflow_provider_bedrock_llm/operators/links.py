"""The buttons on a task: to its job's page, and to the model that answered in the AWS console.

Airflow keeps a link as an XCom when a task ends. The one to the job is there from the job's start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote, urlencode, urlsplit

from airflow.providers.common.compat.sdk import BaseOperatorLink, conf

from airflow_provider_bedrock_llm.core.model_id import ModelIdError, parse_model_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

__all__ = [
    "JOB_URI_KEY",
    "PAGE_PREFIX",
    "BedrockJobLink",
    "BedrockModelLink",
    "busiest_route",
    "console_url",
    "job_page",
    "page_path",
]

PAGE_PREFIX = "/bedrock-llm"
JOB_URI_KEY = "bedrock_llm_job_uri"
"""The XCom that every task with a job has from the job's start; the page finds jobs by it."""

_CONSOLES = {
    "cn-": "console.amazonaws.cn",
    "us-gov-": "console.amazonaws-us-gov.com",
}


def page_path(page: str = "", **query: Any) -> str:
    """The path of one of our pages on Airflow's server, below the path of `[api] base_url`."""
    below = urlsplit(conf.get("api", "base_url", fallback="") or "/").path.rstrip("/")
    asked = f"?{urlencode(query)}" if query else ""
    return f"{below}{PAGE_PREFIX}/{page}{asked}"


def job_page(task_instance: Any) -> str:
    """The page of a task instance's job, as a path: the browser knows under which name it reaches Airflow."""
    return page_path(
        "job",
        dag_id=task_instance.dag_id,
        run_id=task_instance.run_id,
        task_id=task_instance.task_id,
        map_index=task_instance.map_index,
    )


def busiest_route(routes: Mapping[str, Mapping[str, Any]]) -> tuple[str, str] | None:
    """Model id and region that gave the most answers, of a manifest's "model id in region"; None where none did."""
    answered = {name: numbers.get("succeeded") or 0 for name, numbers in routes.items()}
    best = max(answered, key=lambda name: answered[name], default=None)
    if best is None or not answered[best]:
        return None
    model, _, region = best.rpartition(" in ")
    return model, region


def console_url(model: str, region: str) -> str:
    """The model in the Bedrock console, and the console's overview for what has no base model in its id."""
    host = next((name for prefix, name in _CONSOLES.items() if region.startswith(prefix)), "console.aws.amazon.com")
    try:
        base = parse_model_id(model).base
    except ModelIdError:
        base = None
    place = f"model-catalog/serverless/{quote(base)}" if base else "overview"
    return f"https://{region}.{host}/bedrock/home?region={quote(region)}#/{place}"


class BedrockJobLink(BaseOperatorLink):
    """To the page of the task's enrichment job."""

    name: ClassVar[str] = "Bedrock LLM job"  # type: ignore[misc]  # a property in the base

    @property
    def xcom_key(self) -> str:
        """A name of our own: the default is the class's."""
        return "bedrock_llm_job_page"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002 - Airflow's signature
        """A path on Airflow's own server."""
        return job_page(ti_key)


class BedrockModelLink(BaseOperatorLink):
    """To the model that answered, in the AWS console. Empty where none answered."""

    name: ClassVar[str] = "Model in the AWS console"  # type: ignore[misc]  # a property in the base

    @property
    def xcom_key(self) -> str:
        """A name of our own: the default is the class's."""
        return "bedrock_llm_model_page"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002 - Airflow's signature
        """From `operator.answered_by`, which the operator sets when it has an answer."""
        answered_by = getattr(operator, "answered_by", None)
        return console_url(*answered_by) if answered_by else ""
