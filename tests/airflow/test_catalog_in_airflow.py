"""The catalog in a real Airflow Variable: from a task, a trigger and the command line."""

import json
import os
import subprocess
import sys

import pytest
from harness.airflow_processes import REPOSITORY

from airflow_provider_bedrock_llm.local import LocalEndpoint

REGIONS = ["eu-central-1", "us-east-1"]


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """What a process of its own saw; its database is a copy of an empty one."""
    from airflow_database import database

    home = tmp_path_factory.mktemp("airflow")
    dag_file = "# an Airflow DAG\nfrom harness.catalog_in_airflow import refresh_dag\n\ndag = refresh_dag()\n"
    (home / "catalog_dag.py").write_text(dag_file)
    connection = {
        "conn_type": "bedrockllm",
        "login": "AKIAIOSFODNN7EXAMPLE",
        "password": "no-secret",
        "extra": {"region_name": "us-east-1", "models": ["Nova Lite"]},
    }
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "AWS_"))}
    environment |= {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
        "AIRFLOW__CORE__DAGS_FOLDER": str(home),
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "tests")]),
    }
    with LocalEndpoint() as endpoint, database("sqlite", home, environment) as url:
        connection["extra"]["endpoint_url"] = endpoint.url
        environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = url
        environment["AIRFLOW_CONN_BEDROCK_LLM_DEFAULT"] = json.dumps(connection)
        done = subprocess.run(
            [sys.executable, "-m", "harness.catalog_in_airflow"],
            env=environment,
            cwd=home,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
    line = next((line for line in done.stdout.splitlines() if line.startswith("SEEN ")), None)
    assert line, done.stdout[-3000:] + done.stderr[-5000:]
    return json.loads(line.removeprefix("SEEN "))


def test_a_variable_is_read_written_and_deleted_outside_of_a_task(seen):
    assert seen["store"] == {"missing": None, "there": "text", "deleted": None}


def test_the_operator_refreshes_and_says_what_it_found(seen):
    assert seen["dag"]["states"]["refresh"] == "success"
    told = seen["dag"]["results"]["refresh"]
    assert (told["regions"], told["regions_failed"]) == (REGIONS, [])
    assert told["models_in_use"] == ["amazon.nova-lite-v1:0"]
    assert told["models"] >= 183


def test_the_variable_is_readable_json_with_a_description(seen):
    document = json.loads(seen["variable"]["text"])
    assert document["schema_version"] == 1
    assert "Written by the provider" in document["description"]
    assert sorted(region for regions in document["regions"].values() for region in regions) == REGIONS
    assert "airflow-provider-bedrock-llm" in seen["variable"]["description"]
    assert len(seen["variable"]["text"].splitlines()) > 10


def test_a_task_reads_it_through_the_task_sdk(seen):
    assert seen["dag"]["results"]["read"] == {"source": "CACHE", "regions": REGIONS, "through_the_task_sdk": True}


def test_a_trigger_reads_it_off_the_event_loop(seen):
    assert seen["dag"]["states"]["read_in_trigger"] == "success"
    assert seen["dag"]["results"]["read_in_trigger"]["source"] == "CACHE"


def test_a_model_in_use_that_is_near_its_end_fails_the_task(seen):
    assert seen["dag"]["states"]["near_the_end"] == "failed"


def test_a_model_in_use_whose_name_is_not_known_fails_the_task(seen):
    assert seen["dag"]["states"]["typo"] == "failed"


def test_the_command_line_lists_from_the_variable_with_prices_of_the_id_to_send(seen):
    rows = json.loads(seen["list"]["out"])
    assert [row["provider"] for row in rows] == ["Amazon"] * len(rows)
    lite = next(row for row in rows if row["name"] == "Nova Lite")
    assert (lite["send"], lite["access"], lite["assumed"]) == ("amazon.nova-lite-v1:0", "direct", False)
    assert lite["input_usd_per_million"] == 0.06
    assert "2 regions answered" in seen["list"]["err"]


def test_the_command_line_prints_a_table(seen):
    assert "Claude Haiku 4.5" in seen["table"]["out"]
    assert "eu.anthropic.claude-haiku-4-5" in seen["table"]["out"]


def test_the_command_line_refreshes(seen):
    assert seen["refresh"]["code"] is None
    assert "regions answered" in seen["refresh"]["err"]


def test_the_command_line_writes_the_text_for_a_secrets_backend_with_little_room(seen):
    assert len(seen["file"]["text"].encode()) <= 16_000
    assert json.loads(seen["file"]["text"])["checksum"].startswith("sha256:")
    assert "does not fit --max-bytes=10" in seen["too_small"]["code"]


def test_the_command_line_ends_with_one_sentence_where_it_cannot(seen):
    assert "a_connection_that_is_not_there" in seen["wrong"]["code"]


def test_a_variable_that_was_edited_by_hand_is_said_and_not_used(seen):
    assert seen["damaged"]["source"] == "BUNDLED"
    assert any("catalog_of_tests is not used. It is not JSON" in said for said in seen["damaged"]["said"])
