"""A job from its source to its output."""

import asyncio
import gc
import json
from dataclasses import replace

import pytest
from harness.job_engine import COST_USD, MODEL, REGION, CountingEngine, answered, echo, prompt_of, refused
from harness.job_folder import QUICK, assert_exact, job_of, kept_lines, output_of, rows_of, write_rows
from pydantic import BaseModel

from airflow_provider_bedrock_llm.core.config import (
    FailureHandlingStrategy,
    ParallelProcessingConfig,
    ResponseValidationConfig,
)
from airflow_provider_bedrock_llm.core.errors import (
    LeaseLostError,
    OutputError,
    RetryExhaustedError,
    SourceError,
    TemplateError,
)
from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest, text_message
from airflow_provider_bedrock_llm.jobs.intake import Intake
from airflow_provider_bedrock_llm.jobs.journal import Journal
from airflow_provider_bedrock_llm.jobs.lease import take_lease
from airflow_provider_bedrock_llm.jobs.ledger import Ledger
from airflow_provider_bedrock_llm.jobs.manifest import Manifest
from airflow_provider_bedrock_llm.jobs.output import write_output
from airflow_provider_bedrock_llm.jobs.question import Questions, request_rows
from airflow_provider_bedrock_llm.jobs.result import journal_line
from airflow_provider_bedrock_llm.jobs.runner import finished_manifest, run_job


async def test_every_record_is_asked_once_and_written_in_input_order(tmp_path):
    rows, engine = rows_of(100), CountingEngine(latency_seconds=0.001)
    spec = job_of(tmp_path, rows)

    manifest = await run_job(spec, engine, pace=QUICK)

    assert_exact(spec, rows)
    assert engine.calls == 100
    assert manifest.state == "succeeded"
    assert (manifest.counts.total, manifest.counts.done, manifest.counts.succeeded) == (100, 100, 100)


async def test_what_is_loaded_when_a_job_asks_is_spared_by_garbage_collections(tmp_path):
    await run_job(job_of(tmp_path, rows_of(3)), CountingEngine(), pace=QUICK)
    assert gc.get_freeze_count() > 1_000


async def test_an_output_row_says_what_came_from_whom_and_for_how_much(tmp_path):
    spec = job_of(tmp_path, [{"id": 7, "text": "x", "model": "lamp", "n": 1.5}], keep_columns=("n", "model", "id"))

    await run_job(spec, CountingEngine(), pace=QUICK)

    assert output_of(spec) == [
        {
            "id": "7",
            "n": 1.5,
            "input_model": "lamp",
            "answer": "answer to Rate: x",
            "error": None,
            "stop_reason": "end_turn",
            "model": MODEL,
            "region": REGION,
            "usage": {"inputTokens": 10, "outputTokens": 5, "cacheReadInputTokens": 0, "cacheWriteInputTokens": 0},
            "cost_usd": COST_USD,
        }
    ]


async def test_all_columns_can_be_kept(tmp_path):
    spec = job_of(tmp_path, rows_of(1), keep_columns=("*",))

    await run_job(spec, CountingEngine(), pace=QUICK)

    assert {"id", "text", "kind", "answer"} <= output_of(spec)[0].keys()


class _Mood(BaseModel):
    mood: str


async def test_a_parsed_value_is_the_answer(tmp_path):
    spec = job_of(tmp_path, rows_of(2))

    await run_job(spec, CountingEngine(lambda _: answered("{}", _Mood(mood="glad"))), pace=QUICK)

    assert [row["answer"] for row in output_of(spec)] == [{"mood": "glad"}] * 2


async def test_half_a_surrogate_pair_in_an_answer_is_kept(tmp_path):
    spec = job_of(tmp_path, rows_of(1))

    await run_job(spec, CountingEngine(lambda _: answered("cut \ud83d")), pace=QUICK)

    assert output_of(spec)[0]["answer"] == "cut \ud83d"


