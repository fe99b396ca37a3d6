"""Rows of a database as a source: streamed by the worker into the job's folder, from PostgreSQL and SQLite."""

from __future__ import annotations

import json
import sqlite3
import tracemalloc
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred
from harness.postgresql import postgresql, run_sql
from harness.task import connect

from airflow_provider_bedrock_llm.core.config import RetryConfig
from airflow_provider_bedrock_llm.core.errors import ConfigurationError, SourceError
from airflow_provider_bedrock_llm.hooks.sql_rows import query_of, sql_hook, stream_rows
from airflow_provider_bedrock_llm.operators.parallel import BedrockParallelOperator

DbApiHook = pytest.importorskip("airflow.providers.common.sql.hooks.sql").DbApiHook

__all__ = ["postgresql"]

NOVA = "amazon.nova-lite-v1:0"
CREATE = """
CREATE TABLE reviews (id bigint PRIMARY KEY, text text, price numeric(10, 2), day date, tags text[], info jsonb,
    data bytea, "Mixed Case" int);
INSERT INTO reviews
SELECT n, 'Review ' || n, n * 1.25, DATE '2026-01-01' + n, ARRAY['a', 'b'], '{"k": [1]}', '\\x61'::bytea, -n
FROM generate_series(30, 1, -1) AS n
"""


@pytest.fixture
def reviews(postgresql, monkeypatch):
    connect(monkeypatch, "lake", **postgresql)
    run_sql(postgresql, "DROP TABLE IF EXISTS reviews", CREATE)
    return postgresql


@pytest.fixture
def run(connected, task_instance, tmp_path):
    connected.control.keep_bodies(100)

    def execute(**arguments):
        settings = {
            "models": [NOVA],
            "id_column": "id",
            "prompt": "Rate {{ text }}",
            "source_conn_id": "lake",
            "work_dir": str(tmp_path / "jobs"),
            "deferrable": False,
            "retry_config": RetryConfig(max_retries=1, retry_delay=0.0),
        } | arguments
        return BedrockParallelOperator(task_id="the_task", **settings).execute({"ti": task_instance})

    return execute


def output_of(summary):
    return [json.loads(line) for line in Path(summary["output_uri"]).read_text().splitlines()]


class SqliteHook(DbApiHook):
    """The least hook: a connection to a file."""

    conn_name_attr = "path"

    def get_conn(self):
        return sqlite3.connect(self.path)


def sqlite_of(path, *statements):
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()
    return SqliteHook(path=str(path))


def test_a_table_is_asked_in_the_order_of_its_key_with_its_types(run, reviews, connected):
    summary = run(table="reviews", keep_columns="*")
    lines = output_of(summary)
    assert [line["id"] for line in lines] == [str(number) for number in range(1, 31)]
    seventh = {name: lines[6][name] for name in ("text", "price", "day", "tags", "info", "data", "Mixed Case")}
    assert seventh == {
        "text": "Review 7",
        "price": 8.75,
        "day": "2026-01-08",
        "tags": ["a", "b"],
        "info": {"k": [1]},
        "data": "YQ==",
        "Mixed Case": -7,
    }
    assert connected.control.stats().calls == 30


def test_a_query_with_a_composite_key(run, reviews):
    sql = "WITH few AS (SELECT * FROM reviews WHERE text LIKE '%1%') SELECT day, id, text FROM few;"
    summary = run(sql=sql, id_column=["day", "id"])
    ids = [json.loads(line["id"]) for line in output_of(summary)]
    assert ids[0] == ["2026-01-02", "1"]
    assert ids == sorted(ids)
    assert len(ids) == 12


def test_rows_without_a_key_are_named_by_their_content(run, reviews):
    summary = run(sql="SELECT text FROM reviews UNION ALL SELECT 'Review 1'", id_column=None)
    ids = [line["id"] for line in output_of(summary)]
    assert len(set(ids)) == 31
    assert sum(name.endswith("-2") for name in ids) == 1


def test_the_next_try_reads_anew_and_pays_for_what_changed(run, reviews, connected, task_instance):
    run(table="reviews")
    run_sql(
        reviews,
        "UPDATE reviews SET text = 'Changed' WHERE id = 3",
        "INSERT INTO reviews (id, text) VALUES (99, 'New')",
        "DELETE FROM reviews WHERE id = 5",
    )
    task_instance.id = "try-2"
    summary = run(table="reviews")
    assert summary["counts"] | {"total": 30, "reused": 28} == summary["counts"]
    assert connected.control.stats().calls == 32


def test_rows_that_did_not_change_cost_nothing_and_are_not_deferred(run, reviews, connected, task_instance):
    run(table="reviews")
    task_instance.id = "try-2"
    assert run(table="reviews", deferrable=True)["counts"]["succeeded"] == 30
    assert connected.control.stats().calls == 30


