"""Whatever happens to a runner, the next one goes on where it was: no answer lost, none paid twice that was kept."""

import asyncio
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from harness.job_engine import CountingEngine, echo, prompt_of, refused
from harness.job_folder import QUICK, assert_exact, job_of, kept_lines, output_of, rows_of, until, write_rows

from airflow_provider_bedrock_llm.core.errors import LeaseLostError, OutputError
from airflow_provider_bedrock_llm.jobs.lease import take_lease
from airflow_provider_bedrock_llm.jobs.manifest import Manifest
from airflow_provider_bedrock_llm.jobs.runner import run_job


async def answered_job(tmp_path, rows, **settings):
    """A job that has run to its end."""
    spec = job_of(tmp_path, rows, **settings)
    await run_job(spec, CountingEngine(), pace=QUICK)
    return spec


def put_in_the_way(folder):
    """Let writing to a folder fail, as it does when its disk or its network is away."""
    folder.parent.mkdir(exist_ok=True)
    if folder.exists():
        folder.rename(folder.with_name("aside"))
    folder.write_text("in the way")


def clear_the_way(folder):
    folder.unlink()
    folder.with_name("aside").rename(folder)


def forget_output(spec):
    Path(spec.output.uri).unlink(missing_ok=True)


async def calls_to_finish(spec, rows):
    """Run it to its end; the output must be exact."""
    forget_output(spec)
    engine = CountingEngine()
    manifest = await run_job(spec, engine, pace=QUICK)
    assert_exact(spec, rows)
    assert manifest.counts.succeeded == manifest.counts.total == len(rows)
    assert manifest.counts.reused == len(rows) - engine.calls
    return engine.calls


@pytest.mark.parametrize("crash_at", [1, 7, 8, 40, 99, 100])
async def test_a_crash_at_any_call_loses_only_what_was_in_flight_or_unflushed(tmp_path, crash_at):
    rows = rows_of(100)
    spec, engine = job_of(tmp_path, rows), CountingEngine(latency_seconds=0.005)
    crashed = replace(spec, job_uri=str(tmp_path / "crashed"))

    def crash(calls):
        if calls == crash_at:
            shutil.copytree(spec.job_uri, crashed.job_uri, ignore=shutil.ignore_patterns(".*"))

    engine.on_paid = crash
    await run_job(spec, engine, pace=QUICK)

    kept = len(kept_lines(crashed))
    assert await calls_to_finish(crashed, rows) == 100 - kept


async def test_a_crash_between_the_last_answer_and_the_output_costs_nothing(tmp_path):
    rows = rows_of(50)
    spec = await answered_job(tmp_path, rows)

    assert await calls_to_finish(spec, rows) == 0


async def test_a_stop_awaits_and_keeps_what_is_under_way(tmp_path):
    rows, stop = rows_of(100), asyncio.Event()
    spec, engine = job_of(tmp_path, rows), CountingEngine(latency_seconds=0.02)
    engine.on_paid = lambda calls: stop.set() if calls == 30 else None

    manifest = await run_job(spec, engine, stop=stop, pace=QUICK)

    assert manifest.state == "stopped"
    assert engine.calls == len(kept_lines(spec)) < 100
    assert await calls_to_finish(spec, rows) == 100 - engine.calls


async def test_a_stop_does_not_wait_for_ever(tmp_path):
    stop = asyncio.Event()
    spec, engine = job_of(tmp_path, rows_of(20)), CountingEngine(latency_seconds=3600)
    engine.on_paid = lambda calls: stop.set() if calls == 8 else None

    manifest = await run_job(spec, engine, stop=stop, pace=replace(QUICK, drain_seconds=0.05))

    assert manifest.state == "stopped"
    assert "still under way 0.05 seconds after" in manifest.error


async def test_a_stop_before_the_first_call_spends_nothing(tmp_path):
    stop, engine = asyncio.Event(), CountingEngine()
    stop.set()

    manifest = await run_job(job_of(tmp_path, rows_of(9000)), engine, stop=stop, pace=QUICK)

    assert (manifest.state, engine.calls) == ("stopped", 0)


async def test_a_cancelled_runner_keeps_what_it_has(tmp_path):
    rows = rows_of(60)
    spec, engine = job_of(tmp_path, rows), CountingEngine(latency_seconds=0.005)
    running = asyncio.create_task(run_job(spec, engine, pace=replace(QUICK, flush_seconds=3600)))
    await until(lambda: engine.calls >= 30)

    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert Manifest.load(spec.folder).state == "stopped"
    assert engine.calls - len(kept_lines(spec)) <= 8
    await calls_to_finish(spec, rows)


async def test_one_more_row_pays_for_one_row(tmp_path):
    spec, more = await answered_job(tmp_path, rows_of(50)), rows_of(51)
    write_rows(tmp_path / "rows.jsonl", [more[50], *more[:50]])

    assert await calls_to_finish(spec, [more[50], *more[:50]]) == 1


