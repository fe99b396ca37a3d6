"""The promise of the package, with real processes: a killed triggerer loses no paid answer."""

import csv
import json
import time

import pytest
from harness.airflow_processes import REPOSITORY

pytestmark = pytest.mark.processes

EXAMPLES = REPOSITORY / "dags_examples"
DAG_ID, RUN_ID = "enrich_reviews", "killed"
MOST_IN_FLIGHT = 50


def test_a_triggerer_killed_in_the_middle_loses_no_paid_answer(start_airflow, slow_endpoint, tmp_path):
    airflow = start_airflow(EXAMPLES, slow_endpoint.url)
    job = tmp_path / "jobs" / DAG_ID / RUN_ID / "enrich" / "-1"
    review_ids = _review_ids()

    airflow.trigger_dag(DAG_ID, run_id=RUN_ID)
    _wait_until(lambda: len(_kept_ids(job)) > len(review_ids) / 3)
    airflow.kill("triggerer-1")
    kept = set(_kept_ids(job))
    _wait_until(lambda: slow_endpoint.control.stats().in_flight == 0)
    lost = _paid_calls(slow_endpoint) - len(kept)
    assert len(kept) < len(review_ids), "the job had ended before the kill: nothing was tested"

    airflow.restart("triggerer-1")
    assert airflow.wait_for_run(DAG_ID, RUN_ID, timeout_seconds=180) == "success"

    records = [json.loads(line) for line in (job / "output.jsonl").read_bytes().splitlines()]
    assert [record["id"] for record in records] == review_ids
    assert [record["error"] for record in records if record["error"] is not None] == []
    assert _paid_calls(slow_endpoint) - len(review_ids) <= lost
    # A part of the journal holds what ended between two flushes, so no more than about one part was unflushed.
    assert lost <= MOST_IN_FLIGHT + 2 * max(len(part) for part in _parts(job))
    assert not kept & {ids for part in _parts(job, but_epoch=1) for ids in part}, "a kept answer was paid twice"


def _paid_calls(endpoint):
    return endpoint.control.stats().by_operation["Converse"]


def _review_ids():
    with (EXAMPLES / "data" / "amazon_reviews.csv").open(newline="") as rows:
        return [row["review_id"] for row in csv.DictReader(rows)]


def _kept_ids(job):
    """The records whose answers are on disk."""
    return [record_id for part in _parts(job) for record_id in part]


def _parts(job, but_epoch=None):
    """The ids in each part of the journal; part names begin with the epoch of who wrote them."""
    return [
        [json.loads(line)["id"] for line in part.read_bytes().splitlines()]
        for part in sorted(job.glob("results/*.jsonl"))
        if int(part.name.partition("-")[0]) != but_epoch
    ]


def _wait_until(is_so, timeout_seconds=120):
    deadline = time.monotonic() + timeout_seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.1)
