"""`airflow bedrock-llm converse` and `chat`."""

from __future__ import annotations

import io
import json

import pytest
from harness.command_line import run

MODEL = ("--model", "Nova Lite")


@pytest.fixture
def typed(monkeypatch):
    return lambda text: monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_the_answer_alone_goes_to_the_output(local_bedrock, capsys):
    local_bedrock.answers("Forty-two.")
    run("converse", "The answer?", *MODEL, "--system", "Be brief.", "--max-tokens", "50", "--temperature", "0")
    told = capsys.readouterr()
    assert told.out == "Forty-two.\n"
    assert "amazon.nova-lite-v1:0 in us-east-1" in told.err
    assert "USD" in told.err
    (asked,) = local_bedrock.asked
    assert (asked.operation, asked.text, asked.system) == ("ConverseStream", "The answer?", "Be brief.")
    assert asked.body["inferenceConfig"] == {"maxTokens": 50, "temperature": 0.0}


def test_a_dash_reads_the_prompt_from_the_input(local_bedrock, capsys, typed):
    typed("A long text\nof two lines")
    run("converse", "-", *MODEL)
    assert local_bedrock.prompts == ["A long text\nof two lines"]


def test_a_schema_gives_the_value(local_bedrock, capsys, tmp_path):
    schema = tmp_path / "schema.json"
    schema.write_text('{"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}')
    local_bedrock.answers({"n": 3})
    run("converse", "How many?", *MODEL, "--schema", str(schema))
    assert json.loads(capsys.readouterr().out) == {"n": 3}


def test_json_holds_tokens_cost_and_attempts(local_bedrock, capsys):
    run("converse", "Hello", *MODEL, "--json")
    response = json.loads(capsys.readouterr().out)
    assert response["success"] is True
    assert response["cost_usd"] > 0
    assert len(response["attempts"]) == 1


def test_no_answer_ends_with_1_and_a_sentence(local_bedrock):
    local_bedrock.fails("no_access")
    with pytest.raises(SystemExit, match="AccessDenied"):
        run("converse", "Hello", *MODEL)


def test_a_missing_schema_file_is_said(local_bedrock):
    with pytest.raises(SystemExit, match=r"none\.json"):
        run("converse", "Hello", *MODEL, "--schema", "none.json")


def test_a_chat_remembers_what_was_said(local_bedrock, capsys, typed):
    local_bedrock.answers(lambda call: f"answer {len(call.messages)}")
    typed("first\nsecond\n\nnever sent\n")
    run("chat", *MODEL)
    assert capsys.readouterr().out == "answer 1\nanswer 3\n"
    assert local_bedrock.prompts == ["first", "second"]


def test_a_chat_goes_on_after_a_failure_as_if_it_had_not_been_asked(local_bedrock, capsys, typed):
    local_bedrock.fails("no_access", when="bad")
    local_bedrock.answers(lambda call: f"answer {len(call.messages)}")
    typed("bad\ngood\n")
    run("chat", *MODEL)
    told = capsys.readouterr()
    assert told.out == "answer 1\n"
    assert "AccessDenied" in told.err
    assert "USD in all" in told.err
