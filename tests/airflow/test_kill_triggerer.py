"""The promise of the package, with real processes: a killed triggerer loses no paid answer."""

import csv
import json
import time

import pytest
from harness.airflow_processes import REPOSITORY

pytestmark = pytest.mark.processes

EXAMPLES = REPOSITORY / "dags_examples"
RUN = ("enrich_reviews", "killed")


def test_a_triggerer_killed_in_the_middle_loses_no_paid_answer(start_airflow, slow_endpoint, tmp_path):
    airflow = start_airflow(EXAMPLES, slow_endpoint.url)
    job = tmp_path / "jobs" / "enrich_reviews" / "killed" / "enrich" / "-1"
    review_ids = _review_ids()

    airflow.trigger_dag(RUN[0], run_id=RUN[1])
    _wait_until(lambda: len(_kept_ids(job)) > len(review_ids) / 3)
    airflow.kill("triggerer-1")
    kept = _kept_ids(job)
    _wait_until(lambda: slow_endpoint.control.stats().in_flight == 0)
    calls_until_kill = slow_endpoint.control.stats().calls
    assert len(kept) < len(review_ids), "the job had ended before the kill: nothing was tested"

    airflow.restart("triggerer-1")
    assert airflow.wait_for_run(*RUN, timeout_seconds=180) == "success"

    records = [json.loads(line) for line in (job / "output.jsonl").read_text().splitlines()]
    assert [record["id"] for record in records] == review_ids
    assert all(record["error"] is None for record in records)
    paid_twice = slow_endpoint.control.stats().calls - len(review_ids)
    lost_by_kill = calls_until_kill - len(set(kept))
    assert paid_twice <= lost_by_kill
    assert set(kept) <= _ids_answered_in_the_first_epoch(job)


def _review_ids():
    with (EXAMPLES / "data" / "amazon_reviews.csv").open(newline="") as rows:
        return [row["review_id"] for row in csv.DictReader(rows)]


def _kept_ids(job):
    """The records whose results are on disk."""
    return [line["id"] for part in sorted(job.glob("results/*.jsonl")) for line in map(json.loads, part.open())]


def _ids_answered_in_the_first_epoch(job):
    parts = sorted(job.glob("results/*.jsonl"))
    first_epoch = parts[0].name.partition("-")[0]
    return {line["id"] for part in job.glob(f"results/{first_epoch}-*.jsonl") for line in map(json.loads, part.open())}


def _wait_until(is_so, timeout_seconds=120):
    deadline = time.monotonic() + timeout_seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.1)
