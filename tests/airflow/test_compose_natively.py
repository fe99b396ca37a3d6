"""The services of docker-compose.yaml, started without Docker, run the example as the file promises."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import urllib.parse

import boto3
import pytest
import yaml
from harness.airflow_processes import REPOSITORY, AirflowStack

from airflow_provider_bedrock_llm.local import LocalEndpoint

pytestmark = pytest.mark.processes

SERVICES = yaml.safe_load((REPOSITORY / "docker-compose.yaml").read_text())["services"]
AIRFLOW = SERVICES["scheduler"]["environment"]
BUCKET = "bedrock-llm"
OWN_TO_THE_HARNESS = ("API__", "API_AUTH__", "DATABASE__", "FERNET_KEY", "EXECUTION_API_SERVER_URL", "SIMPLE_AUTH")


@pytest.fixture
def object_store(tmp_path):
    """An S3 server in a process of its own; the file has SeaweedFS, which no registry here offers."""
    log = tmp_path / "object_store.log"
    command = [sys.executable, "-c", "from moto.server import main; main(['-H', '127.0.0.1', '-p', '0'])"]
    with log.open("w") as told:
        server = subprocess.Popen(command, stderr=told, stdout=told)
    while not (found := re.search(r"http://127\.0\.0\.1:\d+", log.read_text())):
        assert server.poll() is None, log.read_text()
        time.sleep(0.1)
    yield found[0]
    server.kill()
    server.wait()


def environment_of_the_file(bedrock_url, object_store_url):
    """What the file gives Airflow's processes, with the two service names resolved, as Docker's DNS would."""
    places = {"http://bedrock:8088": bedrock_url, "http://object-store:8333": object_store_url}
    env = {}
    for name, written in AIRFLOW.items():
        if any(part in name for part in OWN_TO_THE_HARNESS):
            continue
        value = re.sub(r"\$\{\w+:-(.*)\}", r"\1", written)
        for place, url in places.items():
            value = value.replace(urllib.parse.quote(place, safe=""), urllib.parse.quote(url, safe=""))
        env[name] = value
    return env


def test_the_services_of_the_compose_file_run_the_example(object_store, tmp_path):
    store = boto3.client(
        "s3",
        endpoint_url=object_store,
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
    )
    store.create_bucket(Bucket=BUCKET)
    triggerers = sum(str(service.get("command", "")).startswith("triggerer") for service in SERVICES.values())
    with LocalEndpoint.spawn(port=0, tls_port=None) as bedrock:
        stack = AirflowStack(
            tmp_path / "airflow",
            REPOSITORY / "dags_examples",
            database="postgresql",
            triggerers=triggerers,
            env=environment_of_the_file(bedrock.url, object_store),
        )
        with stack as airflow:
            run_id = airflow.trigger_dag("enrich_reviews")
            assert airflow.wait_for_run("enrich_reviews", run_id, timeout_seconds=240) == "success"
        calls = bedrock.control.stats().by_operation["Converse"]

    folder = f"jobs/enrich_reviews/{run_id}/enrich/-1"
    output = store.get_object(Bucket=BUCKET, Key=f"{folder}/output.jsonl")["Body"].read()
    rows = [json.loads(line) for line in output.splitlines()]
    assert len(rows) == len({row["id"] for row in rows}) == calls == 3708
    assert not [row for row in rows if row["error"]]
