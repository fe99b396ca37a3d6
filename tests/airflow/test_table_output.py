"""Answers into a table of a real database, by key, and again after a failure."""

from __future__ import annotations

import importlib.util
import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from airflow.providers.common.compat.sdk import AirflowFailException
from harness.enrichment_task import ROWS, SCHEMA

from airflow_provider_bedrock_llm.hooks.outcome import BedrockTaskError
from airflow_provider_bedrock_llm.hooks.upsert import plan_upsert

TABLE = "CREATE TABLE moods (id TEXT PRIMARY KEY, mood TEXT, score INTEGER, parts TEXT, stars INTEGER, note TEXT)"


def _databases():
    path = Path(__file__).parents[2] / ".tools" / "airflow_database.py"
    name = "airflow_database"
    if name not in sys.modules:
        specification = importlib.util.spec_from_file_location(name, path)
        sys.modules[name] = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture(scope="module")
def postgresql():
    with _databases()._postgresql_server() as server, _databases()._own_postgresql_database(server) as url:
        yield url


class Database:
    """A database under the connection `tables`, and a look into it."""

    def __init__(self, connect):
        self._connect = connect

    def run(self, sql):
        with closing(self._connect()) as connection, closing(connection.cursor()) as cursor:
            cursor.execute(sql)
            found = cursor.fetchall() if cursor.description else []
            connection.commit()
        return [tuple(row) for row in found]


@pytest.fixture
def database(postgresql, monkeypatch):
    url = sa.make_url(postgresql)
    parts = {"conn_type": "postgres", "host": url.query["host"], "login": url.username, "schema": url.database}
    monkeypatch.setenv("AIRFLOW_CONN_TABLES", json.dumps(parts))
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    yield Database(engine.raw_connection)
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE IF EXISTS moods"))


@pytest.fixture
def into_table(enrich):
    def execute(**arguments):
        return enrich(
            **{
                "output_conn_id": "tables",
                "output_table": "moods",
                "output_schema": SCHEMA,
                "keep_columns": ["stars"],
            }
            | arguments
        )

    return execute


def test_answers_are_upserted_by_id_and_other_columns_stay(into_table, database, connected):
    database.run(TABLE)
    database.run("INSERT INTO moods VALUES ('r3', 'old', 0, '', 0, 'mine'), ('gone', 'old', 0, '', 0, 'mine')")
    into_table()
    assert database.run("SELECT count(*) FROM moods") == [(len(ROWS) + 1,)]
    ((mood, stars, note, parts),) = database.run("SELECT mood, stars, note, parts FROM moods WHERE id = 'r3'")
    assert mood in {"glad", "sad"}
    assert (stars, note) == (3, "mine")
    assert isinstance(json.loads(parts), list)
    assert connected.control.stats().calls == len(ROWS)


def test_a_failed_write_is_repeated_alone_and_pays_nothing(into_table, database, connected):
    connected.control.fail("input_too_long", text="Text <5>.")
    with pytest.raises((BedrockTaskError, AirflowFailException), match="moods"):
        into_table()
    paid = connected.control.stats().calls
    database.run(TABLE)
    summary = into_table()
    assert connected.control.stats().calls == paid
    assert summary["counts"]["failed"] == 1
    assert database.run("SELECT count(*) FROM moods WHERE id = 'r5'") == [(0,)]
    assert database.run("SELECT count(*) FROM moods") == [(len(ROWS) - 1,)]


def test_what_was_written_is_not_written_again(into_table, database):
    database.run(TABLE)
    into_table()
    database.run("DELETE FROM moods")
    into_table()
    assert database.run("SELECT count(*) FROM moods") == [(0,)]


def test_a_changed_row_is_written_over(into_table, database, source):
    database.run(TABLE)
    into_table()
    rows = [row | {"stars": 99} if row["id"] == "r1" else row for row in ROWS]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    into_table()
    assert database.run("SELECT stars FROM moods WHERE id IN ('r1', 'r2') ORDER BY id") == [(99,), (2,)]


def test_bookkeeping_is_written_where_the_table_has_columns_for_it(into_table, database):
    database.run(TABLE)
    database.run("ALTER TABLE moods ADD COLUMN model TEXT")
    database.run("ALTER TABLE moods ADD COLUMN input_tokens INTEGER")
    into_table()
    ((model, tokens),) = database.run("SELECT model, input_tokens FROM moods WHERE id = 'r1'")
    assert model == "amazon.nova-lite-v1:0"
    assert tokens > 0