async def test_requests_given_inline_are_asked_as_they_are(tmp_path):
    requests = [
        BedrockConverseRequest([text_message("one")], request_id="a", inference_config={"maxTokens": 5}),
        BedrockConverseRequest(
            [
                {
                    "role": "user",
                    "content": [{"text": "two"}, {"image": {"format": "png", "source": {"bytes": b"\x89P"}}}],
                }
            ]
        ),
        {"messages": [text_message("one")]},
        {"messages": [text_message("one")]},
    ]
    spec = job_of(tmp_path, prompt_template=None, source_uri=None, id_columns=(), inference_config={"temperature": 0})
    spec.keep_requests(request_rows(requests))
    engine = CountingEngine()

    await run_job(spec, engine, pace=QUICK)

    assert [row["answer"] for row in output_of(spec)] == [f"answer to {text}" for text in ("one", "two", "one", "one")]
    assert output_of(spec)[0]["id"] == "a"
    asked = {request.request_id: request for request in engine.requests}
    assert len(asked) == 4
    assert asked["a"].inference_config == {"temperature": 0, "maxTokens": 5}
    assert any(
        block["image"]["source"]["bytes"] == b"\x89P" for r in asked.values() for block in r.messages[0]["content"][1:]
    )


async def test_every_call_carries_who_asks(tmp_path):
    tags = {"dag": "d", "run": "manual__2026-01-01T00:00:00+00:00", "task": "t|é", "long": "x" * 300}
    engine = CountingEngine()

    await run_job(job_of(tmp_path, rows_of(1), tags=tags), engine, pace=QUICK)

    sent = engine.requests[0].request_metadata
    assert sent == {"dag": "d", "run": "manual__2026-01-01T00:00:00+00:00", "task": "t__", "long": "x" * 256}


async def test_a_failed_record_is_an_error_row_and_the_rest_goes_on(tmp_path):
    spec = job_of(tmp_path, rows_of(4))
    engine = CountingEngine(lambda r: refused() if prompt_of(r).endswith(" 2") else echo(r))

    manifest = await run_job(spec, engine, pace=QUICK)

    assert [row["error"] and row["error"]["cause"] for row in output_of(spec)] == [None, None, "throttled", None]
    assert output_of(spec)[2]["answer"] is None
    assert (manifest.state, manifest.counts.failed, manifest.failures) == ("succeeded", 1, {"throttled": 1})
    assert manifest.routes[f"{MODEL} in {REGION}"]["throttled"] == manifest.throttled == 1


@pytest.mark.parametrize(
    ("policy", "most_asked"),
    [
        ({"failure_handling_strategy": FailureHandlingStrategy.STOP_ON_FIRST_FAILURE}, 2),
        (
            {
                "failure_handling_strategy": FailureHandlingStrategy.STOP_ON_THRESHOLD,
                "failure_threshold": 0.5,
                "failure_threshold_minimum": 10,
            },
            12,
        ),
    ],
)
async def test_the_failure_policy_ends_the_job_and_a_later_run_goes_on(tmp_path, policy, most_asked):
    rows = rows_of(200)
    spec = job_of(tmp_path, rows, parallel=ParallelProcessingConfig(max_concurrent_requests=2, **policy))
    broken, whole = CountingEngine(lambda _: refused()), CountingEngine()

    failed = await run_job(spec, broken, pace=QUICK)
    ended = await run_job(spec, whole, pace=QUICK)

    assert (failed.state, failed.output_uri) == ("failed", None)
    assert broken.calls <= most_asked
    assert failed.error
    assert ended.state == "succeeded"
    assert_exact(spec, rows)


async def test_the_failure_policy_counts_for_the_last_record_too(tmp_path):
    policy = FailureHandlingStrategy.STOP_ON_FIRST_FAILURE
    spec = job_of(tmp_path, rows_of(1), parallel=ParallelProcessingConfig(failure_handling_strategy=policy))

    manifest = await run_job(spec, CountingEngine(lambda _: refused()), pace=QUICK)

    assert (manifest.state, manifest.output_uri, spec.output.exists()) == ("failed", None, False)


