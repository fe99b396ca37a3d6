"""`make demo` as a newcomer runs it."""

import json
import signal
import subprocess
import sys
import time

import psutil
import pytest
from harness.airflow_processes import REPOSITORY

DEMO = REPOSITORY / ".tools" / "demo.py"


@pytest.mark.processes
def test_the_demo_enriches_every_review_and_leaves_nothing_running(tmp_path):
    shown = subprocess.run(
        [sys.executable, DEMO, "--folder", tmp_path, "--latency", "0.1"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "3,708: each id once, in the order of the input" in shown.stdout
    assert "3,708 succeeded, 0 failed" in shown.stdout
    output = tmp_path / "jobs" / "enrich_reviews" / "demo" / "enrich" / "-1" / "output.jsonl"
    assert str(output.relative_to(tmp_path)) in shown.stdout
    answers = [json.loads(line)["answer"] for line in output.read_bytes().splitlines()]
    assert {answer["sentiment"] for answer in answers} == {"negative", "neutral", "positive"}
    assert _still_running(tmp_path) == []


@pytest.mark.processes
def test_ctrl_c_ends_the_demo_with_all_that_it_started(tmp_path):
    demo = subprocess.Popen(
        [sys.executable, DEMO, "--folder", tmp_path],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    )
    for line in demo.stdout:
        if "/s, " in line:
            break
    assert len(_still_running(tmp_path)) > 4
    demo.send_signal(signal.SIGINT)
    time.sleep(0.5)
    demo.send_signal(signal.SIGINT)  # somebody who is in a hurry
    assert "Nothing is left running" in demo.stdout.read()
    assert demo.wait() == 130
    demo.stdout.close()
    assert _still_running(tmp_path) == []


def test_progress_off_a_terminal_is_one_line_for_news_and_none_for_the_same(capsys):
    from harness.airflow_processes import DemoScreen

    def manifest(done):
        return {
            "counts": {"done": done},
            "usage": {"inputTokens": 1000, "outputTokens": 500},
            "rows_per_second": 80.2,
            "eta_seconds": None,
            "known_cost_usd": 0.01,
        }

    with DemoScreen(plain_every_seconds=0).progress(200) as show:
        for seen in ({}, manifest(0), manifest(80), manifest(80), manifest(200)):
            show(seen)
    lines = [line.partition(" s  ")[2] for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "0 of 200 rows, 80/s, 2k tokens, $0.0100",
        "80 of 200 rows, 80/s, 2k tokens, $0.0100",
        "200 of 200 rows, 80/s, 2k tokens, $0.0100",
    ]


def test_the_result_says_when_the_output_is_not_as_promised(capsys, tmp_path):
    from harness.airflow_processes import DemoScreen

    answer = {"sentiment": "positive", "score": 2, "is_complaint": False}
    rows = [
        {"id": name, "text": "[good] " * 20, "human_sentiment": "2.5", "answer": answer} for name in ("a", "b", "b")
    ]
    manifest = {
        "counts": {"succeeded": 3, "failed": 0},
        "usage": {"inputTokens": 10, "outputTokens": 5},
        "throttled": 0,
        "known_cost_usd": 0.5,
    }

    assert not DemoScreen().show_result(rows, manifest, ["a", "b"], calls=3, job=tmp_path)
    assert DemoScreen().show_result(rows[:2], manifest, ["a", "b"], calls=3, job=tmp_path)
    wrong, right = capsys.readouterr().out.split("of 2 enriched rows")
    assert "not the ids of the input in order" in wrong
    assert "each id once, in the order of the input" in right
    assert "[good]" in right


def _still_running(folder):
    """Processes that work in the folder; whatever else Airflow's processes call themselves."""
    found = []
    for process in psutil.process_iter():
        try:
            where = process.cwd()
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
        if where.startswith(str(folder)):
            found.append(process.pid)
    return found
