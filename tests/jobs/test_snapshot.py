"""A query's rows in the job's folder: taken whole, taken anew, or left as they are."""

import json
from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from harness.job_engine import CountingEngine
from harness.job_folder import QUICK, job_of

from airflow_provider_bedrock_llm.core.errors import SourceError
from airflow_provider_bedrock_llm.jobs.job import JobSpec
from airflow_provider_bedrock_llm.jobs.manifest import Manifest
from airflow_provider_bedrock_llm.jobs.runner import run_job
from airflow_provider_bedrock_llm.jobs.snapshot import snapshot_uri, take_snapshot

ROWS = [{"id": number, "text": f"text {number}"} for number in range(1200)]


class Query:
    """Counts how often it runs."""

    def __init__(self, rows):
        self.rows = rows
        self.runs = 0

    def __call__(self):
        self.runs += 1
        yield from self.rows


@pytest.fixture
def take(tmp_path):
    job_uri = str(tmp_path / "job")

    def taken(token, query, **options):
        spec = job_of(tmp_path, source_uri=snapshot_uri(job_uri, token), source_format="jsonl")
        snapshot = take_snapshot(spec, token, query, **options)
        spec = replace(spec, source_uri=snapshot_uri(job_uri, snapshot.token))
        spec.save()
        return spec, snapshot

    return taken


def fields_of(spec):
    return [row.fields() for row in spec.source.rows()]


def files_of(spec):
    return spec.folder.child("input").names()


def test_the_rows_are_in_the_folder_as_a_source(take):
    spec, snapshot = take("try-1", Query(ROWS))
    assert fields_of(spec) == ROWS
    assert snapshot.rows == 1200
    assert files_of(spec) == ["try-1.json", "try-1.jsonl.gz"]


def test_values_are_plain(take):
    spec, _ = take(
        "try-1", Query([{"id": Decimal(7), "day": date(2026, 1, 2), "blob": b"a", "list": [Decimal("1.5")]}])
    )
    assert fields_of(spec) == [{"id": 7, "day": "2026-01-02", "blob": "YQ==", "list": [1.5]}]


def test_a_value_that_json_cannot_hold_names_its_column(take):
    with pytest.raises(SourceError, match=r"'span' of the query holds a value of type range.*Cast it to text"):
        take("try-1", Query([{"id": 1, "span": range(3)}]))


def test_the_run_of_the_task_that_took_it_takes_it_as_it_is(take):
    query = Query(ROWS)
    take("try-1", query)
    spec, _ = take("try-1", query)
    assert query.runs == 1
    assert fields_of(spec) == ROWS


def test_another_try_reads_the_database_anew_and_lets_go_of_the_old_rows(take):
    take("try-1", Query(ROWS))
    spec, _ = take("try-2", Query([*ROWS, {"id": "new", "text": "x"}]))
    assert len(fields_of(spec)) == 1201
    assert files_of(spec) == ["try-2.json", "try-2.jsonl.gz"]


def test_rows_that_are_the_same_leave_the_job_as_it_is(take):
    before, _ = take("try-1", Query(ROWS))
    query = Query(ROWS)
    after, _ = take("try-2", query)
    assert query.runs == 1
    assert after == before
    assert files_of(after) == ["try-1.json", "try-1.jsonl.gz"]


def test_a_query_that_breaks_off_leaves_no_snapshot(take):
    def broken():
        yield from ROWS
        raise RuntimeError("the database is away")

    with pytest.raises(RuntimeError, match="away"):
        take("try-1", broken)
    query = Query(ROWS[:5])
    spec, _ = take("try-1", query)
    assert query.runs == 1
    assert len(fields_of(spec)) == 5


def test_rows_without_their_closing_file_do_not_count(take):
    spec, _ = take("try-1", Query(ROWS))
    spec.folder.child("input").child("try-1.json").delete()
    query = Query(ROWS[:5])
    spec, _ = take("try-1", query)
    assert query.runs == 1
    assert len(fields_of(spec)) == 5


@pytest.mark.parametrize(("age_seconds", "runs"), [(5, 0), (600, 1)])
async def test_while_the_job_runs_elsewhere_its_rows_stay(take, age_seconds, runs):
    spec, _ = take("try-1", Query(ROWS[:10]))
    seen = []
    await run_job(spec, CountingEngine(), pace=QUICK, on_progress=seen.append)
    running = replace(seen[-1], state="running", updated_at="2026-11-21T10:00:00+00:00")
    spec.folder.child("manifest.json").write(running.to_json())
    assert Manifest.load(spec.folder).state == "running"
    query = Query(ROWS)
    now = 1795255200.0 + age_seconds
    spec, _ = take("try-2", query, now=lambda: now)
    assert query.runs == runs
    assert len(fields_of(spec)) == (1200 if runs else 10)


async def test_changed_rows_alone_are_asked_again(take):
    spec, _ = take("try-1", Query(ROWS[:20]))
    await run_job(spec, CountingEngine(), pace=QUICK, token="try-1")
    changed = [{**row, "text": "changed"} if row["id"] == 7 else row for row in ROWS[:21]]
    spec, _ = take("try-2", Query(changed))
    engine = CountingEngine()
    manifest = await run_job(JobSpec.load(spec.job_uri), engine, pace=QUICK, token="try-2")
    assert sorted(engine.paid) == ["Rate: changed", "Rate: text 20"]
    assert (manifest.counts.total, manifest.counts.reused) == (21, 19)


def test_no_row_is_quoted_in_the_closing_file(take):
    spec, _ = take("try-1", Query([{"id": 1, "text": "canary-row"}]))
    closing = spec.folder.child("input").child("try-1.json").read()
    assert json.loads(closing).keys() == {"token", "rows", "sha256"}
