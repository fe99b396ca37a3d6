"""`airflow bedrock-llm ...`, through the parser that Airflow builds from the declaration."""

from __future__ import annotations

import json

import pytest
from harness.command_line import run

from airflow_provider_bedrock_llm.operators.parallel import BedrockParallelOperator


@pytest.fixture
def finished_job(connected, task_instance, tmp_path):
    summary = BedrockParallelOperator(
        task_id="the_task",
        requests=[{"messages": [{"role": "user", "content": [{"text": f"{n}"}]}]} for n in range(3)],
        models=["Nova Lite"],
        work_dir=str(tmp_path),
        deferrable=False,
    ).execute({"ti": task_instance})
    return summary["job_uri"]


def test_job_show_prints_counts_and_cost(finished_job, capsys):
    capsys.readouterr()
    run("job", "show", finished_job)
    text = capsys.readouterr().out
    assert "3 rows with an answer" in text or "3 of 3 rows" in text
    assert "amazon.nova-lite-v1:0 in us-east-1" in text


def test_job_show_gives_the_whole_manifest_as_json(finished_job, capsys):
    capsys.readouterr()
    run("job", "show", finished_job, "--json")
    assert json.loads(capsys.readouterr().out)["counts"]["succeeded"] == 3


def test_job_watch_ends_when_the_job_has_ended(finished_job, capsys):
    run("job", "watch", finished_job)
    assert "succeeded" in capsys.readouterr().out


def test_a_folder_without_a_job_is_said_to_be_none(tmp_path):
    with pytest.raises(SystemExit, match="There is no job at"):
        run("job", "show", str(tmp_path))


def test_the_local_endpoint_has_its_own_options(capsys):
    with pytest.raises(SystemExit) as ended:
        run("local-endpoint", "--help")
    assert ended.value.code == 0
    assert "--upstream" in capsys.readouterr().out