async def test_a_row_that_is_gone_is_gone_from_the_output_and_costs_nothing(tmp_path):
    rows = rows_of(50)
    spec = await answered_job(tmp_path, rows)
    del rows[17]
    write_rows(tmp_path / "rows.jsonl", rows)

    assert await calls_to_finish(spec, rows) == 0


async def test_rows_in_another_order_cost_nothing(tmp_path):
    rows = rows_of(50)
    spec = await answered_job(tmp_path, rows)
    write_rows(tmp_path / "rows.jsonl", rows[::-1])

    assert await calls_to_finish(spec, rows[::-1]) == 0


async def test_a_changed_prompt_pays_for_the_rows_that_it_changes(tmp_path):
    spec = await answered_job(tmp_path, rows_of(30))
    template = "Rate: {{ text }}{% if kind == 1 %}!{% endif %}"
    engine = CountingEngine()

    await run_job(replace(spec, prompt_template=template), engine, pace=QUICK)

    assert engine.calls == 10
    assert [row["answer"][-1] == "!" for row in output_of(spec)] == [number % 3 == 1 for number in range(30)]


@pytest.mark.parametrize(
    ("change", "calls"),
    [
        ({"models": ("amazon.nova-pro-v1:0",)}, 5),
        ({"inference_config": {"temperature": 0.5}}, 5),
        ({"inference_config": {"maxTokens": 9}}, 0),
        ({"models": ({"model": "amazon.nova-lite-v1:0", "inference_config": {"topP": 0.5}},)}, 5),
        ({"system_template": "Be brief."}, 5),
        ({"output_schema": {"type": "object"}}, 5),
        ({"tags": {"run": "another"}}, 0),
        ({"regions": ("eu-west-1",)}, 0),
        ({"keep_columns": ("kind",)}, 0),
        ({"concurrency": 3}, 0),
    ],
)
async def test_only_what_shapes_the_answer_is_paid_again(tmp_path, change, calls):
    await answered_job(tmp_path, rows_of(5))
    engine = CountingEngine()

    await run_job(job_of(tmp_path, **change), engine, pace=QUICK)

    assert engine.calls == calls


async def test_a_row_whose_text_went_away_and_came_back_is_not_paid_again(tmp_path):
    rows = rows_of(10)
    spec = await answered_job(tmp_path, rows)
    write_rows(tmp_path / "rows.jsonl", [{**row, "text": row["text"].upper()} for row in rows])
    await run_job(spec, CountingEngine(), pace=QUICK)
    write_rows(tmp_path / "rows.jsonl", rows)

    assert await calls_to_finish(spec, rows) == 0


async def test_failed_records_are_asked_again_and_their_cost_stays_counted(tmp_path):
    rows = rows_of(10)
    spec = job_of(tmp_path, rows)
    await run_job(spec, CountingEngine(lambda r: refused() if prompt_of(r).endswith("3") else echo(r)), pace=QUICK)
    engine = CountingEngine()

    manifest = await run_job(spec, engine, pace=QUICK)

    assert engine.calls == 1
    assert (manifest.counts.failed, manifest.counts.reused, manifest.failures) == (0, 9, {})
    assert (manifest.throttled, manifest.usage["inputTokens"]) == (1, 100)
    assert_exact(spec, rows)


async def test_two_records_that_ask_the_same_keep_an_answer_each(tmp_path):
    rows = [{"id": number, "text": "same"} for number in range(4)]
    spec = await answered_job(tmp_path, rows)
    write_rows(tmp_path / "rows.jsonl", [*rows, {"id": 4, "text": "same"}])
    engine = CountingEngine()

    await run_job(spec, engine, pace=QUICK)

    assert engine.calls == 1


async def test_rows_that_are_named_by_their_content_keep_an_answer_each(tmp_path):
    rows = [{"text": "same"}] * 4
    spec = await answered_job(tmp_path, rows, id_columns=())
    write_rows(tmp_path / "rows.jsonl", [{"text": "new"}, *rows, *rows[:1]])
    engine = CountingEngine()

    await run_job(spec, engine, pace=QUICK)

    assert engine.calls == 2
    assert len({row["id"] for row in output_of(spec)}) == 6


async def test_with_dedupe_a_new_row_that_asks_the_same_is_free(tmp_path):
    rows = [{"id": number, "text": "same"} for number in range(4)]
    spec = await answered_job(tmp_path, rows, dedupe=True)
    write_rows(tmp_path / "rows.jsonl", [*rows, {"id": 4, "text": "same"}])
    engine = CountingEngine()

    await run_job(spec, engine, pace=QUICK)

    assert engine.calls == 0


