"""With `reuse="task"`, tomorrow's run pays for new and changed rows alone, whatever happened to today's."""

import asyncio
import shutil

import pytest
from harness.job_engine import CountingEngine, refused
from harness.job_folder import QUICK, assert_exact, job_of, kept_lines, rows_of, until

from airflow_provider_bedrock_llm.jobs.runner import run_job


def day(tmp_path, number, rows, **settings):
    return job_of(
        tmp_path, rows, job_uri=str(tmp_path / f"run{number}"), answers_uri=str(tmp_path / "answers"), **settings
    )


async def run(spec, rows=None, **engine):
    counting = CountingEngine(**engine)
    manifest = await run_job(spec, counting, pace=QUICK)
    if rows is not None:
        assert_exact(spec, rows)
    return counting.calls, manifest


def answers_of(tmp_path):
    folder = tmp_path / "answers" / "answers"
    return [line for file in folder.glob("*.jsonl") for line in file.read_bytes().splitlines()]


async def test_one_more_row_pays_for_one_row(tmp_path):
    await run(day(tmp_path, 1, rows_of(500)))
    rows = [rows_of(501)[500], *rows_of(500)]

    calls, manifest = await run(day(tmp_path, 2, rows), rows)

    assert calls == 1
    assert (manifest.counts.succeeded, manifest.counts.reused) == (501, 500)
    assert manifest.usage["inputTokens"] == 10
    assert manifest.cost_usd == pytest.approx(0.001)


async def test_a_changed_prompt_pays_for_the_rows_that_it_changes(tmp_path):
    template = "Rate: {{ text }}{% if kind == 0 and strict %}, strictly{% endif %}"
    rows = [{**row, "strict": False} for row in rows_of(30)]
    await run(day(tmp_path, 1, rows, prompt_template=template))

    changed = [{**row, "strict": True} for row in rows]
    calls, _ = await run(day(tmp_path, 2, changed, prompt_template=template))

    assert calls == 10


async def test_answers_last_over_many_runs_and_do_not_pile_up(tmp_path):
    for number in range(6):
        rows = rows_of(100 + number)
        calls, _ = await run(day(tmp_path, number, rows), rows)
        assert calls == (100 if number == 0 else 1)

    assert len(answers_of(tmp_path)) == 105
    assert not list((tmp_path / "answers" / "runs").glob("*"))


async def test_without_it_runs_know_nothing_of_each_other(tmp_path):
    await run(job_of(tmp_path, rows_of(10), job_uri=str(tmp_path / "run1")))

    calls, _ = await run(job_of(tmp_path, rows_of(10), job_uri=str(tmp_path / "run2")))

    assert calls == 10


@pytest.mark.parametrize("crash_at", [1, 40, 99])
async def test_what_a_dead_run_had_kept_is_not_paid_again(tmp_path, crash_at):
    rows, dead = rows_of(100), tmp_path / "dead"
    spec, engine = day(tmp_path, 1, rows), CountingEngine(latency_seconds=0.005)
    running = asyncio.create_task(run_job(spec, engine, pace=QUICK))
    await until(lambda: engine.calls >= crash_at)
    shutil.copytree(tmp_path / "run1", dead, ignore=shutil.ignore_patterns(".*"))
    shutil.copytree(tmp_path / "answers", tmp_path / "answers_then")
    await running
    shutil.rmtree(tmp_path / "run1")
    shutil.rmtree(tmp_path / "answers")
    dead.rename(tmp_path / "run1")
    (tmp_path / "answers_then").rename(tmp_path / "answers")
    kept = len(kept_lines(spec))

    second, _ = await run(day(tmp_path, 2, rows), rows)
    third, _ = await run(day(tmp_path, 3, rows), rows)

    assert (second, third) == (100 - kept, 0)


async def test_a_run_that_was_carried_and_killed_goes_on_and_knows_what_it_paid_itself(tmp_path):
    await run(day(tmp_path, 1, rows_of(50)))
    spec, stop = day(tmp_path, 2, rows_of(100)), asyncio.Event()
    engine = CountingEngine(latency_seconds=0.005)
    engine.on_paid = lambda calls: stop.set() if calls == 20 else None
    await run_job(spec, engine, stop=stop, pace=QUICK)

    calls, manifest = await run(spec, rows_of(100))

    assert engine.calls + calls == 50
    assert manifest.usage["inputTokens"] == 500


async def test_two_runs_at_once_both_end_whole_and_lose_nothing(tmp_path):
    rows = rows_of(200)
    await run(day(tmp_path, 0, rows_of(100)))
    specs = [day(tmp_path, number, rows) for number in (1, 2)]

    results = await asyncio.gather(*(run(spec, rows, latency_seconds=0.002) for spec in specs))
    calls, _ = await run(day(tmp_path, 3, rows), rows)

    assert all(calls <= 100 for calls, _ in results)
    assert calls == 0


async def test_failed_records_are_not_carried(tmp_path):
    await run(day(tmp_path, 1, rows_of(10)), answer=lambda _: refused())

    calls, _ = await run(day(tmp_path, 2, rows_of(10)), rows_of(10))

    assert calls == 10


async def test_answers_that_no_run_uses_any_more_go_in_time(tmp_path):
    rows = [{"id": f"r{number}", "text": f"text {number}"} for number in range(3_000)]
    for number in range(6):
        some = rows[500 * number : 500 * number + 500]
        await run(day(tmp_path, number, some), some)

    assert len(answers_of(tmp_path)) <= 2 * 500 + 1_000
    assert (await run(day(tmp_path, 9, rows[2_500:]), rows[2_500:]))[0] == 0


async def test_a_run_whose_folder_is_gone_does_no_harm(tmp_path):
    await run(day(tmp_path, 1, rows_of(10)), answer=lambda _: refused())
    (tmp_path / "answers" / "runs").mkdir(exist_ok=True)
    (tmp_path / "answers" / "runs" / "0123-000001").write_text(str(tmp_path / "gone"))

    calls, manifest = await run(day(tmp_path, 2, rows_of(10)), rows_of(10))

    assert (calls, manifest.state) == (10, "succeeded")


async def test_a_run_whose_folder_was_deleted_takes_nothing_from_the_task_when_it_gives_back_again(tmp_path):
    for rows in (rows_of(50), rows_of(51)):
        await run(day(tmp_path, 1, rows), rows)
        shutil.rmtree(tmp_path / "run1")

    calls, _ = await run(day(tmp_path, 2, rows_of(51)), rows_of(51))

    assert calls == 0
