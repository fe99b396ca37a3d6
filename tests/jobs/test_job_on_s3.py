"""A whole job on object storage, reached as Airflow reaches it."""

import csv
import gzip
import json
from dataclasses import replace

import pytest
from harness.job_engine import CountingEngine
from harness.job_folder import QUICK, assert_exact, job_of, rows_of

from airflow_provider_bedrock_llm.core.errors import LeaseLostError, OutputError
from airflow_provider_bedrock_llm.jobs.lease import take_lease
from airflow_provider_bedrock_llm.jobs.manifest import Manifest
from airflow_provider_bedrock_llm.jobs.runner import run_job
from airflow_provider_bedrock_llm.jobs.sink import Sink
from airflow_provider_bedrock_llm.jobs.storage import open_location

pytest.importorskip("airflow.sdk")
pytest.importorskip("s3fs")
moto_server = pytest.importorskip("moto.server")


@pytest.fixture(scope="module")
def store():
    """One server for all tests here: fsspec keeps the connection of a URI as long as the process lives."""
    server = moto_server.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    extra = {"endpoint_url": f"http://{host}:{port}", "region_name": "us-east-1"}
    connection = {"conn_type": "aws", "login": "key", "password": "secret", "extra": extra}
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AIRFLOW_CONN_STORE", json.dumps(connection))
        open_location("s3://store@jobs", "work_dir")._fs.mkdir("jobs")
        yield "s3://store@jobs"
    server.stop()


@pytest.fixture
def bucket(store, request):
    return f"{store}/{request.node.name}"


@pytest.fixture
def spec(tmp_path, bucket):
    rows = rows_of(60)
    source = open_location(f"{bucket}/in/rows.jsonl", "source")
    source.write("".join(json.dumps(row) + "\n" for row in rows).encode())
    return job_of(tmp_path, job_uri=f"{bucket}/jobs/dag/run/task/-1", source_uri=f"{bucket}/in/rows.jsonl")


async def test_a_job_on_s3_is_resumed_fenced_and_exact(spec):
    engine = CountingEngine(latency_seconds=0.01)
    engine.on_paid = lambda calls: pending.append(calls) if calls == 30 else None
    pending = []

    def take_over(manifest):
        if pending:
            pending.clear()
            take_lease(spec.folder, {"host": "another"})

    with pytest.raises(LeaseLostError):
        await run_job(spec, engine, pace=QUICK, on_progress=take_over)
    second = CountingEngine()
    manifest = await run_job(spec, second, pace=QUICK)

    assert_exact(spec, rows_of(60))
    assert manifest.counts.reused == 60 - second.calls
    assert manifest.counts.reused > 0
    assert Manifest.load(spec.folder) == manifest
    assert manifest.output_uri == f"{spec.job_uri}/output.jsonl"


async def test_partitions_on_s3_are_replaced_whole(spec, bucket):
    sink = Sink(format="parquet", partition_by=("kind",), dead_letter_uri=f"{bucket}/dead.jsonl")
    first = replace(spec, output_uri=f"{bucket}/out", keep_columns=("kind",), sink=sink)
    await run_job(first, CountingEngine(), pace=QUICK)
    assert _keys(first.output) == ["_SUCCESS", *(f"kind={kind}/part-0000.parquet" for kind in range(3))]

    few = [row for row in rows_of(60) if row["kind"] == 1]
    open_location(spec.source_uri, "source").write("".join(json.dumps(row) + "\n" for row in few).encode())
    second = CountingEngine()
    await run_job(replace(first, sink=replace(sink, format="csv.gz")), second, pace=QUICK)

    assert second.calls == 0
    assert _keys(first.output) == ["_SUCCESS", "kind=1/part-0000.csv.gz"]
    text = gzip.decompress(first.output.child("kind=1").child("part-0000.csv.gz").read()).decode()
    assert [line["id"] for line in csv.DictReader(text.splitlines())] == [row["id"] for row in few]
    assert open_location(f"{bucket}/dead.jsonl", "dead").read() == b""


def _keys(folder, prefix=""):
    return sorted(
        key
        for name in folder.names()
        for key in (_keys(folder.child(name), f"{prefix}{name}/") if "=" in name else [f"{prefix}{name}"])
    )


def test_a_store_that_is_away_is_told_as_locations_tell_it(monkeypatch):
    extra = {"endpoint_url": "http://127.0.0.1:9", "region_name": "us-east-1"}
    connection = {"conn_type": "aws", "login": "key", "password": "secret", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_AWAY", json.dumps(connection))
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    away = open_location("s3://away@jobs/folder/file", "work_dir")
    for read in (away.read, away.fingerprint, away.open):
        with pytest.raises(OSError, match="folder/file"):
            read()
    for ask in (away.exists, lambda: away.write(b"x")):
        with pytest.raises(OutputError, match="what was kept before stays kept"):
            ask()