def test_a_table_without_the_columns_is_refused_with_their_names(into_table, database):
    database.run("CREATE TABLE moods (id TEXT PRIMARY KEY, mood TEXT)")
    with pytest.raises(AirflowFailException, match=r"no column 'stars'; it has: id, mood"):
        into_table()


def test_columns_can_be_mapped_and_keys_can_be_several(into_table, database):
    database.run("CREATE TABLE moods (k TEXT, stars INTEGER, feeling TEXT, PRIMARY KEY (k, stars))")
    for _ in range(2):
        into_table(id_column=["id", "stars"], output_columns={"id": "k", "mood": "feeling"})
    assert database.run("SELECT count(*) FROM moods") == [(len(ROWS),)]
    assert database.run("SELECT k, stars FROM moods WHERE k = 'r7'") == [("r7", 7)]


def test_the_id_column_may_be_called_id_in_the_table(into_table, database, source):
    database.run(TABLE)
    source.write_text('{"key": "k1", "text": "x"}\n')
    into_table(id_column="key", keep_columns=None)
    assert database.run("SELECT id FROM moods") == [("k1",)]


def test_a_write_that_was_not_recorded_is_repeated_with_the_same_result(into_table, database, connected, tmp_path):
    database.run(TABLE)
    into_table()
    before = database.run("SELECT * FROM moods ORDER BY id")
    (record,) = (tmp_path / "jobs").rglob("table.json")
    record.unlink()
    into_table()
    assert database.run("SELECT * FROM moods ORDER BY id") == before
    assert record.exists()
    assert connected.control.stats().calls == len(ROWS)


def test_what_the_database_quotes_of_a_row_does_not_reach_the_log(into_table, database):
    database.run(TABLE.replace("stars INTEGER", "stars INTEGER CHECK (stars < 20)"))
    with pytest.raises(BedrockTaskError, match="violates check constraint") as refused:
        into_table()
    assert "Failing row" not in str(refused.value)


def test_nor_does_an_answer_that_its_column_does_not_take(into_table, database):
    database.run(TABLE)
    with pytest.raises(BedrockTaskError, match="invalid input syntax for type integer") as refused:
        into_table(output_columns={"mood": "score"})
    assert "glad" not in str(refused.value)
    assert "sad" not in str(refused.value)


def test_too_many_failures_write_no_table(into_table, database, connected):
    database.run(TABLE)
    connected.control.fail("input_too_long", text="Text <5>.")
    with pytest.raises(BedrockTaskError, match=r"1 of 40 rows have no answer \(context_too_long 1\)"):
        into_table(accept_failures=0.02)
    assert database.run("SELECT count(*) FROM moods") == [(0,)]
    connected.control.heal()
    into_table(accept_failures=0.02)
    assert database.run("SELECT count(*) FROM moods") == [(len(ROWS),)]
    assert connected.control.stats().calls == len(ROWS) + 1


class _Dialect:
    """MySQL's and a nameless database's words, where no server of theirs runs here."""

    def generate_insert_sql(self, table, values, target_fields):
        return f"INSERT INTO {table} ({', '.join(target_fields)}) VALUES ({', '.join('?' for _ in values)})"

    def escape_word(self, word):
        return word


class _Hook:
    placeholder = "?"
    dialect = _Dialect()

    def __init__(self, dialect_name):
        self.dialect_name = dialect_name


def test_mysql_updates_in_place():
    (statement,) = plan_upsert(_Hook("mysql"), "t", ["id", "a"], ["id"])
    assert statement.sql == "INSERT INTO t (id, a) VALUES (?, ?) ON DUPLICATE KEY UPDATE a = VALUES(a)"


@pytest.mark.parametrize(("dialect", "note"), [("sqlite", "mine"), ("another", None)])
def test_sqlite_keeps_other_columns_and_databases_without_an_upsert_delete_first(dialect, note):
    statements = plan_upsert(_Hook(dialect), "t", ["a", "id"], ["id"])
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE t (id TEXT PRIMARY KEY, a TEXT, note TEXT)")
        connection.execute("INSERT INTO t VALUES ('k', 'zero', 'mine')")
        for value in ("one", "two"):
            for statement in statements:
                connection.executemany(statement.sql, [statement.values((value, "k"))])
        assert connection.execute("SELECT id, a, note FROM t").fetchall() == [("k", "two", note)]


def test_a_connection_without_a_hook_is_refused_with_what_to_install(into_table, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_TABLES", json.dumps({"conn_type": "nothing", "host": "x"}))
    with pytest.raises(AirflowFailException, match="Install apache-airflow-providers-nothing"):
        into_table()
