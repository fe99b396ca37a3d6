"""A whole job on object storage, reached as Airflow reaches it."""

import json

import pytest
from harness.job_engine import CountingEngine
from harness.job_folder import QUICK, assert_exact, job_of, rows_of

from airflow_provider_bedrock_llm.core.errors import LeaseLostError
from airflow_provider_bedrock_llm.jobs.lease import take_lease
from airflow_provider_bedrock_llm.jobs.manifest import Manifest
from airflow_provider_bedrock_llm.jobs.runner import run_job
from airflow_provider_bedrock_llm.jobs.storage import open_location

pytest.importorskip("airflow.sdk")
pytest.importorskip("s3fs")
moto_server = pytest.importorskip("moto.server")


@pytest.fixture
def bucket(monkeypatch):
    server = moto_server.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    extra = {"endpoint_url": f"http://{host}:{port}", "region_name": "us-east-1"}
    connection = {"conn_type": "aws", "login": "key", "password": "secret", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_STORE", json.dumps(connection))
    open_location("s3://store@jobs", "work_dir")._fs.mkdir("jobs")
    yield "s3://store@jobs"
    server.stop()


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
