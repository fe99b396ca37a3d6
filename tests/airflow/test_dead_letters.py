"""Rows without an answer: reported with their cause, and asked again alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from harness.enrichment_task import ROWS

from airflow_provider_bedrock_llm.hooks.outcome import BedrockTaskError
from airflow_provider_bedrock_llm.operators.parallel import BedrockParallelOperator


def lines_of(path):
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def test_failed_and_skipped_rows_are_there_as_they_stood_with_the_cause(enrich, connected, tmp_path, source):
    connected.control.fail("input_too_long", text="Text <3>.")
    with source.open("a") as file:
        file.write('{"id": "r1", "text": "again"}\n{"id": "late"}\n')
    dead = tmp_path / "dead.jsonl"
    summary = enrich(on_bad_record="skip", dead_letter_uri=str(dead))
    first, second, third = lines_of(dead)
    why = first.pop("_dead_letter")
    assert first == ROWS[3]
    assert (why["id"], why["cause"], why["attempts"]) == ("r3", "context_too_long", 1)
    assert why["message"]
    assert why["job_uri"] == summary["job_uri"]
    assert (second["_dead_letter"]["cause"], second["text"]) == ("duplicate_id", "again")
    assert (third["_dead_letter"]["cause"], third["_dead_letter"]["attempts"]) == ("missing_column", 0)


@pytest.mark.parametrize("by", ["job", "file"])
def test_they_are_asked_again_alone_and_the_output_is_complete(enrich, connected, tmp_path, task_instance, by):
    connected.control.fail("input_too_long", text="Text <3>.")
    dead, out = tmp_path / "dead.jsonl", tmp_path / "out.csv"
    summary = enrich(dead_letter_uri=str(dead), output_uri=str(out))
    connected.control.heal()
    task_instance.task_id, task_instance.id = "the_retry", "another"
    again = BedrockParallelOperator(
        task_id="the_retry", retry_dead_letters=str(dead) if by == "file" else summary["job_uri"], deferrable=False
    ).execute({"ti": task_instance})
    assert connected.control.stats().calls == len(ROWS) + 1
    assert (again["job_uri"], again["output_uri"]) == (summary["job_uri"], str(out))
    assert again["counts"]["succeeded"] == len(ROWS)
    assert "context_too_long" not in out.read_text()
    assert lines_of(dead) == []


def test_they_are_a_source_like_any_other(enrich, connected, tmp_path):
    connected.control.fail("input_too_long", text="Text <3>.")
    dead = tmp_path / "dead.jsonl"
    enrich(dead_letter_uri=str(dead))
    connected.control.heal()
    summary = enrich(source=str(dead), prompt="In short: {{ text }}", models=["amazon.nova-pro-v1:0"])
    assert [line["id"] for line in lines_of(summary["output_uri"])] == ["r3"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"retry_dead_letters": "{tmp}/none"}, "neither the folder of a job nor a file"),
        ({"retry_dead_letters": "{tmp}/rows.jsonl"}, "neither the folder of a job nor a file"),
        ({"retry_dead_letters": "{tmp}/none", "prompt": "x"}, "'prompt' has no meaning"),
    ],
)
def test_what_is_no_earlier_job_is_refused(task_instance, connected, tmp_path, source, arguments, words):
    filled = {name: value.format(tmp=tmp_path) for name, value in arguments.items()}
    operator = BedrockParallelOperator(task_id="the_retry", deferrable=False, **filled)
    with pytest.raises(AirflowFailException, match=words):
        operator.execute({"ti": task_instance})


def test_a_share_of_failures_can_be_too_much(enrich, connected):
    connected.control.fail("input_too_long", text="Text <3>.")
    with pytest.raises(BedrockTaskError, match=r"1 of 40 rows .*context_too_long 1.*accept_failures=0"):
        enrich(accept_failures=0.0)
    assert enrich(accept_failures=0.025)["counts"]["failed"] == 1