async def test_the_manifest_adds_up_tokens_money_and_calls(tmp_path):
    seen = []
    spec = job_of(tmp_path, rows_of(50))

    manifest = await run_job(spec, CountingEngine(latency_seconds=0.02), pace=QUICK, on_progress=seen.append)

    assert manifest.usage["inputTokens"] == 500
    assert manifest.cost_usd == pytest.approx(50 * COST_USD)
    assert manifest.routes == {
        f"{MODEL} in {REGION}": {
            "calls": 50,
            "succeeded": 50,
            "throttled": 0,
            "tokens": 750,
            "cost_usd": pytest.approx(50 * COST_USD),
            "input_tokens": 500,
            "output_tokens": 250,
            "cache_read_tokens": 0,
            "cache_write_tokens": 0,
        }
    }
    assert Manifest.load(spec.folder) == manifest
    assert [one.state for one in seen[:-1]] == ["running"] * (len(seen) - 1)
    assert max(one.in_flight for one in seen) == 8
    assert sorted(one.counts.done for one in seen) == [one.counts.done for one in seen]


async def test_the_manifest_says_why_the_latest_failed_and_how_the_job_went(tmp_path):
    spec = job_of(tmp_path, rows_of(30), concurrency=1)

    manifest = await run_job(spec, CountingEngine(lambda _: refused("denied")), pace=QUICK)

    expected = {"cause": "denied", "message": "All attempts failed. Try later."}
    assert manifest.failed_samples == [{"id": f"r{number}", **expected} for number in range(10, 30)]
    assert manifest.timeline[-1]["done"] == 30
    assert Manifest.load(spec.folder) == manifest


async def test_what_a_validation_function_says_stays_out_of_the_manifest(tmp_path):
    error = RetryExhaustedError("1 answer was rejected because of this: it says canary-answer.")
    validation = ResponseValidationConfig("tests.canary:check")
    spec = job_of(tmp_path, rows_of(1), validation=validation)

    manifest = await run_job(spec, CountingEngine(lambda _: refused("invalid_answer", error)), pace=QUICK)

    assert [sample["cause"] for sample in manifest.failed_samples] == ["invalid_answer"]
    assert "canary" not in manifest.to_json().decode()
    assert "canary" in output_of(spec)[0]["error"]["message"]


async def test_an_unknown_price_makes_the_cost_unknown_and_not_zero(tmp_path):
    engine = CountingEngine(lambda r: answered("x", cost_usd=None if prompt_of(r).endswith("1") else COST_USD))

    manifest = await run_job(job_of(tmp_path, rows_of(3)), engine, pace=QUICK)

    assert (manifest.cost_usd, manifest.unpriced) == (None, 1)
    assert manifest.known_cost_usd == pytest.approx(2 * COST_USD)


async def test_what_airflow_stores_holds_no_prompt_and_no_answer(tmp_path):
    spec = job_of(tmp_path, [{"id": "a", "text": "canary-prompt"}])
    engine = CountingEngine(lambda _: answered("canary-answer"))

    manifest = await run_job(spec, engine, pace=QUICK)

    stored = json.dumps(manifest.summary.to_dict()) + manifest.to_json().decode()
    assert "canary" not in stored


async def test_identical_requests_can_be_asked_once(tmp_path):
    rows = [{"id": number, "text": f"t{number % 10}"} for number in range(100)]
    spec, engine = job_of(tmp_path, rows, dedupe=True), CountingEngine(latency_seconds=0.001)

    manifest = await run_job(spec, engine, pace=QUICK)

    assert engine.calls == 10
    assert [row["answer"] for row in output_of(spec)] == [f"answer to Rate: {row['text']}" for row in rows]
    assert (manifest.counts.succeeded, manifest.counts.reused) == (100, 90)


async def test_records_that_share_a_failed_request_all_fail(tmp_path):
    rows = [{"id": number, "text": f"t{number % 2}"} for number in range(20)]
    spec = job_of(tmp_path, rows, dedupe=True)
    engine = CountingEngine(lambda r: refused() if prompt_of(r).endswith("1") else echo(r))

    manifest = await run_job(spec, engine, pace=QUICK)

    assert (manifest.counts.succeeded, manifest.counts.failed) == (10, 10)
    assert sum(row["error"] is not None for row in output_of(spec)) == 10


