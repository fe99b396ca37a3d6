"""Python functions that say what is asked: `@task.bedrock` and `@task.bedrock_parallel`, in whole DAGs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from airflow.sdk import DAG, task
from harness.airflow_home import airflow_db, run_dag, task_result
from pydantic import BaseModel

from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest, text_message

__all__ = ["airflow_db"]

NOVA = "amazon.nova-lite-v1:0"


class Mood(BaseModel):
    mood: str
    score: int


@pytest.fixture
def run(airflow_db, connected, tmp_path, monkeypatch):
    """Runs a DAG that a function fills; keeps the bodies of calls."""
    monkeypatch.setenv("AIRFLOW__BEDROCK_LLM__WORK_DIR", (tmp_path / "jobs").as_uri())
    connected.control.keep_bodies(100)

    def run_it(fill, state="success"):
        with DAG(fill.__name__, schedule=None) as dag:
            fill()
        finished = run_dag(dag)
        assert str(finished.state) == state
        return finished

    return run_it


def prompts(endpoint):
    return sorted(kept["body"]["messages"][0]["content"][0]["text"] for kept in endpoint.control.bodies())


def rows_of(summary):
    with Path(summary["output_uri"].removeprefix("file://")).open() as lines:
        return [json.loads(line) for line in lines]


def test_what_the_function_returns_is_sent_as_it_is_and_the_answer_is_the_result(run, connected):
    def one_prompt():
        @task
        def name():
            return "{{ ds }}"

        @task.bedrock(models=[NOVA], system="Be short on {{ dag.dag_id }}.")
        def greet(who, dag=None):
            return f"Greet {who} {{{{ var.value.secret }}}} from {dag.dag_id}."

        greet(name())

    finished = run(one_prompt)
    assert task_result(finished, "greet")
    (body,) = [kept["body"] for kept in connected.control.bodies()]
    assert body["messages"][0]["content"][0]["text"] == "Greet {{ ds }} {{ var.value.secret }} from one_prompt."
    assert body["system"] == [{"text": "Be short on one_prompt."}]
    assert body["requestMetadata"]["airflow_task_id"] == "greet"


def test_messages_and_requests_may_be_returned_too(run, connected):
    def other_forms():
        settings = {"models": [NOVA], "inference_config": {"maxTokens": 50, "temperature": 0.5}}

        @task.bedrock(**settings)
        def messages():
            return [text_message("From messages.")]

        @task.bedrock(**settings)
        def message():
            return text_message("From one message.")

        @task.bedrock(**settings)
        async def request():
            return BedrockConverseRequest(
                [text_message("From a request.")], inference_config={"maxTokens": 7}, request_metadata={"team": "a"}
            )

        messages() >> message() >> request()

    run(other_forms)
    assert prompts(connected) == ["From a request.", "From messages.", "From one message."]
    body = next(
        kept["body"] for kept in connected.control.bodies() if "From a request." in json.dumps(kept["body"]["messages"])
    )
    assert body["inferenceConfig"] == {"maxTokens": 7, "temperature": 0.5}
    assert body["requestMetadata"].keys() == {"team", "airflow_dag_id", "airflow_run_id", "airflow_task_id"}


def test_the_parsed_value_goes_on_to_the_next_task(run):
    def parsed():
        @task.bedrock(models=[NOVA], output_schema=Mood)
        def judge():
            return "I love it. What is the mood?"

        @task
        def read(value):
            return sorted(value)

        read(judge())

    finished = run(parsed)
    assert task_result(finished, "read") == ["mood", "score"]
    assert Mood.model_validate(task_result(finished, "judge"))


def test_a_function_that_returns_nothing_fails_without_a_call(run, connected):
    def nothing():
        @task.bedrock(models=[NOVA], retries=3)
        def ask():
            return ""

        ask()

    run(nothing, state="failed")
    assert connected.control.stats().calls == 0


def test_records_go_through_the_prompt_of_the_decorator_and_the_function_runs_once(run, connected, tmp_path):
    calls = tmp_path / "calls"

    def records():
        @task
        def rows():
            return [{"id": f"r{n}", "text": f"{{{{ n }}}} {n}"} for n in range(5)]

        @task.bedrock_parallel(models=[NOVA], prompt="Judge: {{ text }}", id_column="id", keep_columns="*")
        def judge(found):
            with calls.open("a") as file:
                file.write("called\n")
            return found

        judge(rows())

    summary = task_result(run(records), "judge")
    assert [row["id"] for row in rows_of(summary)] == ["r0", "r1", "r2", "r3", "r4"]
    assert prompts(connected) == [f"Judge: {{{{ n }}}} {n}" for n in range(5)]
    assert summary["counts"]["succeeded"] == 5
    assert calls.read_text() == "called\n", "deferred and resumed, the function ran again"


def test_prompts_and_requests_need_no_template(run, connected):
    def requests():
        @task.bedrock_parallel(models=[NOVA], deferrable=False)
        def ask():
            yield "A prompt."
            yield BedrockConverseRequest([text_message("A request.")], request_id="mine")
            yield {"messages": [text_message("A dict.")], "system": [{"text": "Be brief."}]}

        ask()

    summary = task_result(run(requests), "ask")
    assert prompts(connected) == ["A dict.", "A prompt.", "A request."]
    assert "mine" in {row["id"] for row in rows_of(summary)}


def test_a_parallel_function_must_return_many(run, connected):
    def single():
        @task.bedrock_parallel(models=[NOVA], retries=3)
        def ask():
            return "only one"

        ask()

    run(single, state="failed")
    assert connected.control.stats().calls == 0


@pytest.mark.parametrize(
    ("decorator", "given"),
    [(task.bedrock, "prompt"), (task.bedrock, "messages"), (task.bedrock_parallel, "source")],
    ids=["prompt", "messages", "source"],
)
def test_what_the_function_returns_cannot_be_given_to_the_decorator_too(decorator, given):
    def ask():
        return "x"

    decorated = decorator(models=[NOVA], **{given: "x"})(ask)
    with DAG("wrong", schedule=None), pytest.raises(TypeError, match=f"takes no {given}"):
        decorated()
