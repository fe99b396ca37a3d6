"""Every way in which Airflow, or what it stands on, interrupts a job: what the end is, and what is paid twice at most.

The same table, for users, is docs/interruptions.md. One Airflow with two triggerers on PostgreSQL serves all tests;
each has a run of its own, and what is paid is counted by the endpoint.
"""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from harness.airflow_processes import AirflowStack
from harness.interruptions import (
    QUICK_TIMEOUTS,
    InterruptedRun,
    Workload,
    postgresql_processes,
    stopped,
    wait_until,
)

from airflow_provider_bedrock_llm.jobs.storage import open_location
from airflow_provider_bedrock_llm.local import LocalEndpoint

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]

KEY, SECOND_KEY = "AKIAIOSFODNN7EXAMPLE", "AKIAI44QH8DHBEXAMPLE"
IN_FLIGHT = 10
LATENCY_SECONDS = 0.3
AWAY_SECONDS = float(os.environ.get("AWAY_SECONDS", "12"))
"""`make soak` sets a minute."""
A_THAWED_FLUSH = 2 * IN_FLIGHT + round(IN_FLIGHT / LATENCY_SECONDS)
"""What a thawed runner pays before it notices: what was in flight, and what it asks until its next flush."""


@pytest.fixture(scope="module")
def endpoint():
    with LocalEndpoint.spawn(port=0, latency=LATENCY_SECONDS) as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def object_store(tmp_path_factory):
    """A process that speaks S3, and keeps what it has while it stands still."""
    log = tmp_path_factory.mktemp("object-store") / "log"
    command = [sys.executable, "-c", "from moto.server import main; main(['-H', '127.0.0.1', '-p', '0'])"]
    with log.open("w") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=stream)
    wait_until(lambda: "Running on" in log.read_text())
    url = next(line.split()[-1] for line in log.read_text().splitlines() if "Running on" in line)
    extra = {"endpoint_url": url, "region_name": "us-east-1"}
    connection = {"conn_type": "aws", "login": "key", "password": "secret", "extra": extra}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_STORE", json.dumps(connection))
        open_location("s3://store@jobs", "work_dir")._fs.mkdir("jobs")
        yield process, connection
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def workload(tmp_path_factory):
    folder = tmp_path_factory.mktemp("interrupted")
    return Workload(folder, rows=300, in_flight=IN_FLIGHT, object_store="s3://store@jobs/work")


@pytest.fixture(scope="module")
def airflow(workload, endpoint, object_store):
    env = {**QUICK_TIMEOUTS, "AIRFLOW__BEDROCK_LLM__WORK_DIR": (workload.folder / "jobs").as_uri()}
    stack = AirflowStack(workload.folder / "airflow", workload.write(), database="postgresql", triggerers=2, env=env)
    with stack as airflow:
        airflow.add_connection("store", **object_store[1])
        airflow.add_bedrock_connection(endpoint.url)
        yield airflow


@pytest.fixture
def start(airflow, endpoint, workload):
    """Starts a run and returns when a quarter of its rows is kept; afterwards every process runs again."""

    def start(dag_id="on_triggerer", **arguments):
        run = InterruptedRun(airflow, endpoint, workload, dag_id, **arguments)
        run.wait_until_kept(0.25)
        return run

    yield start
    for name in ("triggerer-1", "triggerer-2", "scheduler"):
        if airflow.is_running(name):
            airflow.kill(name, signal.SIGCONT)
        else:
            airflow.restart(name)


def test_a_killed_worker_costs_what_was_in_flight_and_not_flushed(start):
    run = start("on_worker")
    task = run.process
    supervisor = task.parent()
    task.kill()
    supervisor.kill()
    lost = run.unkept
    run.assert_succeeds(lost=lost)


def test_a_killed_triggerer_costs_what_was_in_flight_and_not_flushed(start, airflow):
    run = start()
    airflow.kill(run.triggerer)
    lost = run.unkept
    run.assert_succeeds(lost=lost)


@pytest.mark.parametrize("with_all", [True, False])
def test_a_triggerer_that_is_shut_down_lets_every_answer_come_in(start, airflow, with_all):
    run = start()
    airflow.shut_down(run.triggerer, with_all=with_all)
    run.assert_succeeds(lost=0)


def test_a_frozen_triggerer_that_thaws_stops_within_one_flush(start, airflow):
    run = start()
    frozen = run.triggerer
    airflow.kill(frozen, signal.SIGSTOP)
    unkept = run.unkept
    wait_until(lambda: run.triggerer != frozen)
    run.wait_until_kept(0.5)
    airflow.kill(frozen, signal.SIGCONT)
    run.assert_succeeds(lost=unkept + A_THAWED_FLUSH)


def test_a_scheduler_that_is_killed_and_started_again_costs_nothing(start, airflow):
    run = start()
    airflow.kill("scheduler")
    time.sleep(3)
    airflow.restart("scheduler")
    run.assert_succeeds(lost=0)


def test_a_cleared_task_goes_on_in_its_next_try(start):
    run = start()
    unkept = run.unkept
    run.clear()
    run.assert_succeeds(lost=unkept + A_THAWED_FLUSH)


@pytest.mark.parametrize("state", ["failed", "success"])
def test_a_task_that_is_marked_stops_paying_and_a_clear_pays_the_rest(start, state):
    run = start()
    run.set_state(state)
    run.assert_stops()
    assert run.state == state
    run.clear()
    run.assert_succeeds(lost=0)


def test_a_run_that_is_deleted_stops_paying(start, airflow):
    run = start()
    run.set_run_state("failed")
    run.delete()
    run.assert_stops()
    runs = airflow.rest("GET", f"/api/v2/dags/{run.dag_id}/dagRuns?limit=100")["dag_runs"]
    assert run.run_id not in {one["dag_run_id"] for one in runs}


def test_a_task_on_the_worker_that_is_marked_failed_stops_paying_and_a_clear_pays_the_rest(start):
    run = start("on_worker")
    run.set_state("failed")
    run.assert_stops()
    run.clear()
    run.assert_succeeds(lost=0)


def test_a_deadline_ends_a_try_and_the_next_pays_the_rest(start, airflow):
    run = start("with_deadline")
    wait_until(lambda: run.manifest.state == "stopped")
    assert len(set(run.kept_ids)) == run.calls < run.workload.rows
    run.assert_succeeds(lost=0)
    tries = airflow.rest("GET", f"/api/v2/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances/enrich")["try_number"]
    assert tries > 1


def test_a_database_that_is_away_for_a_while_costs_at_most_a_take_over(start, airflow):
    run = start()
    with stopped(postgresql_processes(airflow.database_url)):
        unkept = run.unkept
        time.sleep(AWAY_SECONDS)
    run.assert_succeeds(lost=unkept + A_THAWED_FLUSH)


def test_an_object_store_that_is_away_for_a_while_costs_nothing(start, object_store):
    process, _ = object_store
    run = start("on_object_store", folder="s3://store@jobs/work")
    process.send_signal(signal.SIGSTOP)
    time.sleep(AWAY_SECONDS)
    process.send_signal(signal.SIGCONT)
    run.assert_succeeds(lost=0)


def test_credentials_that_expire_end_the_try_and_the_next_pays_the_rest_with_new_ones(start, airflow, endpoint):
    run = start()
    endpoint.control.credential(KEY, error="expired_token")
    airflow.add_bedrock_connection(endpoint.url, SECOND_KEY)
    run.assert_succeeds(lost=0)
