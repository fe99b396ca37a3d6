"""Structured output end to end: the way each model has it, an answer that fails and is asked again, and jobs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from airflow.sdk import DAG
from harness.airflow_home import airflow_db, run_dag, task_result
from harness.shapes import Line, Receipt
from harness.task import connect
from pydantic import BaseModel

from airflow_provider_bedrock_llm.core.errors import ResponseValidationError
from airflow_provider_bedrock_llm.core.request import text_message
from airflow_provider_bedrock_llm.hooks.bedrock_llm import BedrockLLMHook
from airflow_provider_bedrock_llm.local import LocalEndpoint
from airflow_provider_bedrock_llm.operators.converse import BedrockConverseOperator
from airflow_provider_bedrock_llm.operators.parallel import BedrockParallelOperator

__all__ = ["airflow_db"]

CLAUDE = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
NOVA = "amazon.nova-lite-v1:0"
LLAMA = "us.meta.llama3-3-70b-instruct-v1:0"
MODELS = pytest.mark.parametrize("model", [CLAUDE, NOVA, LLAMA], ids=["native", "forced tool", "free tool"])
ASK = [text_message("A receipt, please.")]

GOOD = {"shop": "Corner", "lines": [{"name": "tea", "price": 2.5}], "best": {"name": "tea", "price": 2.5}}
BAD = {"shop": "Corner", "lines": [{"name": "tea", "price": -1}]}


class Open(BaseModel):
    counts: dict[str, int]


class Answers:
    """Gives one answer after the other; the last one for ever. Keeps what it was asked."""

    def __init__(self):
        self.given = [GOOD]
        self.calls = []

    def __call__(self, call):
        self.calls.append(call)
        return self.given[min(len(self.calls), len(self.given)) - 1]


@pytest.fixture(scope="module")
def answering():
    answers = Answers()
    with LocalEndpoint(answerer=answers) as endpoint:
        yield endpoint, answers


@pytest.fixture
def answers(answering, monkeypatch):
    endpoint, answers = answering
    answers.given, answers.calls = [GOOD], []
    connect(monkeypatch, extra={"endpoint_url": endpoint.url, "region_name": "us-east-1"})
    return answers


def ask(model, schema, **settings):
    return BedrockLLMHook(models=[model], output_schema=schema, **settings).converse(ASK)


@MODELS
def test_a_class_gives_an_instance_and_a_schema_gives_a_dict(answers, model):
    value = ask(model, Receipt).get_structured_output()
    assert value == Receipt(shop="Corner", lines=[Line(name="tea", price=2.5)], best=Line(name="tea", price=2.5))
    assert ask(model, Receipt.model_json_schema()).get_structured_output() == GOOD


def test_each_model_is_asked_in_the_way_that_it_has(answers):
    for model in (CLAUDE, NOVA, LLAMA):
        ask(model, Receipt)
    native, forced, free = (call.body for call in answers.calls)
    schema = json.loads(native["outputConfig"]["textFormat"]["structure"]["jsonSchema"]["schema"])
    assert schema["$defs"]["Line"]["additionalProperties"] is False
    assert schema["$defs"]["Line"]["properties"]["price"]["description"] == "minimum: 0"
    assert "toolConfig" not in native
    (tool,) = forced["toolConfig"]["tools"]
    assert tool["toolSpec"]["name"] == "Receipt"
    assert tool["toolSpec"]["inputSchema"]["json"]["$defs"]["Line"]["properties"]["price"]["minimum"] == 0
    assert forced["toolConfig"]["toolChoice"] == {"tool": {"name": "Receipt"}}
    assert "toolChoice" not in free["toolConfig"]
    assert "outputConfig" not in forced | free


def test_a_schema_that_no_grammar_holds_goes_as_a_tool(answers):
    answers.given = [{"counts": {"a": 1}}]
    assert ask(CLAUDE, Open).get_structured_output() == Open(counts={"a": 1})
    assert answers.calls[0].forced_tool["name"] == "Open"


@MODELS
def test_an_answer_that_does_not_fit_is_asked_again_with_the_error_and_both_are_paid(answers, model):
    answers.given = [BAD, GOOD]
    response = ask(model, Receipt)
    assert response.get_structured_output().shop == "Corner"
    first, second = response.attempts
    assert (first.fault, second.fault) == ("invalid_answer", None)
    assert "lines.0.price" in first.validation_error
    assert response.cost_usd == pytest.approx(first.cost_usd + second.cost_usd)
    assert len(answers.calls) == 2
    again = answers.calls[1].body["messages"]
    assert [message["role"] for message in again] == ["user", "assistant", "user"]
    assert "lines.0.price" in json.dumps(again[2])


@MODELS
def test_an_answer_that_never_fits_is_an_error_that_says_why(answers, model):
    answers.given = [BAD]
    with pytest.raises(ResponseValidationError, match=r"3 answers .* rejected.*lines.0.price") as caught:
        ask(model, Receipt)
    assert len(answers.calls) == 3
    assert caught.value.may_have_cost


@MODELS
def test_a_list_that_came_as_a_text_is_read_and_not_paid_for_again(answers, model):
    answers.given = [{"shop": "Corner", "lines": json.dumps(GOOD["lines"]), "best": json.dumps(GOOD["best"])}]
    assert ask(model, Receipt).get_structured_output().best == Line(name="tea", price=2.5)
    assert len(answers.calls) == 1


def test_the_operator_returns_plain_data_for_a_class_or_its_path(answers, task_instance):
    for schema in (Receipt, "harness.shapes:Receipt"):
        operator = BedrockConverseOperator(task_id="ask", prompt="A receipt.", models=[NOVA], output_schema=schema)
        assert operator.execute({"ti": task_instance}) == GOOD


@pytest.fixture
def run_job(answers, airflow_db, tmp_path):
    source = tmp_path / "rows.jsonl"
    source.write_text('{"id": "a", "text": "one"}\n{"id": "b", "text": "two"}\n')

    def run(dag_id, schema):
        with DAG(dag_id, schedule=None) as dag:
            BedrockParallelOperator(
                task_id="extract",
                source=str(source),
                id_column="id",
                prompt="{{ text }}",
                models=[CLAUDE],
                output_schema=schema,
                work_dir=(tmp_path / "jobs").as_uri(),
            )
        finished = run_dag(dag)
        assert finished.state == "success"
        output = Path(task_result(finished, "extract")["output_uri"].removeprefix("file://"))
        description = json.loads(next((tmp_path / "jobs" / dag_id).rglob("job.json")).read_text())
        return [json.loads(line)["answer"] for line in output.read_text().splitlines()], description["output_schema"]

    return run


def test_a_deferred_job_finds_the_class_by_its_path_and_validates_with_it(run_job, answers):
    answers.given = [BAD, GOOD]
    found, described = run_job("by_class", Receipt)
    assert found == [GOOD, GOOD]
    assert described == "harness.shapes:Receipt"
    assert len(answers.calls) == 3


def test_a_class_that_no_other_process_can_import_is_kept_as_its_schema(run_job):
    class Local(BaseModel):
        shop: str

    found, described = run_job("by_schema", Local)
    assert [answer["shop"] for answer in found] == ["Corner", "Corner"]
    assert described == Local.model_json_schema()