BAD = [
    ('{"id": 1, "text": "a"}\n{"id": 2, "text"\n', SourceError, "1 of 2 records .*line 2 is malformed"),
    ('{"id": 1, "text": "a"}\n{"id": 1, "text": "b"}\n', SourceError, "line 2 has the id '1', which an earlier"),
    ('{"id": 1, "text": "a"}\n{"id": 2}\n', TemplateError, "line 2 lacks 'text'"),
    ('{"id": 1, "text": "a"}\n{"text": "b"}\n', SourceError, "line 2 has no id in 'id'"),
    (
        '{"id": 1, "text": "a"}\n{"id": 2, "text": " "}\n',
        TemplateError,
        "line 2: prompt_template renders|line 2: The prompt",
    ),
    ('{"id": 1, "text": "a"}\n{"id": 2, "text": "\\ud83d"}\n', TemplateError, "line 2: .*surrogate"),
    ("", SourceError, "is empty"),
    ("\n\n", SourceError, "is empty"),
]


@pytest.mark.parametrize(("text", "error", "said"), BAD)
async def test_bad_input_fails_before_anything_is_spent(tmp_path, text, error, said):
    spec, engine = job_of(tmp_path, []), CountingEngine()
    (tmp_path / "rows.jsonl").write_text(text)
    template = "{{ text }}"

    with pytest.raises(error, match=said):
        await run_job(replace(spec, prompt_template=template), engine, pace=QUICK)

    assert engine.calls == 0
    manifest = Manifest.load(spec.folder)
    assert manifest.state == "failed"
    assert manifest.error


async def test_a_missing_file_costs_nothing_and_makes_no_job(tmp_path):
    spec, engine = job_of(tmp_path), CountingEngine()

    with pytest.raises(SourceError, match=r"rows\.jsonl' does not exist"):
        await run_job(spec, engine, pace=QUICK)

    assert engine.calls == 0


async def test_a_csv_header_without_a_wanted_column_says_what_there_is(tmp_path):
    (tmp_path / "rows.csv").write_text("id,body\n1,a\n")
    spec = job_of(tmp_path, source_uri=str(tmp_path / "rows.csv"))

    with pytest.raises(SourceError, match=r"lacks the column 'text'.*It has: id, body"):
        await run_job(spec, CountingEngine(), pace=QUICK)


async def test_bad_rows_can_be_skipped_and_are_reported_in_their_place(tmp_path):
    lines = [
        '{"id": 1, "text": "a"}',
        "{",
        '{"id": 1, "text": "b"}',
        '{"id": 3}',
        '{"id": 4, "text": ""}',
        '{"id": 5, "text": "c"}',
    ]
    spec = job_of(tmp_path, [], on_bad_record="skip", prompt_template="{{ text }}")
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    engine = CountingEngine()

    manifest = await run_job(spec, engine, pace=QUICK)

    found = [(row["id"], row["error"] and row["error"]["cause"]) for row in output_of(spec)]
    assert found == [
        ("1", None),
        (None, "malformed"),
        (None, "duplicate_id"),
        ("3", "missing_column"),
        ("4", "template"),
        ("5", None),
    ]
    assert engine.calls == 2
    assert (manifest.counts.total, manifest.counts.skipped, manifest.state) == (6, 4, "succeeded")
    assert manifest.failures == {"malformed": 1, "duplicate_id": 1, "missing_column": 1, "template": 1}


async def test_a_work_dir_that_cannot_be_written_is_told_before_anything_is_spent(tmp_path):
    (tmp_path / "file").write_text("in the way")
    spec, engine = job_of(tmp_path, rows_of(3), job_uri=str(tmp_path / "file" / "job")), CountingEngine()

    with pytest.raises(OutputError, match=r"work_dir: '.*file/job/lease/1' cannot be used"):
        await run_job(spec, engine, pace=QUICK)

    assert engine.calls == 0


async def test_an_output_that_cannot_be_written_loses_no_answer(tmp_path):
    (tmp_path / "file").write_text("in the way")
    rows = rows_of(20)
    spec = job_of(tmp_path, rows, output_uri=str(tmp_path / "file" / "out.jsonl"))
    again, engine = replace(spec, output_uri=str(tmp_path / "out.jsonl")), CountingEngine()

    with pytest.raises(OutputError, match=r"output: '.*file/out\.jsonl' cannot be used"):
        await run_job(spec, engine, pace=QUICK)
    await run_job(again, engine, pace=QUICK)

    assert engine.calls == 20
    assert_exact(again, rows)


