"""`airflow bedrock-llm estimate`."""

from __future__ import annotations

import json

import pytest
from harness.command_line import run

from airflow_provider_bedrock_llm.operators.parallel import BedrockParallelOperator

PROMPT = "Is it good or bad? {{ text }}"


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("id,text\n" + "".join(f"{n},The product number {n % 5} is fine.\n" for n in range(40)))
    return str(path)


def estimate(capsys, *words):
    run("estimate", "--json", *words)
    return json.loads(capsys.readouterr().out)


def test_rows_and_a_prompt(local_bedrock, rows, capsys):
    found = estimate(capsys, "--source", rows, "--prompt", PROMPT, "--model", "Nova Lite", "--max-tokens", "100")
    assert (found["rows"], found["distinct_rows"], found["method"]) == (40, 40, "heuristic")
    assert 0 < found["usd"]["low"] <= found["usd"]["likely"] <= found["usd"]["high"]
    assert found["output_tokens"]["high"] == 40 * 100
    assert local_bedrock.asked == []


def test_equal_requests_count_once_where_they_are_asked_once(local_bedrock, rows, capsys):
    words = ("--source", rows, "--prompt", PROMPT, "--model", "Nova Lite", "--dedupe")
    assert estimate(capsys, *words)["distinct_rows"] == 5


def test_a_file_holds_the_prompt(local_bedrock, rows, tmp_path, capsys):
    (tmp_path / "prompt.txt").write_text(PROMPT)
    run("estimate", "--source", rows, "--prompt", f"@{tmp_path / 'prompt.txt'}", "--model", "Nova Lite")
    assert capsys.readouterr().out.startswith("Estimate: 40 of 40 rows to ask")


def test_of_a_job_only_what_is_left_counts(local_bedrock, rows, task_instance, capsys):
    operator = BedrockParallelOperator(
        task_id="t", source=rows, id_column="id", prompt=PROMPT, models=["Nova Lite"], deferrable=False, estimate=False
    )
    job_uri = operator.execute({"ti": task_instance})["job_uri"]
    capsys.readouterr()
    assert estimate(capsys, job_uri)["distinct_rows"] == 0


@pytest.mark.parametrize("words", [(), ("--source", "rows.csv")])
def test_what_is_missing_is_said(words):
    with pytest.raises(SystemExit, match="--source and --prompt"):
        run("estimate", *words)


def test_a_source_that_is_not_there_is_said(local_bedrock):
    with pytest.raises(SystemExit, match=r"none\.csv"):
        run("estimate", "--source", "none.csv", "--prompt", PROMPT, "--model", "Nova Lite")
