"""Many rows from a task: the operator, on the worker and up to the point where it defers."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from airflow_provider_bedrock_llm.core.cache_config import CacheConfig
from airflow_provider_bedrock_llm.core.config import (
    FailureHandlingStrategy,
    ParallelProcessingConfig,
    RetryConfig,
)
from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest, text_message
from airflow_provider_bedrock_llm.hooks.outcome import BedrockTaskError
from airflow_provider_bedrock_llm.operators.parallel import BedrockParallelOperator

NOVA = "amazon.nova-lite-v1:0"
ROWS = 60
QUICK = RetryConfig(max_retries=1, retry_delay=0.0)


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "rows.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text", "stars"])
        writer.writerows([f"r{n}", f"Text number {n}. {{{{ not_a_template }}}}", n % 5] for n in range(ROWS))
    return path


@pytest.fixture
def run(connected, task_instance, tmp_path, rows):
    def execute(**arguments):
        settings = {
            "source": str(rows),
            "id_column": "id",
            "prompt": "Judge <review>{{ text }}</review>",
            "models": [NOVA],
            "work_dir": str(tmp_path / "jobs"),
            "deferrable": False,
            "retry_config": QUICK,
        } | arguments
        settings = {name: value for name, value in settings.items() if value is not None}
        return BedrockParallelOperator(task_id="the_task", **settings).execute({"ti": task_instance})

    return execute


def output_of(summary):
    with Path(summary["output_uri"].removeprefix("file://")).open() as lines:
        return [json.loads(line) for line in lines]


def test_every_row_has_one_line_in_input_order_with_what_was_asked_for(run, connected):
    summary = run(keep_columns=["stars"])
    lines = output_of(summary)
    assert [line["id"] for line in lines] == [f"r{n}" for n in range(ROWS)]
    assert [line["stars"] for line in lines] == [str(n % 5) for n in range(ROWS)]
    for line in lines:
        assert line["answer"]
        assert line["usage"]["inputTokens"] > 0
        assert line["cost_usd"] > 0
        assert (line["model"], line["region"]) == (NOVA, "us-east-1")
    assert summary["counts"] == {
        "total": ROWS,
        "done": ROWS,
        "succeeded": ROWS,
        "failed": 0,
        "skipped": 0,
        "reused": 0,
    }
    assert connected.control.stats().calls == ROWS


def test_xcom_holds_uris_and_numbers_and_no_text(run, task_instance):
    summary = run()
    assert task_instance.xcoms.keys() == {
        "bedrock_llm_job_page",
        "bedrock_llm_job_uri",
        "estimate",
        "output_uri",
        "counts",
        "usage",
        "cost_usd",
    }
    assert "Text number" not in json.dumps([summary, task_instance.xcoms])


def test_data_is_never_evaluated(run, connected):
    connected.control.keep_bodies(ROWS)
    run()
    prompts = {kept["body"]["messages"][0]["content"][0]["text"] for kept in connected.control.bodies()}
    assert "Judge <review>Text number 7. {{ not_a_template }}</review>" in prompts


def test_a_second_run_of_the_same_task_costs_nothing(run, connected, task_instance):
    run()
    task_instance.id = "another-try"
    summary = run()
    assert summary["counts"]["succeeded"] == ROWS
    assert connected.control.stats().calls == ROWS


def test_one_more_row_costs_one_call(run, connected, rows, task_instance):
    run()
    with rows.open("a", newline="") as file:
        csv.writer(file).writerow(["new", "A new text.", 5])
    task_instance.id = "another-try"
    summary = run()
    assert summary["counts"]["reused"] == ROWS
    assert connected.control.stats().calls == ROWS + 1
    assert output_of(summary)[-1]["id"] == "new"


def test_a_changed_prompt_asks_again(run, connected, task_instance):
    run()
    task_instance.id = "another-try"
    run(prompt="Judge harshly <review>{{ text }}</review>")
    assert connected.control.stats().calls == 2 * ROWS


def test_failed_rows_are_reported_and_asked_again_by_the_next_try(run, connected, task_instance):
    connected.control.fail("input_too_long", text="Text number 3.")
    summary = run()
    assert summary["counts"]["failed"] == 1
    assert summary["failures"] == {"context_too_long": 1}
    failed = [line for line in output_of(summary) if line["error"]]
    assert [line["id"] for line in failed] == ["r3"]
    assert failed[0]["error"]["cause"] == "context_too_long"
    connected.control.heal()
    task_instance.id = "another-try"
    summary = run()
    assert summary["counts"]["succeeded"] == ROWS
    assert connected.control.stats().calls == ROWS + 1


def test_requests_can_be_given_inline(run, connected):
    requests = [BedrockConverseRequest([text_message(f"Question {n}?")], request_id=f"q{n}") for n in range(5)]
    summary = run(source=None, prompt=None, id_column=None, requests=requests)
    assert [line["id"] for line in output_of(summary)] == [f"q{n}" for n in range(5)]
    assert connected.control.stats().calls == 5


def test_a_schema_gives_parsed_values(run):
    schema = {"type": "object", "properties": {"score": {"type": "integer"}}, "required": ["score"]}
    for line in output_of(run(output_schema=schema)):
        assert isinstance(line["answer"]["score"], int)


def test_every_call_carries_the_tags_of_the_task(run, connected):
    run()
    assert connected.control.calls_by("airflow_task_id") == {"the_task": ROWS}
    assert connected.control.calls_by("airflow_dag_id") == {"the_dag": ROWS}


def test_missing_access_ends_the_job_at_once_and_not_row_by_row(run, connected):
    connected.control.fail("denied_by_policy")
    config = ParallelProcessingConfig(max_concurrent_requests=5)
    with pytest.raises((AirflowFailException, BedrockTaskError), match="in a row failed"):
        run(parallel_config=config)
    assert connected.control.stats().calls < ROWS


def test_a_task_fails_when_every_row_failed(run, connected):
    connected.control.fail("input_too_long")
    with pytest.raises(BedrockTaskError, match="every row failed"):
        run()


def test_stop_on_first_failure_keeps_what_was_paid_for(run, connected, task_instance):
    connected.control.fail("input_too_long", text="Text number 9.")
    policy = FailureHandlingStrategy.STOP_ON_FIRST_FAILURE
    config = ParallelProcessingConfig(max_concurrent_requests=1, failure_handling_strategy=policy)
    with pytest.raises(BedrockTaskError, match="stop_on_first_failure"):
        run(parallel_config=config)
    connected.control.heal()
    task_instance.id = "another-try"
    run(parallel_config=config)
    assert connected.control.stats().calls == ROWS + 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"source": "{tmp}/none.csv"}, "none.csv"),
        ({"prompt": "Judge {{{{ txt }}}}"}, "txt"),
        ({"prompt": "Judge {{{{ text"}, "template"),
        ({"models": ["Nova Light"]}, "Nova Lite"),
        ({"id_column": "number"}, "number"),
        ({"output_schema": {"type": "nonsense"}}, "JSON Schema"),
        ({"requests": []}, "either `source` or `requests`"),
        ({"prompt": None}, "needs a `prompt`"),
        ({"work_dir": "/proc/nowhere"}, "/proc/nowhere"),
        ({"bedrock_conn_id": "no_such_connection"}, "no_such_connection"),
        ({"request_fields": {"messages": []}}, "messages"),
    ],
)
def test_bad_input_is_refused_before_anything_is_spent(run, connected, tmp_path, arguments, words):
    filled = {
        name: value.format(tmp=tmp_path) if isinstance(value, str) else value for name, value in arguments.items()
    }
    with pytest.raises((AirflowFailException, BedrockTaskError)) as caught:
        run(**filled)
    assert words in str(caught.value)
    assert connected.control.stats().calls == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("id,text\n", "empty"),
        ("id,text\na,1\na,2\n", "line 3"),
        ("id,text\na,1\nb,2,3,4\n", "line 3"),
        ("id,text\n,1\n", "line 2"),
    ],
)
def test_a_bad_source_is_refused_with_the_line_before_anything_is_spent(run, connected, tmp_path, text, words):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(AirflowFailException) as caught:
        run(source=str(path))
    assert words in str(caught.value)
    assert connected.control.stats().calls == 0


def test_bad_rows_can_be_skipped_and_reported(run, tmp_path):
    path = tmp_path / "mixed.jsonl"
    path.write_text('{"id": "a", "text": "good"}\n{broken\n{"id": "a", "text": "again"}\n{"id": "b", "text": "good"}\n')
    summary = run(source=str(path), on_bad_record="skip")
    lines = output_of(summary)
    assert Counter(bool(line["error"]) for line in lines) == {True: 2, False: 2}
    assert summary["counts"]["skipped"] == 2


def test_deferring_hands_over_a_uri_and_numbers_only(run, connected):
    with pytest.raises(TaskDeferred) as deferred:
        run(deferrable=True)
    path, arguments = deferred.value.trigger.serialize()
    assert path.endswith("BedrockParallelTrigger")
    assert arguments.keys() == {"job_uri", "token", "deadline", "drain_seconds", "max_in_flight"}
    text = json.dumps(arguments)
    assert "Judge" not in text
    assert "local-secret-key" not in text
    assert deferred.value.method_name == "execute_complete"
    assert not deferred.value.kwargs
    assert connected.control.stats().calls == 0


def test_a_finished_job_is_returned_without_deferring(run, task_instance):
    run()
    task_instance.id = "another-try"
    assert run(deferrable=True)["counts"]["succeeded"] == ROWS


def test_what_all_rows_have_in_common_is_cached_once(run, connected):
    rules = "Judge by these rules. " * 400
    summary = run(
        models=["Claude Sonnet 4.5"],
        system=rules,
        prompt=f"{rules}<review>{{{{ text }}}}</review>",
        cache_config=CacheConfig(enabled=True),
        parallel_config=ParallelProcessingConfig(max_concurrent_requests=1),
    )
    written, read = summary["usage"]["cacheWriteInputTokens"], summary["usage"]["cacheReadInputTokens"]
    assert written > 3000
    assert read == (ROWS - 1) * written
    assert connected.control.stats().calls == ROWS


def test_the_job_folder_holds_no_secret(run, tmp_path):
    run()
    texts = [path.read_text() for path in (tmp_path / "jobs").rglob("*") if path.is_file()]
    assert len(texts) >= 4
    assert not [text for text in texts if "local-secret-key" in text or "AKIDLOCALEXAMPLE" in text]


def test_the_estimate_is_told_before_anything_is_spent(run, connected, task_instance):
    with pytest.raises(TaskDeferred):
        run(deferrable=True)

    estimate = task_instance.xcoms["estimate"]
    assert connected.control.stats().calls == 0
    assert estimate["distinct_rows"] == estimate["rows"] > 0
    assert 0 < estimate["usd"]["low"] < estimate["usd"]["likely"] < estimate["usd"]["high"]


def test_a_model_that_cannot_count_tokens_is_estimated_all_the_same(run, task_instance):
    run(estimate="count_tokens")

    assert task_instance.xcoms["estimate"]["method"] in {"heuristic", "count_tokens"}


def test_the_estimate_can_be_left_out(run, task_instance):
    run(estimate=False)

    assert "estimate" not in task_instance.xcoms


def test_a_spent_budget_fails_the_task_for_good_and_a_larger_one_pays_for_the_rest(run, connected, task_instance):
    with pytest.raises(
        AirflowFailException, match=r"BudgetExceededError.*budget=500 tokens is spent.*Raise the budget"
    ):
        run(budget={"tokens": 500})
    bought = connected.control.stats().calls
    assert 0 < bought < ROWS

    task_instance.id = "cleared-by-hand"
    summary = run(budget={"usd": 1, "tokens": 1_000_000})

    assert connected.control.stats().calls == ROWS
    assert summary["counts"]["reused"] == bought


def test_a_budget_in_dollars_refuses_models_without_a_price(run, connected):
    arn = "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/abcdefgh1234"

    with pytest.raises(AirflowFailException, match=f"no price for {arn} in us-east-1.*budget={{'tokens': N}}"):
        run(budget=5, models=[arn])

    assert connected.control.stats().calls == 0


def test_tomorrows_run_pays_for_new_rows_alone(run, connected, rows, task_instance):
    run(reuse="task")
    task_instance.run_id, task_instance.id = "scheduled__2026-11-22", "tomorrow"
    with rows.open("a") as file:
        file.write("r-new,One more row,3\n")

    summary = run(reuse="task")

    assert connected.control.stats().calls == ROWS + 1
    assert summary["counts"]["reused"] == ROWS
    assert task_instance.xcoms["estimate"]["rows"] == ROWS + 1