async def test_a_source_that_changes_while_the_job_runs_is_noticed(tmp_path):
    rows = rows_of(30)
    spec, engine = job_of(tmp_path, rows), CountingEngine(latency_seconds=0.001)
    engine.on_paid = lambda calls: write_rows(tmp_path / "rows.jsonl", rows_of(31)) if calls == 5 else None

    with pytest.raises(SourceError, match="changed while the job ran"):
        await run_job(spec, engine, pace=QUICK)
    await run_job(spec, engine, pace=QUICK)

    assert engine.calls == 31
    assert_exact(spec, rows_of(31))


async def test_an_answer_never_stands_beside_a_text_that_was_not_asked(tmp_path):
    rows = rows_of(30)
    spec, engine = job_of(tmp_path, rows), CountingEngine(latency_seconds=0.001)
    changed = [{**rows[0], "text": "text X"}, *rows[1:]]
    engine.on_paid = lambda calls: write_rows(tmp_path / "rows.jsonl", changed) if calls == 30 else None

    with pytest.raises(SourceError, match="changed while the job ran"):
        await run_job(spec, engine, pace=QUICK)
    await run_job(spec, engine, pace=QUICK)

    assert engine.calls == 31
    assert_exact(spec, changed)


def test_an_output_is_not_replaced_by_a_runner_that_lost_the_job(tmp_path):
    spec = job_of(tmp_path, rows_of(2))
    spec.output.write(b"of the other runner")
    lease = take_lease(spec.folder, {})
    journal = Journal(spec.folder, lease, [])
    intake = Intake(spec, Questions(spec), Ledger(dedupe=False))
    intake.check(lambda: True)
    for asked in intake.next(9, 9).asked:
        intake.places[asked.index] = journal.add(journal_line(asked, answered("late"))).pack()
    journal.write(journal.cut())
    take_lease(spec.folder, {})

    with pytest.raises(LeaseLostError):
        write_output(spec, intake, journal, lease.check)

    assert spec.output.read() == b"of the other runner"


async def test_a_finished_job_needs_no_call_and_no_runner(tmp_path):
    spec, engine = job_of(tmp_path, rows_of(10)), CountingEngine()
    assert finished_manifest(spec) is None

    first = await run_job(spec, engine, pace=QUICK)
    second = await run_job(spec, engine, pace=QUICK)

    assert first == second == finished_manifest(spec)
    assert engine.calls == 10


async def test_a_second_runner_of_the_same_task_run_takes_the_outcome_as_it_is(tmp_path):
    spec = job_of(tmp_path, rows_of(10))
    engine = CountingEngine(lambda _: refused())

    first = await run_job(spec, engine, token="try 1", pace=QUICK)
    same_run = await run_job(spec, engine, token="try 1", pace=QUICK)
    next_try = await run_job(spec, CountingEngine(), token="try 2", pace=QUICK)

    assert (first.counts.failed, engine.calls) == (10, 10)
    assert same_run == first
    assert (next_try.counts.succeeded, next_try.counts.failed) == (10, 0)


async def test_much_is_written_at_once_and_nothing_twice(tmp_path):
    spec = job_of(tmp_path, rows_of(300), concurrency=50)
    pace = replace(QUICK, flush_bytes=500, flush_seconds=3600)

    await run_job(spec, CountingEngine(latency_seconds=0.01), pace=pace)

    lines = kept_lines(spec)
    assert sorted(line["index"] for line in lines) == list(range(300))
    assert len(spec.folder.child("results").names()) >= 2


async def test_the_loop_is_never_asked_to_wait_for_storage(tmp_path):
    blockbuster = pytest.importorskip("blockbuster")
    spec = job_of(tmp_path, rows_of(50))

    with blockbuster.blockbuster_ctx("airflow_provider_bedrock_llm.jobs"):
        await run_job(spec, CountingEngine(latency_seconds=0.001), pace=QUICK)

    assert len(output_of(spec)) == 50


async def test_a_job_may_be_run_by_a_loop_in_another_thread(tmp_path):
    spec = job_of(tmp_path, rows_of(20))

    manifest = await asyncio.to_thread(lambda: asyncio.run(run_job(spec, CountingEngine(), pace=QUICK)))

    assert manifest.state == "succeeded"
