"""Wrong input on the command line ends with one sentence and a code that is not 0, never with a traceback."""

from __future__ import annotations

import io
import json

import pytest
from harness.command_line import run

NOVA = {"service": "Bedrock", "model": "amazon.nova-lite-v1:0"}
LISTED = ("--candidates", json.dumps({"nova": NOVA}))
PROMPT = ("estimate", "--source", "rows.csv", "--prompt", "{{ text }}", "--model", "Nova Lite")


@pytest.fixture
def desk(local_bedrock, tmp_path, monkeypatch):
    (tmp_path / "rows.csv").write_text("id,text\n1,fine\n")
    (tmp_path / "broken.json").write_text("{broken")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO("hello\n\n"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("route", "hi", *LISTED, "--routing", "{broken"), "--routing is not JSON"),
        (("route", "hi", *LISTED, "--routing", '{"max_request_usd": "x"}'), "max_request_usd='x'"),
        (("route", "hi", "--candidates", "broken.json"), "broken.json is not JSON"),
        (("route", "hi", "--candidates", "nowhere.json"), "cannot be read"),
        (("candidates", "--to-file", "nowhere/list.json"), "cannot be written"),
        (("models", "refresh", "--to-file", "nowhere/catalog.json"), "cannot be written"),
        ((*PROMPT[:-1], "Nobody"), "The model 'Nobody' is not known"),
        (("converse", "hi", "--model", "Nobody"), "The model 'Nobody' is not known"),
        (("converse", "hi", "--model", "Nova Lite", "--schema", "broken.json"), "JSONDecodeError"),
        (("chat", "--model", "Nobody"), "The model 'Nobody' is not known"),
        (("chat", "--conn-id", "nobody"), "The Airflow connection 'nobody' does not exist"),
        (("job", "show", "nosuch://bucket/job"), "cannot be reached"),
        (("job", "watch", "nosuch://bucket/job"), "cannot be reached"),
    ],
)
def test_it_is_said_in_a_sentence(desk, words, said):
    with pytest.raises(SystemExit) as ended:
        run(*words)
    assert said in str(ended.value.code)


@pytest.mark.parametrize("words", [("route", "hi", *LISTED), ("converse", "hi"), ("chat",), PROMPT])
@pytest.mark.parametrize("number", ["0", "-5", "many"])
def test_an_answer_has_a_token_at_least(desk, words, number, capsys):
    with pytest.raises(SystemExit) as ended:
        run(*words, f"--max-tokens={number}")
    assert ended.value.code == 2
    assert "is not a whole number above 0" in capsys.readouterr().err
