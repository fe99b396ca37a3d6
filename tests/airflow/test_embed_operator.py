"""Embeddings from a task: a few texts, or a file of rows as a job; and the hook's verb."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from airflow_provider_bedrock_llm.core.config import RetryConfig
from airflow_provider_bedrock_llm.core.errors import ConfigurationError, RetryExhaustedError
from airflow_provider_bedrock_llm.hooks.bedrock_llm import BedrockLLMHook
from airflow_provider_bedrock_llm.operators.embed import BedrockEmbedOperator

TITAN_2 = "amazon.titan-embed-text-v2:0"
COHERE_3 = "cohere.embed-english-v3"
QUICK = RetryConfig(max_retries=0, retry_delay=0.0)
ROWS = 130


def embed(task_instance, **arguments):
    return BedrockEmbedOperator(task_id="the_task", **arguments).execute({"ti": task_instance})


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"id": f"r{n}", "text": f"{{{{ Text }}}} {n}"}) + "\n" for n in range(ROWS)))
    return path


@pytest.fixture
def job(connected, task_instance, source, tmp_path):
    def run(**arguments):
        settings = {
            "source": str(source),
            "text": "{{ text }}",
            "id_column": "id",
            "work_dir": str(tmp_path / "jobs"),
            "deferrable": False,
        }
        return embed(task_instance, **(settings | arguments))

    return run


def output_of(summary):
    with Path(summary["output_uri"].removeprefix("file://")).open() as lines:
        return [json.loads(line) for line in lines]


def test_a_few_texts_become_vectors_and_what_it_took_goes_to_xcoms(connected, task_instance):
    vectors = embed(task_instance, texts=["One.", "Two and two."], model=TITAN_2, dimensions=256)
    assert [len(vector) for vector in vectors] == [256, 256]
    assert vectors[0] != vectors[1]
    assert task_instance.xcoms == {
        "dimensions": 256,
        "usage": {"inputTokens": 4},
        "model": TITAN_2,
        "region": "us-east-1",
        "cost_usd": pytest.approx(4 * 0.02 / 1e6),
    }


def test_the_same_text_has_the_same_vector_inline_and_in_a_job(job, task_instance):
    inline = embed(task_instance, texts=["{{ Text }} 7"], model=TITAN_2)
    row = output_of(job(model=TITAN_2))[7]
    assert row["answer"] == {"embedding": inline[0]}


def test_a_file_becomes_one_line_per_row_in_its_order(job, connected):
    summary = job(model=TITAN_2, dimensions=256, keep_columns=["text"])
    lines = output_of(summary)
    assert [line["id"] for line in lines] == [f"r{n}" for n in range(ROWS)]
    assert {len(line["answer"]["embedding"]) for line in lines} == {256}
    assert all(line["model"] == TITAN_2 and line["cost_usd"] > 0 for line in lines)
    assert connected.control.stats().by_operation == {"InvokeModel": ROWS}


def test_rows_share_the_calls_of_a_model_that_takes_many_texts(job, connected):
    summary = job(model=COHERE_3, truncate="END")
    assert connected.control.stats().calls < ROWS / 10
    lines = output_of(summary)
    assert len({json.dumps(line["answer"]) for line in lines}) == ROWS
    assert sum(line["usage"]["inputTokens"] for line in lines) == summary["usage"]["inputTokens"]
    assert summary["usage"]["inputTokens"] == connected.control.stats().input_tokens
    assert sum(line["cost_usd"] for line in lines) == pytest.approx(summary["cost_usd"])


def test_another_try_pays_only_for_new_rows_and_other_settings_for_all(job, connected, source, task_instance):
    job(model=TITAN_2)
    with source.open("a") as rows:
        rows.write(json.dumps({"id": "new", "text": "New."}) + "\n")
    task_instance.id = "second"
    assert job(model=TITAN_2)["counts"]["reused"] == ROWS
    assert connected.control.stats().calls == ROWS + 1
    task_instance.id = "third"
    assert job(model=TITAN_2, dimensions=256)["counts"]["reused"] == 0
    assert connected.control.stats().calls == 2 * (ROWS + 1)


def test_one_row_that_the_model_refuses_fails_alone(job, source):
    with source.open("a") as rows:
        rows.write(json.dumps({"id": "long", "text": "long " * 4_000}) + "\n")
    summary = job(model=COHERE_3)
    assert (summary["counts"]["succeeded"], summary["counts"]["failed"]) == (ROWS, 1)
    lines = output_of(summary)
    assert lines[-1]["id"] == "long"
    assert lines[-1]["error"]["cause"] == "context_too_long"


def test_a_job_is_written_down_before_it_defers_and_its_trigger_carries_no_text(job, tmp_path):
    with pytest.raises(TaskDeferred) as deferred:
        job(model=TITAN_2, dimensions=512, deferrable=True)
    _, arguments = deferred.value.trigger.serialize()
    assert "Text" not in json.dumps(arguments)
    description = json.loads(next((tmp_path / "jobs").rglob("job.json")).read_text())
    assert description["operation"] == "embed"
    assert description["request"] == {"additional_model_request_fields": {"dimensions": 512}}


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({}, "Give either `texts` or `source`"),
        ({"texts": ["a"], "source": "rows.csv"}, "Give either `texts` or `source`"),
        ({"source": "rows.csv"}, "`source` needs `text`"),
        ({"texts": ["a"], "model": "amazon.nova-lite-v1:0"}, "no known family"),
        ({"texts": ["a"], "model": TITAN_2, "dimensions": 100}, "dimensions=100"),
        ({"source": "rows.csv", "text": "{{ text }}", "model": TITAN_2, "truncate": "END"}, "truncate='END'"),
        ({"texts": ["a", " "], "model": TITAN_2}, r"texts\[1\] is empty"),
        ({"texts": ["a"]}, "No model is configured"),
    ],
)
def test_what_cannot_work_fails_without_a_call(connected, task_instance, arguments, named):
    with pytest.raises(AirflowFailException, match=named):
        embed(task_instance, **arguments)
    assert connected.control.stats().calls == 0


def test_the_hook_embeds_one_text_as_well_as_many(connected):
    hook = BedrockLLMHook(models=["Cohere Embed v4"])
    assert len(hook.embed("One text.").vectors) == 1
    response = hook.embed([f"Text {number}." for number in range(100)], input_type="search_query", dimensions=256)
    assert (len(response.vectors), response.dimensions, len(response.attempts)) == (100, 256, 2)
    assert hook.embed([]).vectors == []


def test_vectors_of_two_models_are_never_mixed(connected):
    with pytest.raises(ConfigurationError, match=r"names 2 models .* cannot be compared"):
        BedrockLLMHook(models=[TITAN_2, COHERE_3]).embed(["a"])


def test_another_region_embeds_when_the_first_cannot(connected):
    connected.control.fail("unavailable", region="us-east-1")
    hook = BedrockLLMHook(
        models=[TITAN_2], regions=["us-east-1", "us-west-2"], retry_config=RetryConfig(max_retries=1, retry_delay=0.0)
    )
    response = hook.embed(["a"])
    assert response.region_used == "us-west-2"
    assert [attempt.fault for attempt in response.attempts] == ["overloaded", None]


def test_the_first_failure_of_many_calls_is_raised(connected):
    connected.control.throttle()
    with pytest.raises(RetryExhaustedError, match="throttling"):
        BedrockLLMHook(models=[TITAN_2], retry_config=QUICK).embed([f"Text {number}." for number in range(20)])
