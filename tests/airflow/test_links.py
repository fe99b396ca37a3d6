"""The buttons on a task lead to its job's page and to the model's page at AWS."""

from __future__ import annotations

from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest

from airflow_provider_bedrock_llm.operators.converse import BedrockConverseOperator
from airflow_provider_bedrock_llm.operators.links import (
    JOB_URI_KEY,
    BedrockJobLink,
    BedrockModelLink,
    busiest_route,
    console_url,
)
from airflow_provider_bedrock_llm.operators.parallel import BedrockParallelOperator

RUN = SimpleNamespace(dag_id="reviews", run_id="scheduled__2026-11-21T00:00:00+00:00", task_id="enrich", map_index=3)
NOVA = "amazon.nova-lite-v1:0"


def test_the_job_page_is_named_by_the_task_instance():
    url = urlsplit(BedrockJobLink().get_link(None, ti_key=RUN))
    assert url.path == "/bedrock-llm/job"
    assert parse_qs(url.query) == {
        "dag_id": ["reviews"],
        "run_id": ["scheduled__2026-11-21T00:00:00+00:00"],
        "task_id": ["enrich"],
        "map_index": ["3"],
    }


def test_links_stand_below_the_path_of_the_base_url(monkeypatch):
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://data.example.com/team/airflow/")
    assert BedrockJobLink().get_link(None, ti_key=RUN).startswith("/team/airflow/bedrock-llm/job?")


@pytest.mark.parametrize(
    ("model", "region", "url"),
    [
        (NOVA, "us-east-1", f"https://us-east-1.console.aws.amazon.com/bedrock/home?region=us-east-1#/{{}}/{NOVA}"),
        (
            f"eu.{NOVA}",
            "eu-west-1",
            f"https://eu-west-1.console.aws.amazon.com/bedrock/home?region=eu-west-1#/{{}}/{NOVA}",
        ),
        (
            NOVA,
            "us-gov-west-1",
            f"https://us-gov-west-1.console.amazonaws-us-gov.com/bedrock/home?region=us-gov-west-1#/{{}}/{NOVA}",
        ),
    ],
)
def test_the_console_shows_the_base_model_in_the_region(model, region, url):
    assert console_url(model, region) == url.format("model-catalog/serverless").replace(":0", "%3A0")


def test_what_has_no_base_model_leads_to_the_overview():
    arn = "arn:aws:bedrock:us-east-1:123456789012:imported-model/abcdefghijkl"
    assert console_url(arn, "us-east-1").endswith("region=us-east-1#/overview")


def test_the_model_of_a_job_is_the_one_that_gave_most_answers():
    routes = {
        f"{NOVA} in us-east-1": {"calls": 900, "succeeded": 10},
        f"us.{NOVA} in us-west-2": {"calls": 20, "succeeded": 20},
    }
    assert busiest_route(routes) == (f"us.{NOVA}", "us-west-2")
    assert busiest_route({f"{NOVA} in us-east-1": {"calls": 9, "succeeded": 0}}) is None
    assert busiest_route({}) is None


def test_a_task_has_a_link_to_its_job_from_the_start_and_to_the_model_in_the_end(connected, task_instance, tmp_path):
    connected.control.fail("input_too_long", text="three")
    (tmp_path / "rows.jsonl").write_text('{"text": "one"}\n{"text": "two"}\n{"text": "three"}\n')
    task = BedrockParallelOperator(
        task_id="the_task",
        source=str(tmp_path / "rows.jsonl"),
        prompt="Judge {{ text }}",
        models=[NOVA],
        work_dir=str(tmp_path),
        deferrable=False,
    )
    assert BedrockModelLink().get_link(task, ti_key=task_instance) == ""
    task.execute({"ti": task_instance})
    link = BedrockJobLink()
    assert task_instance.xcoms[link.xcom_key] == link.get_link(task, ti_key=task_instance)
    assert task_instance.xcoms[JOB_URI_KEY] == str(tmp_path / "the_dag" / task_instance.run_id / "the_task" / "-1")
    assert task.answered_by == (NOVA, "us-east-1")
    assert "us-east-1" in BedrockModelLink().get_link(task, ti_key=task_instance)


def test_one_prompt_has_a_link_to_the_model_that_answered(connected, task_instance):
    task = BedrockConverseOperator(task_id="the_task", prompt="Hello", models=[NOVA])
    task.execute({"ti": task_instance})
    assert task.answered_by == (NOVA, "us-east-1")
