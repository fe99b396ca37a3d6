"""OpenLineage's own extractor over the operator, and what it would send."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from airflow.utils.state import TaskInstanceState
from harness.enrichment_task import ROWS
from harness.postgresql import postgresql
from harness.task import connect

pytest.importorskip("airflow.providers.openlineage")

from airflow.providers.openlineage.extractors.manager import ExtractorManager
from airflow.providers.openlineage.utils.utils import OpenLineageRedactor
from airflow.sdk import DAG
from airflow.sdk._shared.secrets_masker import DEFAULT_SENSITIVE_FIELDS
from openlineage.client.event_v2 import Job, Run, RunEvent, RunState
from openlineage.client.serde import Serde
from openlineage.client.uuid import generate_new_uuid

from airflow_provider_bedrock_llm.core.config import RetryConfig
from airflow_provider_bedrock_llm.hooks.lineage import dataset_name
from airflow_provider_bedrock_llm.hooks.outcome import BedrockTaskError
from airflow_provider_bedrock_llm.operators.parallel import BedrockParallelOperator

__all__ = ["postgresql"]


@pytest.fixture
def judge(connected, source, tmp_path):
    def operator(**arguments):
        settings = {
            "source": str(source),
            "id_column": "id",
            "prompt": "Judge {{ text }}",
            "models": ["amazon.nova-lite-v1:0"],
            "work_dir": str(tmp_path / "jobs"),
            "deferrable": False,
            "retry_config": RetryConfig(max_retries=0),
        } | arguments
        with DAG("the_dag", schedule=None):
            return BedrockParallelOperator(task_id="the_task", **settings)

    return operator


def event_of(operator, state=TaskInstanceState.SUCCESS):
    """As Airflow's listener makes it: extracted, masked, in OpenLineage's JSON."""
    found = ExtractorManager().extract_metadata(SimpleNamespace(run_id="run"), operator, state, SimpleNamespace())
    event = RunEvent(
        eventTime="2026-11-21T00:00:00+00:00",
        run=Run(str(generate_new_uuid()), found.run_facets),
        job=Job("airflow", "the_dag.the_task", found.job_facets),
        inputs=found.inputs,
        outputs=found.outputs,
        eventType=RunState.COMPLETE,
        producer="https://github.com/apache/airflow",
    )
    redactor = OpenLineageRedactor()
    redactor.sensitive_variables_fields = list(DEFAULT_SENSITIVE_FIELDS)
    return json.loads(Serde.to_json(redactor.redact(event)))


def names_of(datasets):
    return [(dataset["namespace"], dataset["name"]) for dataset in datasets]


def test_a_file_goes_in_and_a_file_comes_out_with_counts_tokens_and_cost(judge, task_instance, source, tmp_path):
    operator = judge(output_uri=str(tmp_path / "out.parquet"))
    before = event_of(operator, TaskInstanceState.RUNNING)
    summary = operator.execute({"ti": task_instance})
    event = event_of(operator)
    assert names_of(before["inputs"]) == names_of(event["inputs"]) == [("file", str(source))]
    assert names_of(before["outputs"]) == names_of(event["outputs"]) == [("file", str(tmp_path / "out.parquet"))]
    assert event["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"] == len(ROWS)
    facet = event["run"]["facets"]["bedrock_llm"]
    assert (facet["state"], facet["counts"], facet["jobUri"]) == ("succeeded", summary["counts"], summary["job_uri"])
    assert facet["usage"] == summary["usage"]
    assert facet["costUsd"] == summary["cost_usd"] > 0
    assert facet["routes"] == ["amazon.nova-lite-v1:0 in us-east-1"]
    assert "bedrock_llm" not in before["run"]["facets"]


def test_without_an_output_uri_it_is_the_file_in_the_jobs_folder(judge, task_instance):
    operator = judge()
    assert event_of(operator, TaskInstanceState.RUNNING)["outputs"] == []
    summary = operator.execute({"ti": task_instance})
    assert names_of(event_of(operator)["outputs"]) == [("file", summary["output_uri"])]


JOIN = "SELECT r.id, text FROM reviews r JOIN sales.orders o ON o.id = r.id"


def test_tables_are_datasets_of_their_database(judge, postgresql, monkeypatch):
    connect(monkeypatch, "shop", **postgresql)
    connect(monkeypatch, "little", conn_type="sqlite", host="/data/little.db", login=None, password=None)
    operator = judge(
        source=None, sql=JOIN, source_conn_id="shop", output_conn_id="little", output_table="moods", output_uri="/o.csv"
    )
    event = event_of(operator, TaskInstanceState.RUNNING)
    database = postgresql["schema"]
    assert sorted(name for _, name in names_of(event["inputs"])) == [
        f"{database}.public.reviews",
        f"{database}.sales.orders",
    ]
    assert all(namespace.startswith("postgres://") for namespace, _ in names_of(event["inputs"]))
    assert names_of(event["outputs"]) == [("file", "/o.csv"), ("sqlite:///data/little.db", "moods")]
    assert event["job"]["facets"]["sql"]["query"] == operator.sql


def test_a_database_that_is_away_costs_the_schemas_name_and_nothing_else(judge, monkeypatch):
    connect(monkeypatch, "shop", conn_type="postgres", host="127.0.0.1", port=9, schema="shop")
    event = event_of(judge(source=None, sql=JOIN, source_conn_id="shop"), TaskInstanceState.RUNNING)
    shop = "postgres://127.0.0.1:9"
    assert sorted(names_of(event["inputs"])) == [(shop, "shop.reviews"), (shop, "shop.sales.orders")]


def test_a_stopped_job_says_what_it_took(judge, task_instance, connected):
    connected.control.fail("input_too_long", text="Text <5>.")
    operator = judge(accept_failures=0.0)
    with pytest.raises(BedrockTaskError):
        operator.execute({"ti": task_instance})
    facet = event_of(operator, TaskInstanceState.FAILED)["run"]["facets"]["bedrock_llm"]
    assert (facet["counts"]["failed"], sum(facet["failures"].values())) == (1, 1)


@pytest.mark.parametrize(
    ("uri", "namespace", "name"),
    [
        ("s3://aws_default@bucket/in/reviews.csv", "s3://bucket", "in/reviews.csv"),
        ("s3a://bucket/in/*/part-?.parquet", "s3://bucket", "in"),
        ("s3://bucket", "s3://bucket", "/"),
        ("gs://bucket/out/", "gs://bucket", "out"),
        ("file:///data/in/reviews.csv", "file", "/data/in/reviews.csv"),
        ("/data/in/[ab]*.csv", "file", "/data/in"),
    ],
)
def test_names_follow_openlineages_rules(uri, namespace, name):
    assert dataset_name(uri) == (namespace, name)
