"""A real Airflow for tests marked `processes`: started once per test, ended with everything it started."""

import pytest
from harness.airflow_processes import AirflowStack
from harness.endpoint import endpoint, endpoint_of_session
from harness.enrichment_task import enrich, source
from harness.openai_server import openai_server
from harness.task import connected, task_instance

from airflow_provider_bedrock_llm.local import LocalEndpoint

__all__ = ["connected", "endpoint", "endpoint_of_session", "enrich", "openai_server", "source", "task_instance"]

# A dead triggerer's triggers are taken over when it has not reported for so long; Airflow's default is 30 s.
QUICK_TAKEOVER = {
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "5",
}


@pytest.fixture
def start_airflow(tmp_path, request):
    """Starts Airflow on the given DAG files, with the connection bedrock_llm_default to an endpoint."""

    def start(dags_folder, endpoint_url, *, secret_key="no-secret", **settings):
        env = {
            **QUICK_TAKEOVER,
            "AIRFLOW__BEDROCK_LLM__WORK_DIR": (tmp_path / "jobs").as_uri(),
            **settings.pop("env", {}),
        }
        airflow = AirflowStack(tmp_path / "airflow", dags_folder, env=env, **settings)
        request.addfinalizer(airflow.stop)
        airflow.start()
        airflow.add_connection(
            "bedrock_llm_default",
            "bedrockllm",
            login="AKIAIOSFODNN7EXAMPLE",
            password=secret_key,
            extra={"endpoint_url": endpoint_url, "region_name": "us-east-1"},
        )
        return airflow

    return start


@pytest.fixture
def slow_endpoint():
    """An endpoint in a process of its own that takes as long for an answer as a small model."""
    with LocalEndpoint.spawn(port=0, latency=0.3, sigma=0.4) as endpoint:
        yield endpoint
