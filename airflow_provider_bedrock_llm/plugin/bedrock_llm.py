"""What Airflow's plugin manager reads. Every Airflow process loads it, so the page itself is imported by none but the
API server.
"""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin

from airflow_provider_bedrock_llm.operators.links import PAGE_PREFIX, page_path

__all__ = ["BedrockLLMPlugin"]

_TASK = {"dag_id": "{DAG_ID}", "run_id": "{RUN_ID}", "task_id": "{TASK_ID}", "map_index": "{MAP_INDEX}"}


class BedrockLLMPlugin(AirflowPlugin):
    """Mounts the page, and puts it into the navigation and beside each task instance."""

    name = "bedrock_llm"

    @property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]  # a plain attribute in the base
        """The page's server part. Asked for by the API server alone."""
        from airflow_provider_bedrock_llm.plugin.app import page_app  # noqa: PLC0415 - imports FastAPI

        return [{"name": "Bedrock LLM", "app": page_app(), "url_prefix": PAGE_PREFIX}]

    def __init__(self) -> None:
        icons = {"icon": page_path("static/icon.svg"), "icon_dark_mode": page_path("static/icon-dark.svg")}
        of_task = "&".join(f"{name}={value}" for name, value in _TASK.items())
        self.external_views = [
            {
                "name": "Bedrock LLM",
                "href": page_path(),
                "destination": "nav",
                "url_route": "bedrock-llm",
                "category": "browse",
                **icons,
            },
            {
                "name": "Bedrock LLM job",
                "href": f"{page_path('job')}?{of_task}",
                "destination": "task_instance",
                "url_route": "bedrock-llm-job",
                **icons,
            },
        ]
