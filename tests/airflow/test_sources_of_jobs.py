"""Every kind of source through the operator, from files to the output."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_bedrock_llm.core.config import RetryConfig
from airflow_provider_bedrock_llm.jobs.storage import open_location
from airflow_provider_bedrock_llm.operators.parallel import BedrockParallelOperator

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
moto_server = pytest.importorskip("moto.server")

NOVA = "amazon.nova-lite-v1:0"


@pytest.fixture
def run(connected, task_instance, tmp_path):
    connected.control.keep_bodies(100)

    def execute(**arguments):
        settings = {
            "models": [NOVA],
            "id_column": "id",
            "work_dir": str(tmp_path / "jobs"),
            "deferrable": False,
            "retry_config": RetryConfig(max_retries=1, retry_delay=0.0),
        } | arguments
        return BedrockParallelOperator(task_id="the_task", **settings).execute({"ti": task_instance})

    return execute


@pytest.fixture
def bucket(monkeypatch):
    server = moto_server.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    extra = {"endpoint_url": f"http://{host}:{port}", "region_name": "us-east-1"}
    connection = {"conn_type": "aws", "login": "key", "password": "secret", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_LAKE_STORE", json.dumps(connection))
    open_location("s3://lake_store@lake", "work_dir")._fs.mkdir("lake")
    yield "s3://lake_store@lake"
    server.stop()


def output_of(summary):
    return [json.loads(line) for line in Path(summary["output_uri"]).read_text().splitlines()]


def prompts_of(connected):
    return [kept["body"]["messages"][0]["content"][0]["text"] for kept in connected.control.bodies()]


def parquet_of(rows):
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), stream, row_group_size=3)
    return stream.getvalue()


ORDERS = [
    {"id": number, "items": [{"name": f"lamp {number}", "price": 1.5}, {"name": "bulb", "price": 2.0}]}
    for number in range(10)
]
PROMPT = "Order {{ id }}: {% for item in items %}{{ item.name }} {{ item.price }}; {% endfor %}"


def test_a_folder_of_parquet_on_s3(run, connected, bucket, task_instance):
    folder = open_location(f"{bucket}/orders", "source")
    for part in range(2):
        folder.child(f"part-{part}.parquet").write(parquet_of(ORDERS[5 * part : 5 * part + 5]))
    folder.child("_SUCCESS").write(b"")
    summary = run(source=f"{bucket}/orders", prompt=PROMPT, keep_columns=["items"])
    lines = output_of(summary)
    assert [line["id"] for line in lines] == [str(number) for number in range(10)]
    assert lines[7]["items"] == ORDERS[7]["items"]
    assert "Order 7: lamp 7 1.5; bulb 2.0; " in prompts_of(connected)

    task_instance.id = "another-try"
    folder.child("part-2.parquet").write(parquet_of([{**ORDERS[0], "id": 10}]))
    summary = run(source=f"{bucket}/orders/*.parquet", prompt=PROMPT)
    assert summary["counts"]["reused"] == 10
    assert connected.control.stats().calls == 11


def test_csv_in_zstandard(run, connected, tmp_path):
    with pa.CompressedOutputStream(str(tmp_path / "rows.csv.zst"), "zstd") as stream:
        stream.write(b"id,text\n1,good\n2,bad\n")
    summary = run(source=str(tmp_path / "rows.csv.zst"), prompt="Rate {{ text }}")
    assert [line["id"] for line in output_of(summary)] == ["1", "2"]
    assert set(prompts_of(connected)) == {"Rate good", "Rate bad"}


def test_a_bad_row_is_named_by_its_file_before_anything_is_spent(run, connected, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.parquet").write_bytes(parquet_of([{"id": 1, "text": "x"}]))
    (tmp_path / "in" / "b.parquet").write_bytes(parquet_of([{"id": 2, "text": "x"}, {"id": 1, "text": "x"}]))
    with pytest.raises(AirflowFailException, match=r"row 2 of b\.parquet has the id '1', which an earlier row has too"):
        run(source=str(tmp_path / "in"), prompt="{{ text }}")
    assert connected.control.stats().calls == 0


def test_a_column_that_parquet_lacks_is_named_once(run, tmp_path):
    (tmp_path / "a.parquet").write_bytes(parquet_of([{"id": 1, "text": "x"}]))
    with pytest.raises(AirflowFailException, match=r"lacks the column 'txt', .* It has: id, text\."):
        run(source=str(tmp_path / "a.parquet"), prompt="{{ txt }}")
