"""What Airflow's plugin manager gets, and what loading it costs the processes that have no page."""

from __future__ import annotations

import subprocess
import sys
import warnings
from importlib.metadata import entry_points

import pytest

from airflow_provider_bedrock_llm.plugin.bedrock_llm import BedrockLLMPlugin


def test_airflow_finds_the_plugin_by_its_entry_point():
    found = [point for point in entry_points(group="airflow.plugins") if point.name == "bedrock_llm"]
    assert [point.load() for point in found] == [BedrockLLMPlugin]


def test_airflow_accepts_all_that_it_declares():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from airflow.api_fastapi.core_api.datamodels.plugins import ExternalViewResponse

        views = [ExternalViewResponse.model_validate(view) for view in BedrockLLMPlugin().external_views]
    assert [(view.destination, view.url_route) for view in views] == [
        ("nav", "bedrock-llm"),
        ("task_instance", "bedrock-llm-job"),
    ]


@pytest.mark.parametrize(
    ("base_url", "prefix"), [("http://localhost:8080", ""), ("https://a.example.com/team/", "/team")]
)
def test_its_views_stand_below_the_path_of_the_base_url(monkeypatch, base_url, prefix):
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", base_url)
    nav, task = BedrockLLMPlugin().external_views
    assert nav["href"] == f"{prefix}/bedrock-llm/"
    assert task["href"].startswith(f"{prefix}/bedrock-llm/job?dag_id={{DAG_ID}}&")
    assert nav["icon"] == f"{prefix}/bedrock-llm/static/icon.svg"


def test_a_worker_that_loads_the_plugin_imports_no_web_server_and_no_boto():
    code = (
        "import sys; from airflow_provider_bedrock_llm.plugin.bedrock_llm import BedrockLLMPlugin as P; P();"
        "print([m for m in ('fastapi', 'boto3', 'airflow_provider_bedrock_llm.jobs') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