def test_what_is_deferred_needs_no_database(run, reviews, tmp_path):
    with pytest.raises(TaskDeferred) as deferred:
        run(table="reviews", deferrable=True)
    _, arguments = deferred.value.trigger.serialize()
    spec = json.loads((Path(arguments["job_uri"]) / "job.json").read_text())
    assert Path(spec["source_uri"]).is_file()
    assert "lake" not in json.dumps([arguments, spec])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"sql": "SELECT nothing FROM reviews"}, "The database refuses the query: UndefinedColumn"),
        ({"table": "no_such_table"}, "no_such_table"),
        ({"table": "reviews", "id_column": "number"}, "Correct `sql`, `table` or `id_column`"),
        ({"sql": "SELECT id, id AS id, text FROM reviews", "id_column": None}, "two columns named 'id'"),
        ({"sql": "SELECT 1", "table": "reviews"}, "The task has sql and table"),
        ({"table": "reviews", "source": "x.csv"}, "The task has source and table"),
        ({"table": "reviews", "source_conn_id": None}, "`table` needs `source_conn_id`"),
        ({"table": "reviews", "prompt": None}, "`table` needs a `prompt`"),
        ({"table": "reviews", "source_conn_id": "bedrock_llm_default"}, "which runs no SQL"),
        ({"sql": "SELECT int4range(1, 2) AS span, 1 AS id, 'x' AS text"}, "Cast it to text in the query"),
    ],
)
def test_bad_input_is_refused_before_anything_is_spent(run, reviews, connected, arguments, words):
    with pytest.raises(AirflowFailException) as caught:
        run(**arguments)
    assert words in str(caught.value)
    assert connected.control.stats().calls == 0


def test_a_database_that_is_away_may_be_back_at_the_next_try(run, connected, monkeypatch, tmp_path):
    connect(monkeypatch, "lake", conn_type="postgres", host=str(tmp_path), port=5999)
    with pytest.raises(Exception, match="5999") as caught:
        run(table="reviews")
    assert not isinstance(caught.value, AirflowFailException)
    assert connected.control.stats().calls == 0


def test_postgresql_rows_stay_on_the_server_until_they_are_read(reviews):
    hook = sql_hook("lake")
    rows = stream_rows(hook, "SELECT n AS id, repeat('x', 200) AS text FROM generate_series(1, 50000) AS n")
    assert next(rows)["id"] == 1
    run_sql(reviews, "SELECT 1")
    tracemalloc.start()
    count = sum(1 for _ in rows)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 49_999
    assert peak_bytes < 8_000_000


def test_sqlite_is_read_by_the_same_way(tmp_path):
    hook = sqlite_of(tmp_path / "x.db", "CREATE TABLE t (id, text)", "INSERT INTO t VALUES (2, 'b'), (1, 'a')")
    assert list(stream_rows(hook, query_of(None, "t", ("id",)))) == [{"id": 1, "text": "a"}, {"id": 2, "text": "b"}]
    assert list(stream_rows(hook, "SELECT * FROM t WHERE id > 5")) == []
    with pytest.raises(SourceError, match="gives no rows"):
        list(stream_rows(hook, "UPDATE t SET text = 'c'"))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("SELECT 1;", None, ()), "SELECT 1"),
        ((None, "s.t", ()), "SELECT * FROM s.t"),
        ((None, "t", ("id",)), "SELECT * FROM t ORDER BY id"),
        ((None, "t", ("ID", "Mixed", 'a"b')), 'SELECT * FROM t ORDER BY ID, "Mixed", "a""b"'),
        (("SELECT 1 ;\n", None, ("a",)), "SELECT * FROM (SELECT 1) bedrock_llm_rows ORDER BY a"),
    ],
)
def test_the_query_asks_for_the_order_of_the_key(arguments, expected):
    assert query_of(*arguments) == expected


def test_a_query_may_stand_in_a_file_and_be_templated():
    assert {"sql", "table", "source_conn_id"} <= set(BedrockParallelOperator.template_fields)
    assert ".sql" in BedrockParallelOperator.template_ext


def test_without_the_extra_the_error_names_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "airflow.providers.common.sql.hooks.sql", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'airflow-provider-bedrock-llm\[sql\]'"):
        sql_hook("lake")


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("out.jsonl", {}),
        ("out.parquet", {"keep_columns": ["price"]}),
        ("out.csv", {"keep_columns": "*"}),
        ("out", {"keep_columns": ["day"], "partition_by": "day", "output_format": "parquet"}),
        ("out.jsonl", {"estimate": True, "mode": "auto", "approve_above_usd": 0.01, "budget": 0.01}),
        ("out.jsonl", {"reuse": "task", "dedupe": True, "accept_failures": 0.0}),
        ("out.jsonl", {"output_table": "reviews", "output_conn_id": "lake", "output_columns": {"answer": "text"}}),
    ],
)
def test_a_query_without_rows_is_a_job_without_rows(run, reviews, connected, tmp_path, name, settings):
    output = tmp_path / name
    summary = run(sql="SELECT * FROM reviews WHERE id < 0", output_uri=str(output), **settings)
    assert (summary["state"], summary["counts"]["total"], connected.control.stats().calls) == ("succeeded", 0, 0)
    assert output.exists()
