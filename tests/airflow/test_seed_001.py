"""Seed 001, "AWS Bedrock support for LLMRouter": each acceptance line by its number, as far as Airflow has its subject.

Lines without a test here, and why, stand in docs/routing.md.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from harness.command_line import run as command_line
from harness.openai_server import openai_server
from harness.task import connect

from airflow_provider_bedrock_llm.core.candidates import parse_candidates
from airflow_provider_bedrock_llm.core.config import Boto3Config, RetryConfig
from airflow_provider_bedrock_llm.core.errors import (
    AuthenticationError,
    ConfigurationError,
    ModelAccessError,
    RequestTimeoutError,
)
from airflow_provider_bedrock_llm.core.request import text_message
from airflow_provider_bedrock_llm.hooks.bedrock_llm import BedrockLLMHook

__all__ = ["openai_server"]

DATA = Path(__file__).parents[2] / "dags_examples" / "data"
HELLO = [text_message("hello")]
NOVA = {"service": "Bedrock", "model": "amazon.nova-lite-v1:0"}
LISTS = sorted(DATA.glob("candidates_*.json"))


def ask(entry=NOVA, *, name="one", messages=HELLO, hook=None, **fields):
    return BedrockLLMHook(candidates={name: entry}, **(hook or {})).converse(messages, **fields)


def without_connection(endpoint, monkeypatch):
    """Credentials come from elsewhere; the connection holds the endpoint alone."""
    connect(monkeypatch, login="", password="", extra={"endpoint_url": endpoint.url, "region_name": "us-east-1"})


@pytest.mark.parametrize("service", ["Bedrock", "AWS", "bedrock"])
def test_1_1_bedrock_and_aws_are_services(connected, service):
    assert ask({**NOVA, "service": service}).region_used == "us-east-1"


def test_1_2_bedrock_entries_are_called_with_awss_authentication(connected):
    ask()
    assert [call["outcome"] for call in connected.control.calls()] == ["ok"]


def test_1_3_missing_credentials_are_named(endpoint, monkeypatch):
    without_connection(endpoint, monkeypatch)
    with pytest.raises(AuthenticationError, match="No usable AWS credentials were found"):
        ask()


def test_1_4_credentials_from_the_environment(endpoint, monkeypatch):
    without_connection(endpoint, monkeypatch)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDLOCALEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    assert ask().success


def test_1_5_and_4_2_credentials_from_files_default_profile_or_a_named_one(endpoint, monkeypatch, tmp_path):
    keys = "aws_access_key_id = AKIDLOCALEXAMPLE\naws_secret_access_key = secret\n"
    (tmp_path / "credentials").write_text(f"[default]\n{keys}[other]\n{keys}")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    without_connection(endpoint, monkeypatch)
    assert ask().success
    connect(
        monkeypatch,
        login="",
        password="",
        extra={"endpoint_url": endpoint.url, "region_name": "us-east-1", "profile_name": "other"},
    )
    assert ask().success


@pytest.mark.parametrize("model", ["Amazon Nova!", "no such model"])
def test_2_1_and_7_2_an_invalid_id_is_named_with_models_that_exist(connected, model):
    with pytest.raises(ConfigurationError, match=f"one: The model '{model}' is not known. Did you mean"):
        ask({**NOVA, "model": model})


def test_2_2_all_fields_of_the_list_are_taken():
    entry = {**NOVA, "size": "7B", "feature": "words", "input_price": 1, "output_price": 2}
    (one,) = parse_candidates({"one": entry})
    assert (one.model, one.service, one.size, one.feature) == (NOVA["model"], "Bedrock", "7B", "words")
    assert (one.input_price, one.output_price) == (1, 2)


def test_2_3_and_4_4_an_entry_is_asked_in_its_own_region(connected):
    assert ask({**NOVA, "aws_region": "eu-west-1"}).region_used == "eu-west-1"


def test_2_4_without_a_region_that_of_the_connection_counts(connected):
    assert ask().region_used == "us-east-1"


@pytest.mark.parametrize("family", ["claude", "titan", "llama", "mistral", "cohere", "ai21", "nova"])
def test_2_5_and_9_1_every_family_has_an_example_that_is_right(connected, family):
    hook = BedrockLLMHook(candidates=str(DATA / f"candidates_{family}.json"))
    assert hook.route("hello", routing={"strategy": "fixed"}).candidate.is_bedrock


def test_3_1_the_runtime_api_is_asked(connected):
    ask()
    assert connected.control.stats().by_operation == {"Converse": 1}


def test_3_3_the_text_is_taken_from_the_response(connected):
    assert ask(messages=[text_message("one two three")]).get_content().startswith("You wrote 3 words")


def test_3_5_tokens_are_those_that_aws_counted(connected):
    usage, counted = ask().usage, connected.control.stats()
    assert (usage.input_tokens, usage.output_tokens) == (counted.input_tokens, counted.output_tokens)
    assert usage.total_tokens > 0


def test_3_6_the_time_of_the_response_is_measured(connected):
    connected.control.latency(0.2)
    assert ask().total_duration_ms >= 200


def test_3_4_and_4_5_invalid_credentials_have_what_aws_said(endpoint, monkeypatch):
    extra = {"endpoint_url": endpoint.url, "region_name": "us-east-1"}
    connect(monkeypatch, login="AKIDUNKNOWNEXAMPLE", extra=extra)
    endpoint.control.credential("AKIDUNKNOWNEXAMPLE", error="expired_token")
    with pytest.raises(AuthenticationError, match="AWS said"):
        ask()


def test_5_1_streams_come_in_pieces(connected):
    pieces = list(BedrockLLMHook(candidates={"one": NOVA}).converse_stream(HELLO))
    assert len(pieces) > 1


def test_5_2_embeddings_are_vectors(connected):
    answer = BedrockLLMHook(models=["amazon.titan-embed-text-v2:0"]).embed("hello", dimensions=256)
    assert len(answer.vectors[0]) == 256


def test_5_3_and_5_5_system_prompt_and_parameters_are_sent(connected):
    connected.control.keep_bodies(1)
    settings = {"temperature": 0.5, "topP": 0.5, "maxTokens": 9, "stopSequences": ["x"]}
    ask(system=[{"text": "Be brief."}], inference_config=settings)
    (call,) = connected.control.bodies()
    assert call["body"]["system"] == [{"text": "Be brief."}]
    assert call["body"]["inferenceConfig"] == settings


def test_6_1_and_6_2_prices_of_the_list_decide_and_are_charged(connected):
    listed = {"dear": {**NOVA, "input_price": 9, "output_price": 9}, "cheap": {"service": "AWS", "model": "Nova Pro"}}
    hook = BedrockLLMHook(candidates=listed)
    assert hook.converse(HELLO).candidate == "cheap"
    response = hook.converse(HELLO, routing={"strategy": "fixed", "candidate": "dear"})
    assert response.cost_usd == pytest.approx(response.usage.total_tokens * 9 / 1e6)


def test_6_3_and_6_4_and_6_5_feature_and_size_and_price_are_part_of_what_is_embedded():
    entry = {**NOVA, "feature": "reads tables", "size": "7B", "input_price": 1, "output_price": 2}
    (one,) = parse_candidates({"one": entry})
    assert all(told in one.description for told in ("reads tables", "Bedrock", "7B", "2.0"))


def test_7_3_missing_credentials_say_how_to_give_them(endpoint, monkeypatch):
    without_connection(endpoint, monkeypatch)
    with pytest.raises(AuthenticationError, match="Set access key and secret key as login and password"):
        ask()


def test_7_4_a_timeout_says_which_setting_to_raise(connected):
    connected.control.latency(2)
    hook = {"boto3_config": Boto3Config(read_timeout=0.2), "retry_config": RetryConfig(max_timeout_retries=0)}
    with pytest.raises(RequestTimeoutError, match="Raise `read_timeout`"):
        ask(hook=hook)


def test_7_5_a_region_without_the_model_is_named(connected):
    with pytest.raises(ConfigurationError, match="cannot be asked in us-east-1; it is known in us-east-2, us-west-2"):
        BedrockLLMHook(candidates={"one": {**NOVA, "model": "meta.llama3-1-405b-instruct-v1:0"}}).route("hello")
    with pytest.raises(ModelAccessError, match="us-east-1 does not know the model"):
        ask({**NOVA, "model": "amazon.titan-text-express-v1"})


def test_8_1_entries_of_other_services_go_on_working(connected, openai_server, monkeypatch):
    connect(monkeypatch, "nvidia_default", conn_type="http", login="", password=openai_server.key)
    other = {"service": "NVIDIA", "model": "qwen/qwen2.5-7b-instruct", "input_price": 1, "output_price": 1}
    listed = {"nova": NOVA, "qwen": {**other, "api_endpoint": openai_server.url}}
    hook = BedrockLLMHook(candidates=listed)
    answers = {name: hook.converse(HELLO, routing={"strategy": "fixed", "candidate": name}) for name in listed}
    assert all(answer.success and answer.get_content() for answer in answers.values())
    assert answers["qwen"].model_used == "qwen/qwen2.5-7b-instruct"


def test_8_2_api_keys_may_hold_bedrocks_credentials(endpoint, monkeypatch):
    monkeypatch.delenv("AIRFLOW_CONN_BEDROCK_LLM_DEFAULT", raising=False)
    keys = {"aws_access_key_id": "AKIDLOCALEXAMPLE", "aws_secret_access_key": "secret", "aws_region": "eu-west-1"}
    monkeypatch.setenv("API_KEYS", json.dumps({"NVIDIA": "key", "Bedrock": keys}))
    hook = BedrockLLMHook()
    assert hook.connection.regions == ("eu-west-1",)
    assert (hook.connection.login, hook.connection.has_keys) == ("AKIDLOCALEXAMPLE", True)


def test_8_3_one_rule_for_all_services(connected):
    choice = BedrockLLMHook(candidates=str(DATA / "candidates_mixed.json")).route("hello", routing="smallest")
    assert choice.candidate.service == "NVIDIA"
    assert {one.service for one in choice.ranking} == {"NVIDIA", "OpenAI", "Bedrock", "AWS"}


def test_9_4_there_is_a_mixed_example(connected):
    assert BedrockLLMHook(candidates=str(DATA / "candidates_mixed.json")).route("hello").estimated_cost_usd > 0


def test_10_2_route_only_checks_the_list_and_calls_nobody(connected, capsys):
    command_line("route", "hello", "--candidates", str(DATA / "candidates_nova.json"), "--json")
    told = json.loads(capsys.readouterr().out)
    assert told["candidate"] == "nova-micro"
    assert told["routes"][0]["model_id"] == "amazon.nova-micro-v1:0"
    with pytest.raises(SystemExit) as ended:
        command_line("route", "hello", "--candidates", json.dumps({"one": {**NOVA, "model": "no such model"}}))
    assert "one: The model 'no such model' is not known" in str(ended.value)
    assert connected.control.stats().calls == 0


def test_10_2_route_works_for_the_connections_models_too(endpoint, monkeypatch, capsys):
    extra = {"endpoint_url": endpoint.url, "region_name": "us-east-1", "models": "Nova Lite, Nova Pro"}
    connect(monkeypatch, extra=extra)
    command_line("route", "hello")
    assert capsys.readouterr().out.startswith("Nova Lite would be asked: fixed.")


def test_candidates_makes_a_list_that_is_right(capsys, connected):
    command_line("candidates", "--region", "us-east-1", "--provider", "Amazon", "--json")
    text = capsys.readouterr().out
    assert "nova-lite" in json.loads(text)
    assert BedrockLLMHook(candidates=text).route("hello").candidate.service == "Bedrock"


def test_10_4_calls_are_logged_with_model_region_tokens_and_time(connected, task_instance, caplog, capsys):
    from airflow_provider_bedrock_llm.operators.converse import BedrockConverseOperator

    BedrockConverseOperator(task_id="t", prompt="hello", candidates={"one": NOVA}).execute({"ti": task_instance})
    told = caplog.text + capsys.readouterr().out
    tokens = task_instance.xcoms["usage"]
    spent = rf"{tokens['inputTokens']} tokens in, {tokens['outputTokens']} out"
    assert re.search(rf"amazon\.nova-lite-v1:0 in us-east-1 answered .* in \d+ ms: {spent}", told)


def test_10_1_and_10_5_check_says_ok(connected, capsys):
    command_line("check")
    assert "✓ credentials" in capsys.readouterr().out


def test_10_5_check_says_what_failed(connected, capsys):
    connected.control.fail("expired_token")
    with pytest.raises(SystemExit):
        command_line("check")
    assert "✗ us-east-1: the credentials have expired" in capsys.readouterr().out


@pytest.mark.parametrize("path", LISTS, ids=lambda path: path.stem)
def test_every_example_list_is_read(path):
    assert parse_candidates(path.read_text())


def test_the_example_of_the_docs_runs(connected, capsys):
    text = (DATA.parents[1] / "docs" / "routing.md").read_text()
    exec(compile(text.split("```python\n")[1].split("```")[0], "routing.md", "exec"), {})
    assert "cheapest of 2 that fit" in capsys.readouterr().out
