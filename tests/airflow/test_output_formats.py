"""What a job writes: formats, compression, partitions, and what a crash leaves behind."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from harness.enrichment_task import ROWS, SCHEMA

from airflow_provider_bedrock_llm.hooks.outcome import BedrockTaskError

IDS = [row["id"] for row in ROWS]


def files_under(folder):
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file())


def test_parquet_has_typed_columns(enrich, tmp_path, connected):
    summary = enrich(output_uri=str(tmp_path / "out.parquet"), output_schema=SCHEMA)
    table = pa.parquet.read_table(summary["output_uri"])
    assert [(field.name, str(field.type)) for field in table.schema] == [
        ("id", "string"),
        ("country", "string"),
        ("stars", "int64"),
        ("weight", "double"),
        ("tags", "string"),
        ("mood", "string"),
        ("score", "int64"),
        ("parts", "list<element: double>"),
        ("error_cause", "string"),
        ("error_message", "string"),
        ("stop_reason", "string"),
        ("model", "string"),
        ("region", "string"),
        ("input_tokens", "int64"),
        ("output_tokens", "int64"),
        ("cache_read_input_tokens", "int64"),
        ("cache_write_input_tokens", "int64"),
        ("cost_usd", "double"),
    ]
    assert table.column("id").to_pylist() == IDS
    assert table.column("stars").to_pylist() == [row["stars"] for row in ROWS]
    assert sum(table.column("input_tokens").to_pylist()) == summary["usage"]["inputTokens"]
    assert set(table.column("mood").to_pylist()) <= {"glad", "sad"}
    assert connected.control.stats().calls == len(ROWS)


def test_the_schema_is_the_same_when_a_row_fails_and_its_cause_is_a_column(enrich, tmp_path, connected):
    first = enrich(output_uri=str(tmp_path / "a.parquet"), output_schema=SCHEMA)
    connected.control.fail("input_too_long", text="Text <3>.")
    second = enrich(output_uri=str(tmp_path / "b.parquet"), output_schema=SCHEMA, prompt="Judge it: {{ text }}")
    before, after = (pa.parquet.read_table(summary["output_uri"]) for summary in (first, second))
    assert before.schema == after.schema
    failed = [row for row in after.to_pylist() if row["error_cause"]]
    assert [(row["id"], row["error_cause"], row["mood"]) for row in failed] == [("r3", "context_too_long", None)]


@pytest.mark.parametrize("name", ["out.csv", "out.csv.gz", "out.csv.zst"])
def test_csv_is_flat_and_compressed_as_its_name_says(enrich, tmp_path, name):
    summary = enrich(output_uri=str(tmp_path / name), output_schema=SCHEMA)
    codec = {"gz": "gzip", "zst": "zstd"}.get(name.rpartition(".")[2])
    with pa.input_stream(summary["output_uri"], compression=codec) as stream:
        rows = list(csv.DictReader(stream.read().decode().splitlines()))
    assert [row["id"] for row in rows] == IDS
    assert [row["country"] for row in rows] == [row["country"] or "" for row in ROWS]
    assert all(isinstance(json.loads(row["parts"]), list) for row in rows)
    assert rows[1]["error_cause"] == ""


def test_a_format_can_be_named_where_the_file_does_not(enrich, tmp_path):
    summary = enrich(output_uri=str(tmp_path / "out.data"), output_format="jsonl.gz")
    lines = [json.loads(line) for line in gzip.decompress(Path(summary["output_uri"]).read_bytes()).splitlines()]
    assert [line["id"] for line in lines] == IDS
    assert {"answer", "error", "usage"} <= lines[0].keys()


def test_an_unknown_format_is_refused_before_anything_is_spent(enrich, connected):
    with pytest.raises(AirflowFailException, match="output_format='xml'"):
        enrich(output_format="xml")
    with pytest.raises(AirflowFailException, match="partition_by names 'planet'"):
        enrich(partition_by="planet")
    assert connected.control.stats().calls == 0


def test_partitions_are_folders_that_arrow_reads_back(enrich, tmp_path):
    folder = tmp_path / "out"
    enrich(output_uri=str(folder), output_format="parquet", partition_by=["country"], output_schema=SCHEMA)
    assert files_under(folder) == [
        "_SUCCESS",
        "country=DE/part-0000.parquet",
        "country=FR%2FCorsica/part-0000.parquet",
        "country=__HIVE_DEFAULT_PARTITION__/part-0000.parquet",
        "country=a%3Db%20c/part-0000.parquet",
    ]
    table = pa.dataset.dataset(folder, format="parquet", partitioning="hive").to_table()
    assert sorted((row["id"], row["country"]) for row in table.to_pylist()) == sorted(
        (row["id"], row["country"]) for row in ROWS
    )
    assert json.loads((folder / "_SUCCESS").read_bytes())["parts"] == files_under(folder)[1:]


def test_answers_can_be_partitions_and_json_lines_too(enrich, tmp_path):
    folder = tmp_path / "out"
    enrich(output_uri=str(folder), partition_by=["mood", "country"], output_schema=SCHEMA)
    parts = [name for name in files_under(folder) if name != "_SUCCESS"]
    assert {name.split("/")[0] for name in parts} <= {"mood=glad", "mood=sad"}
    lines = [json.loads(line) for name in parts for line in (folder / name).read_text().splitlines()]
    assert sorted(line["id"] for line in lines) == sorted(IDS)
    assert all("country" not in line for line in lines)


def test_more_partitions_than_files_may_be_open(enrich, tmp_path, source):
    rows = [{"id": f"r{n}", "text": "x", "day": f"d{n % 150}"} for n in range(600)]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    enrich(output_uri=str(tmp_path / "out"), partition_by="day", keep_columns="day", dedupe=True)
    names = [name for name in files_under(tmp_path / "out") if name != "_SUCCESS"]
    assert len(names) == 150
    assert [(tmp_path / "out" / name).read_bytes().count(b"\n") for name in names] == [4] * 150


def test_a_rerun_leaves_no_part_of_the_run_before(enrich, tmp_path, source):
    folder = tmp_path / "out"
    enrich(output_uri=str(folder), partition_by="country")
    source.write_text("".join(json.dumps(row) + "\n" for row in ROWS if row["country"] == "DE"))
    enrich(output_uri=str(folder), partition_by="country", output_format="csv")
    assert files_under(folder) == ["_SUCCESS", "country=DE/part-0000.csv"]


def test_a_failure_while_parts_are_written_leaves_no_mark_and_the_next_try_pays_nothing(enrich, tmp_path, connected):
    folder = tmp_path / "out"
    enrich(output_uri=str(folder), partition_by="country")
    in_the_way = folder / "country=a%3Db%20c"
    (in_the_way / "part-0000.jsonl").unlink()
    in_the_way.rmdir()
    in_the_way.touch()
    with pytest.raises(BedrockTaskError, match="country=a%3Db%20c"):
        enrich(output_uri=str(folder), partition_by="country", failed_rows="drop")
    assert files_under(folder) == [
        "country=DE/part-0000.jsonl",
        "country=FR%2FCorsica/part-0000.jsonl",
        "country=__HIVE_DEFAULT_PARTITION__/part-0000.jsonl",
        "country=a%3Db%20c",
    ]
    in_the_way.unlink()
    enrich(output_uri=str(folder), partition_by="country", failed_rows="drop")
    assert "_SUCCESS" in files_under(folder)
    assert len(files_under(folder)) == 5
    assert connected.control.stats().calls == len(ROWS)


@pytest.mark.parametrize("name", ["out.parquet", "out.csv", "out.jsonl"])
def test_failed_rows_can_be_left_out(enrich, tmp_path, connected, name):
    connected.control.fail("input_too_long", text="Text <3>.")
    summary = enrich(output_uri=str(tmp_path / name), failed_rows="drop")
    assert summary["counts"]["failed"] == 1
    data = Path(summary["output_uri"]).read_bytes()
    found = pa.parquet.read_table(summary["output_uri"]).num_rows if name.endswith("parquet") else data.count(b"\n")
    assert found == len(ROWS) - 1 + name.endswith("csv")


def test_a_text_answer_and_columns_of_our_own_names(enrich, tmp_path, source):
    rows = [{"id": 1, "text": "x", "model": "lamp", "mixed": 5, "big": 1 << 70}, {"id": 2, "text": "y", "mixed": "six"}]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    summary = enrich(output_uri=str(tmp_path / "out.parquet"), keep_columns="*")
    found = pa.parquet.read_table(summary["output_uri"]).to_pylist()
    assert [(row["id"], row["input_model"], row["mixed"], row["big"]) for row in found] == [
        ("1", "lamp", "5", str(1 << 70)),
        ("2", None, "six", None),
    ]
    assert all(isinstance(row["answer"], str) for row in found)
