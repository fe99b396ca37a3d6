"""common-ai's own LLMBatchOperator, from its released package, through our adapter: a Bedrock batch job."""

from __future__ import annotations

import importlib
import json
import tomllib

import pytest

pytest.importorskip("airflow.providers.common.ai")

from airflow.providers.common.ai.batch.dispatch import ENTRY_POINT_GROUP, register_adapter
from airflow.providers.common.ai.batch.output_schema import build_output_spec
from airflow.providers.common.ai.exceptions import LLMBatchLimitExceededError, LLMBatchModelMismatchError
from airflow.providers.common.ai.operators.llm_batch import LLMBatchOperator
from harness.airflow_processes import REPOSITORY
from harness.endpoint import NOVA
from harness.store import BUCKET, ROLE, store
from harness.task import TaskInstance, connect
from pydantic import BaseModel

from airflow_provider_bedrock_llm.common_ai import BatchNotFoundError, BedrockBatchAdapter
from airflow_provider_bedrock_llm.core.errors import ConfigurationError
from airflow_provider_bedrock_llm.local import LocalEndpoint

KEY, PRINT = "k" * 16, "f" * 64
TEXT = build_output_spec(str)


__all__ = ["store"]


class Stars(BaseModel):
    stars: int


@pytest.fixture(scope="module")
def endpoint_of_module(store):
    def answer(call):
        return {"stars": 4} if call.output_schema else f"answer to {call.text}"

    with LocalEndpoint(s3_endpoint=store.url, answerer=answer) as endpoint:
        yield endpoint


@pytest.fixture
def connections(endpoint_of_module, store, monkeypatch):
    """A connection of common-ai's, which says nothing, and ours, which says everything."""
    endpoint_of_module.control.reset()
    endpoint_of_module.control.batch(min_records=1)
    extra = {
        "endpoint_url": endpoint_of_module.url,
        "region_name": "us-east-1",
        "batch_role_arn": ROLE,
        "batch_s3_uri": f"s3://{BUCKET}/common-ai",
        "service_config": {"s3": {"endpoint_url": store.url}},
    }
    connect(monkeypatch, extra=extra)
    monkeypatch.setenv("AIRFLOW_CONN_COMMON_AI", json.dumps({"conn_type": "pydanticai"}))
    register_adapter(BedrockBatchAdapter)
    return endpoint_of_module


def run(tmp_path, **arguments):
    operator = LLMBatchOperator(
        **{
            "task_id": "rate",
            "requests": [f"text {number}" for number in range(6)],
            "result_path": (tmp_path / "results").as_uri(),
            "llm_conn_id": "common_ai",
            "model_id": f"bedrock:{NOVA}",
            "deferrable": False,
            **arguments,
        }
    )
    operator.poll_interval = 0.1  # its constructor takes 30 seconds at least
    task_instance = TaskInstance()
    return operator.execute({"ti": task_instance, "task_instance": task_instance})


def rows_of(tmp_path):
    files = [path for path in (tmp_path / "results").rglob("*.jsonl") if "_state" not in str(path)]
    return [json.loads(line) for path in files for line in path.read_text().splitlines()]


def test_its_operator_completes_a_batch(connections, tmp_path):
    manifest = run(tmp_path)
    assert manifest["counts"]["succeeded"] == 6
    rows = sorted(rows_of(tmp_path), key=lambda row: row["index"])
    assert [row["output"] for row in rows] == [f"answer to text {number}" for number in range(6)]
    assert [job["modelInvocationType"] for job in connections.control.batch_jobs()] == ["Converse"]


def test_structured_output_comes_validated(connections, tmp_path):
    run(tmp_path, output_type=Stars)
    assert [row["output"] for row in rows_of(tmp_path)] == [{"stars": 4}] * 6


def test_a_record_that_fails_is_an_error_row(connections, tmp_path):
    connections.control.fail("internal", operation="BatchRecord", every=3)
    manifest = run(tmp_path)
    assert (manifest["counts"]["succeeded"], manifest["counts"]["errored"]) == (4, 2)


def test_a_batch_whose_reply_was_lost_is_found_again_by_both_identifiers(connections):
    adapter = BedrockBatchAdapter()
    given = {"model": NOVA, "output_spec": TEXT, "idempotency_key": KEY}
    batch = adapter.submit([{"prompt": "text"}], input_fingerprint=PRINT, **given)
    assert adapter.find_orphaned_batch(KEY, PRINT, "2026-01-01T00:00:00+00:00") == batch.batch_id
    assert adapter.find_orphaned_batch(KEY, "0" * 64, "2026-01-01T00:00:00+00:00") is None
    assert adapter.find_orphaned_batch(KEY, PRINT, "2099-01-01T00:00:00+00:00") is None
    adapter.close()


def test_a_batch_can_be_cancelled(connections):
    connections.control.batch(min_records=1, queue_seconds=60)
    adapter = BedrockBatchAdapter()
    given = {"model": NOVA, "output_spec": TEXT, "idempotency_key": KEY, "input_fingerprint": PRINT}
    batch_id = adapter.submit([{"prompt": "text"}], **given).batch_id
    assert adapter.get_batch(batch_id).status == "in_progress"
    adapter.cancel_batch(batch_id)
    while adapter.get_batch(batch_id).status == "in_progress":
        pass
    assert adapter.get_batch(batch_id).status == "cancelled"
    adapter.close()


def test_a_job_that_is_not_there_is_said_in_the_way_that_common_ai_reads(connections):
    with pytest.raises(BatchNotFoundError) as caught:
        BedrockBatchAdapter().get_batch("arn:aws:bedrock:us-east-1:123456789012:model-invocation-job/abcdefghijkl")
    assert caught.value.status_code == 404


def test_what_bedrock_does_not_take_is_refused_before_anything_is_sent(connections, monkeypatch):
    adapter = BedrockBatchAdapter()
    given = {"model": NOVA, "output_spec": TEXT, "idempotency_key": KEY}
    with pytest.raises(LLMBatchLimitExceededError, match="50000"):
        adapter.validate_requests([{"prompt": "text"}] * 50_001, **given)
    with pytest.raises(LLMBatchModelMismatchError, match="one model"):
        adapter.validate_requests([{"prompt": "text", "model": "bedrock:another.model"}], **given)
    connect(monkeypatch, extra={"region_name": "us-east-1"})
    with pytest.raises(ConfigurationError, match="batch_role_arn"):
        BedrockBatchAdapter().validate_requests([{"prompt": "text"}], **given)
    assert connections.control.stats().calls == 0


def test_the_entry_point_names_the_adapter():
    entry_points = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["entry-points"]
    module, _, name = entry_points[ENTRY_POINT_GROUP][BedrockBatchAdapter.name].partition(":")
    assert getattr(importlib.import_module(module), name) is BedrockBatchAdapter
