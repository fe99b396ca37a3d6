"""Real Airflow, two triggerers, a batch job: a hand-over leaves it alone, a person who ends the task ends it."""

import json
import signal
import time
from pathlib import Path

import pytest
from harness.batch_job import echo_answer
from harness.store import BUCKET, ROLE, Store

from airflow_provider_bedrock_llm.local import LocalEndpoint

pytestmark = pytest.mark.processes

DAG = """
from airflow.sdk import dag

from airflow_provider_bedrock_llm import BedrockParallelOperator


@dag(schedule=None)
def batch():
    BedrockParallelOperator(
        task_id="enrich",
        source=SOURCE,
        prompt="Rate: {{ text }}",
        id_column="id",
        models=["amazon.nova-lite-v1:0"],
        mode="batch",
        batch_role_arn=ROLE,
        batch_s3_uri=PLACE,
        batch_config={"first_poll_seconds": 0.5, "longest_poll_seconds": 1, "limits": {"min_records": 2}},
    )


batch()
"""


@pytest.fixture
def store():
    store = Store()
    yield store
    store.close()


@pytest.fixture
def endpoint(store):
    with LocalEndpoint(s3_endpoint=store.url, answerer=echo_answer) as endpoint:
        endpoint.control.batch(min_records=2, record_seconds=5)
        yield endpoint


def test_a_hand_over_leaves_the_batch_job_alone_and_a_mark_failed_stops_it(start_airflow, store, endpoint, tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"id": f"r{n}", "text": f"text {n}"}) + "\n" for n in range(200)))
    dags = tmp_path / "dags"
    dags.mkdir()
    settings = {"SOURCE": str(rows), "ROLE": ROLE, "PLACE": f"s3://{BUCKET}/jobs"}
    (dags / "batch.py").write_text("".join(f"{name} = {value!r}\n" for name, value in settings.items()) + DAG)
    airflow = start_airflow(dags, endpoint.url, database="postgresql", triggerers=2)
    extra = {
        "endpoint_url": endpoint.url,
        "region_name": "us-east-1",
        "service_config": {"s3": {"endpoint_url": store.url}},
    }
    airflow.rest("PATCH", "/api/v2/connections/bedrock_llm_default", _connection(extra))
    control = endpoint.control
    manifest = tmp_path / "jobs" / "batch" / "one" / "enrich" / "-1" / "manifest.json"

    airflow.trigger_dag("batch", run_id="one")
    _wait_until(lambda: [job["status"] for job in control.batch_jobs()] == ["InProgress"])
    first = json.loads(manifest.read_bytes())["runner"]["pid"]

    airflow.kill(_holder(airflow, manifest), signal.SIGTERM)
    _wait_until(lambda: json.loads(manifest.read_bytes())["runner"]["pid"] != first)
    time.sleep(3)
    assert [job["status"] for job in control.batch_jobs()] == ["InProgress"], "one job, and it goes on"

    airflow.rest("PATCH", "/api/v2/dags/batch/dagRuns/one/taskInstances/enrich", {"new_state": "failed"})
    _wait_until(lambda: [job["status"] for job in control.batch_jobs()] in (["Stopping"], ["Stopped"]))


def _connection(extra):
    return {
        "connection_id": "bedrock_llm_default",
        "conn_type": "bedrockllm",
        "login": "AKIAIOSFODNN7EXAMPLE",
        "password": "no-secret",
        "extra": json.dumps(extra),
    }


def _holder(airflow, manifest):
    """The triggerer whose child writes the manifest."""
    pid = json.loads(manifest.read_bytes())["runner"]["pid"]
    names = {airflow.pid(name): name for name in ("triggerer-1", "triggerer-2")}
    while pid not in names and pid > 1:
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return names[pid]


def _wait_until(is_so, timeout_seconds=90):
    deadline = time.monotonic() + timeout_seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.2)
