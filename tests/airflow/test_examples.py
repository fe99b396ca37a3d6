"""Every example: parsed without any connection, and run to its end against the local endpoint."""

from __future__ import annotations

import csv
import json
import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from harness.airflow_home import airflow_db, asset_events, dags_of, run_dag, task_result
from pyarrow.dataset import dataset

__all__ = ["airflow_db"]

FOLDER = Path(__file__).parents[2] / "dags_examples"
EXAMPLES = sorted(FOLDER.glob("*.py"))
DAY = datetime(2026, 11, 20, tzinfo=UTC)

PARSE = """
import json, socket, sys
from pathlib import Path

class NoNetwork(socket.socket):
    def connect(self, *_):
        raise AssertionError("a DAG file reached for the network while it was parsed")

socket.socket = NoNetwork
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(dag_folder=sys.argv[1], collect_dags=True)
print(json.dumps({"errors": bag.import_errors, "dags": {i: Path(d.fileloc).name for i, d in bag.dags.items()}}))
"""


@pytest.fixture
def run_example(airflow_db, connected, tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW__BEDROCK_LLM__WORK_DIR", (tmp_path / "jobs").as_uri())

    def run(name, dag_id=None, **settings):
        dags = dags_of(next(path for path in EXAMPLES if path.stem.endswith(name)))
        dag = dags[dag_id or next(iter(dags))]
        for one in dag.tasks:
            one.retries = 0  # DAG.test would wait for the next try
        finished = run_dag(dag, **settings)
        states = {instance.task_id: str(instance.state) for instance in finished.get_task_instances()}
        assert finished.state == "success", states
        return finished

    return run


def rows_of(summary):
    with Path(summary["output_uri"].removeprefix("file://")).open() as lines:
        return [json.loads(line) for line in lines]


def test_every_example_parses_without_connections_and_without_a_call():
    env = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_CONN_")}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PARSE, str(FOLDER)], capture_output=True, text=True, check=False, env=env
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["errors"] == {}
    assert sorted(set(found["dags"].values())) == [path.name for path in EXAMPLES]


def test_one_prompt(run_example):
    assert task_result(run_example("one_prompt"), "ask")


def test_enrich_reviews(run_example, connected):
    summary = task_result(run_example("enrich_reviews"), "enrich")
    assert summary["counts"]["succeeded"] == summary["counts"]["total"] == 3708
    assert connected.control.stats().calls == 3708


def test_structured_extraction(run_example):
    run = run_example("structured_extraction")
    invoice = task_result(run, "extract")
    assert invoice.keys() == {"number", "currency", "total", "items"}
    assert isinstance(task_result(run, "book"), int | float)


def test_images_and_documents(run_example, connected):
    connected.control.keep_bodies(2)
    run = run_example("images_and_documents")
    assert [len(units) for units in task_result(run, "read_chart").values()] == [4, 4]
    assert task_result(run, "explain")
    sent = [block for call in connected.control.bodies() for block in call["body"]["messages"][0]["content"]]
    assert [next(iter(block)) for block in sent] == ["image", "text", "document", "image", "text"]
    assert (sent[0]["image"]["format"], sent[2]["document"]["format"]) == ("png", "pdf")


def test_refresh_catalog(run_example):
    run_example("refresh_catalog")


def test_embeddings(run_example, connected):
    run = run_example("embeddings")
    assert [len(vector) for vector in task_result(run, "embed_a_few")] == [256, 256]
    rows = rows_of(task_result(run, "embed_reviews"))
    assert len(rows) == 3708
    assert all(len(row["answer"]["embedding"]) == 1024 for row in rows)
    assert connected.control.stats().calls < len(rows) / 10


def test_decorators(run_example):
    run = run_example("decorators")
    assert task_result(run, "greet")
    topics = task_result(run, "topics")
    assert topics.keys() == {"t1", "t2", "t3"}
    assert set(topics.values()) <= {"delivery", "billing", "praise", "other"}


def test_shards_to_parquet(run_example, connected, tmp_path):
    run = run_example("shards_to_parquet")
    instances = [instance for instance in run.get_task_instances() if instance.task_id == "enrich"]
    assert sorted(instance.map_index for instance in instances) == [0, 1, 2]
    table = dataset(tmp_path / "jobs" / "reviews_by_mood", format="parquet", partitioning="hive").to_table()
    with (FOLDER / "data" / "amazon_reviews.csv").open(newline="") as file:
        assert sorted(table.column("id").to_pylist()) == sorted(row["review_id"] for row in csv.DictReader(file))
    assert set(table.column("mood").to_pylist()) <= {"glad", "neutral", "cross"}
    assert connected.control.stats().calls == 3708


@pytest.fixture
def warehouse(tmp_path, monkeypatch):
    """The database of the daily example, as its docstring describes it, with three reviews."""
    path = tmp_path / "warehouse.sqlite"
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": str(path)}))
    schema = next(FOLDER.glob("*_daily_table.py")).read_text()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("".join(re.findall(r"CREATE TABLE [^;]*;", schema)))
        reviews = [("a", "Wonderful."), ("b", "Dreadful."), ("c", "It works.")]
        connection.executemany("INSERT INTO reviews VALUES (?, ?)", reviews)
        connection.commit()
        yield connection


def test_daily_table(run_example, connected, warehouse, tmp_path):
    def judged():
        rows = warehouse.execute("SELECT review_id, mood FROM review_moods ORDER BY review_id").fetchall()
        assert {mood for _, mood in rows} <= {"glad", "neutral", "cross"}
        return [review_id for review_id, _ in rows]

    first = run_example("daily_table", dag_id="daily_table", run_after=DAY)
    assert judged() == ["a", "b", "c"]
    assert connected.control.stats().calls == 3
    warehouse.execute("INSERT INTO reviews VALUES ('d', 'Never again.')")
    warehouse.commit()
    second = run_example("daily_table", dag_id="daily_table", run_after=DAY + timedelta(days=1))
    assert judged() == ["a", "b", "c", "d"]
    assert connected.control.stats().calls == 4
    parquet = dataset(tmp_path / "jobs" / "review_moods.parquet").to_table()
    assert sorted(parquet.column("id").to_pylist()) == ["a", "b", "c", "d"]

    extras = [event.extra for event in asset_events("review_moods")]
    assert extras == [task_result(run, "judge") for run in (first, second)]
    assert [extra["counts"]["reused"] for extra in extras] == [0, 3]


def test_daily_table_wakes_someone_when_it_fails(run_example, connected, warehouse, caplog):
    connected.control.fail("input_too_long", text="Dreadful.")
    with pytest.raises(AssertionError, match="failed"):
        run_example("daily_table", dag_id="daily_table", run_after=DAY + timedelta(days=2))
    assert any("judge of" in line.message and "accept_failures" in line.message for line in caplog.records)
    assert warehouse.execute("SELECT count(*) FROM review_moods").fetchone() == (0,)


REST = [path for path in EXAMPLES if f"test_{path.stem.partition('_')[2]}" not in globals()]


@pytest.mark.parametrize("path", REST, ids=lambda path: path.stem)
def test_every_other_example_runs_to_its_end_too(run_example, path):
    run_example(path.stem)
