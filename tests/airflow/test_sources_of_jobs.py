"""Every kind of source through the operator, from files to the output."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from harness.media_files import make_png

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


@pytest.fixture(scope="module")
def store():
    """One server for all: Airflow keeps its connection to a store."""
    server = moto_server.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(store, monkeypatch):
    extra = {"endpoint_url": store, "region_name": "us-east-1"}
    connection = {"conn_type": "aws", "login": "key", "password": "secret", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_LAKE_STORE", json.dumps(connection))
    fs = open_location("s3://lake_store@lake", "work_dir")._fs
    if not fs.exists("lake"):
        fs.mkdir("lake")
    return "s3://lake_store@lake"


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


def test_images_and_documents_of_rows_on_s3(run, connected, bucket, task_instance):
    place = open_location(f"{bucket}/media", "source")
    for name, data in {"1.png": make_png(), "2.png": make_png(9), "terms.txt": b"Some terms."}.items():
        place.child(name).write(data)
    rows = [
        {"id": 1, "photo": f"{bucket}/media/1.png", "terms": "terms.txt"},
        {"id": 2, "photo": "2.png", "terms": None},
        {"id": 3, "photo": base64.b64encode(make_png(5)).decode(), "terms": None},
    ]
    place.child("rows.jsonl").write("".join(json.dumps(row) + "\n" for row in rows).encode())
    arguments = {
        "source": f"{bucket}/media/rows.jsonl",
        "prompt": "What is in photo {{ id }}?",
        "image_column": "photo",
        "document_column": "terms",
    }
    run(**arguments)
    sent = {kept["body"]["messages"][0]["content"][-1]["text"]: kept["body"] for kept in connected.control.bodies()}
    first, _, third = (sent[f"What is in photo {number}?"]["messages"][0]["content"] for number in (1, 2, 3))
    assert [next(iter(block)) for block in first] == ["image", "document", "text"]
    assert base64.b64decode(first[0]["image"]["source"]["bytes"]) == make_png()
    assert first[1]["document"]["format"] == "txt"
    assert base64.b64decode(third[0]["image"]["source"]["bytes"]) == make_png(5)

    task_instance.id = "another-try"
    place.child("2.png").write(make_png(11))
    assert run(**arguments)["counts"]["reused"] == 2
    assert connected.control.stats().calls == 4


def test_files_in_s3_are_named_to_a_model_that_reads_them(run, connected, bucket):
    place = open_location(f"{bucket}/named", "source")
    place.child("1.png").write(make_png())
    place.child("rows.jsonl").write(b'{"id": 1, "photo": "1.png"}\n')
    run(source=f"{bucket}/named/rows.jsonl", prompt="What?", image_column="photo", media_as_s3_location=True)
    (body,) = (kept["body"] for kept in connected.control.bodies())
    source = {"s3Location": {"uri": "s3://lake/named/1.png"}}
    assert body["messages"][0]["content"][0] == {"image": {"format": "png", "source": source}}


def test_a_row_says_how_it_is_asked(run, connected, tmp_path):
    (tmp_path / "rows.csv").write_text(
        "id,who,limit,role\n1,,,\n2,amazon.nova-micro-v1:0,33,Be a pirate.\n3,No Such Model,,\n"
    )
    summary = run(
        source=str(tmp_path / "rows.csv"),
        prompt="Hello {{ id }}",
        system="Be kind.",
        inference_config={"maxTokens": 99},
        override_columns={"model": "who", "max_tokens": "limit", "system": "role"},
    )
    first, second, third = output_of(summary)
    assert (first["model"], second["model"]) == (NOVA, "amazon.nova-micro-v1:0")
    assert third["error"]["cause"] == "UnknownModelError"
    sent = {kept["body"]["messages"][0]["content"][0]["text"]: kept["body"] for kept in connected.control.bodies()}
    limits = [sent[f"Hello {number}"]["inferenceConfig"]["maxTokens"] for number in (1, 2)]
    assert limits == [99, 33]
    assert [sent[f"Hello {number}"]["system"][0]["text"] for number in (1, 2)] == ["Be kind.", "Be a pirate."]
    assert connected.control.stats().calls == 2


def test_an_override_that_cannot_be_is_refused_before_anything_is_spent(run, connected, tmp_path):
    (tmp_path / "rows.csv").write_text("id,limit\n1,many\n")
    with pytest.raises(AirflowFailException, match="line 2: The column 'limit', which overrides max_tokens"):
        run(source=str(tmp_path / "rows.csv"), prompt="{{ id }}", override_columns={"max_tokens": "limit"})
    with pytest.raises(AirflowFailException, match="override_columns"):
        run(source=str(tmp_path / "rows.csv"), prompt="{{ id }}", override_columns={"modle": "limit"})
    with pytest.raises(AirflowFailException, match="lacks the column 'none'"):
        run(source=str(tmp_path / "rows.csv"), prompt="{{ id }}", override_columns={"model": "none"})
    assert connected.control.stats().calls == 0