TORN = [
    b'{"hash":"abc',
    b"",
    b"\n\n",
    b'{"hash": 1}\n',
    b'{"hash": "h"}\n',
    b"\xff\x00",
    b"[]\n",
    b'{"hash":"h","id":"r1"',
]


@pytest.mark.parametrize("torn", TORN)
async def test_a_torn_part_costs_its_torn_line_alone(tmp_path, torn):
    rows = rows_of(10)
    spec = await answered_job(tmp_path, rows)
    results = spec.folder.child("results")
    part = results.child(results.names()[-1])
    part.write(b"".join(part.read().splitlines(keepends=True)[:-1]) + torn)

    assert await calls_to_finish(spec, rows) == 1


async def test_strange_files_among_the_parts_do_no_harm(tmp_path):
    rows = rows_of(10)
    spec = await answered_job(tmp_path, rows)
    results = spec.folder.child("results")
    results.child("000007-00000001.jsonl").write(b"")
    results.child("notes.txt").write(b"hello")

    assert await calls_to_finish(spec, rows) == 0
    assert Manifest.load(spec.folder).epoch == 8


async def test_an_unreadable_manifest_is_no_reason_to_pay_again(tmp_path):
    rows = rows_of(10)
    spec = await answered_job(tmp_path, rows)
    spec.folder.child("manifest.json").write(b'{"state": "succ')

    assert await calls_to_finish(spec, rows) == 0


async def test_a_manifest_of_a_newer_version_is_read(tmp_path):
    spec = await answered_job(tmp_path, rows_of(3))
    raw = json.loads(spec.folder.child("manifest.json").read())

    assert Manifest.from_json(json.dumps({**raw, "of_tomorrow": 1}).encode()) == Manifest.load(spec.folder)


async def test_of_two_runners_at_once_the_older_stops_within_one_flush(tmp_path):
    rows = rows_of(200)
    spec = job_of(tmp_path, rows, concurrency=4)
    old, new = CountingEngine(latency_seconds=0.01), CountingEngine(latency_seconds=0.001)
    older = asyncio.create_task(run_job(spec, old, pace=QUICK))
    await until(lambda: old.calls >= 20)

    newer = await run_job(spec, new, pace=QUICK)
    with pytest.raises(LeaseLostError, match="epoch 1"):
        await older

    assert_exact(spec, rows)
    assert newer.state == "succeeded"
    assert Manifest.load(spec.folder) == newer
    assert old.calls < 200
    assert old.calls - len([line for line in kept_lines(spec) if line["id"]]) + new.calls <= 4


async def test_a_runner_that_was_frozen_writes_neither_manifest_nor_output(tmp_path):
    rows = rows_of(40)
    spec, engine = job_of(tmp_path, rows), CountingEngine(latency_seconds=0.001)
    engine.on_paid = lambda calls: take_lease(spec.folder, {}) if calls == 35 else None

    with pytest.raises(LeaseLostError):
        await run_job(spec, engine, pace=replace(QUICK, flush_seconds=3600))

    kept = len(kept_lines(spec))
    assert not spec.output.exists()
    assert Manifest.load(spec.folder).state == "running"
    assert await calls_to_finish(spec, rows) == 40 - kept


async def test_answers_of_a_fenced_off_runner_stay_valid(tmp_path):
    rows = rows_of(40)
    spec, engine = job_of(tmp_path, rows), CountingEngine(latency_seconds=0.005)
    engine.on_paid = lambda calls: take_lease(spec.folder, {}) if calls == 20 else None
    with pytest.raises(LeaseLostError):
        await run_job(spec, engine, pace=QUICK)
    kept = len(kept_lines(spec))

    assert kept > 0
    assert await calls_to_finish(spec, rows) == 40 - kept


async def test_storage_that_is_away_for_a_moment_costs_nothing(tmp_path):
    rows = rows_of(100)
    spec, engine = job_of(tmp_path, rows), CountingEngine(latency_seconds=0.1)
    results = Path(spec.job_uri, "results")

    async def away():
        await until(lambda: len(list(results.glob("*"))) >= 2)
        put_in_the_way(results)
        await asyncio.sleep(0.15)
        clear_the_way(results)

    breaking = asyncio.create_task(away())
    await run_job(spec, engine, pace=QUICK)
    await breaking

    assert engine.calls == 100
    assert_exact(spec, rows)


async def test_storage_that_stays_away_ends_the_job_with_little_at_stake(tmp_path):
    rows = rows_of(2000)
    spec, engine = job_of(tmp_path, rows), CountingEngine(latency_seconds=0.002)
    put_in_the_way(Path(spec.job_uri, "results"))

    with pytest.raises(OutputError, match=r"work_dir: .*results/.*cannot be used"):
        await run_job(spec, engine, pace=QUICK)

    assert 0 < engine.calls < 1000
    assert Manifest.load(spec.folder).state == "failed"
