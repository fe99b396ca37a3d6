"""`airflow bedrock-llm check`: each step with its outcome, no paid call unless told to."""

from __future__ import annotations

import json

import pytest
from harness.command_line import run
from harness.task import connect

from airflow_provider_bedrock_llm.local import LocalModel

NOVA = "amazon.nova-lite-v1:0"


def steps_of(capsys, *words):
    run("check", "--json", *words)
    return {step["name"]: step for step in json.loads(capsys.readouterr().out)}


def failing(capsys, *words):
    with pytest.raises(SystemExit) as ended:
        run("check", "--json", *words)
    assert ended.value.code == 1
    return {step["name"]: step for step in json.loads(capsys.readouterr().out) if step["outcome"] == "failed"}


def test_a_connection_that_works_has_no_failed_step_and_costs_nothing(connected, capsys):
    steps = steps_of(capsys, "--model", "Nova Lite")
    assert {name: step["outcome"] for name, step in steps.items()} == dict.fromkeys(
        ["settings", "credentials", "us-east-1", "Nova Lite"], "ok"
    )
    assert f"goes to {NOVA} in us-east-1" in steps["Nova Lite"]["told"]
    assert "local-secret-key" not in json.dumps(steps)
    assert "Converse" not in connected.control.stats().by_operation


def test_one_real_call_is_made_on_request(connected, capsys):
    steps = steps_of(capsys, "--model", NOVA, "--call")
    assert "answered in" in steps["one call"]["told"]
    assert connected.control.stats().by_operation["Converse"] == 1


def test_a_call_that_fails_says_why(connected, capsys):
    connected.control.fail("no_access", operation="Converse")
    assert "AccessDenied" in json.dumps(failing(capsys, "--model", NOVA, "--call")["one call"])


def test_where_no_model_is_named_the_check_says_so_and_is_no_failure(connected, capsys):
    assert steps_of(capsys)["models"]["outcome"] == "unknown"


def test_an_endpoint_that_cannot_be_reached(monkeypatch, capsys):
    connect(monkeypatch, extra={"endpoint_url": "http://127.0.0.1:9", "region_name": "us-east-1"})
    assert "cannot be reached" in failing(capsys)["us-east-1"]["told"]


def test_each_region_is_a_step(connected, capsys):
    steps = steps_of(capsys, "--region", "us-west-2", "--region", "eu-west-1")
    assert steps["us-west-2"]["outcome"] == steps["eu-west-1"]["outcome"] == "ok"


def test_a_model_that_nobody_knows_is_named_with_its_likes(connected, capsys):
    assert "Nova" in failing(capsys, "--model", "Novva Lite")["Novva Lite"]["told"]


def test_a_model_without_access_is_found_without_a_call(connected, capsys):
    connected.control.models([LocalModel(NOVA, access="no_access")])
    assert "Model access" in failing(capsys, "--model", NOVA)[NOVA]["told"]
    assert "Converse" not in connected.control.stats().by_operation


def test_a_role_that_may_not_ask_for_access_leaves_the_question_open(connected, capsys):
    connected.control.fail("denied_by_policy", operation="GetFoundationModelAvailability")
    step = steps_of(capsys, "--model", NOVA)[NOVA]
    assert step["outcome"] == "unknown"
    assert "bedrock:GetFoundationModelAvailability" in step["told"]


def test_a_wrong_setting_of_the_connection_is_the_only_step(monkeypatch, capsys):
    connect(monkeypatch, extra={"region_name": "us-east-1", "read_timeout": "soon"})
    failed = failing(capsys)
    assert list(failed) == ["settings"]
    assert "read_timeout" in failed["settings"]["told"]


def test_a_pipe_gets_lines_without_colours(connected, capsys):
    run("check", "--model", NOVA)
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0][2:] for line in lines] == [
        "settings",
        "credentials",
        "us-east-1",
        "amazon.nova-lite-v1",
    ]
    assert not any("\033" in line for line in lines)
