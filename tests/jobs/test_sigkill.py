"""Real processes, really killed."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from harness.job_folder import assert_exact, job_of, kept_lines, rows_of

from airflow_provider_bedrock_llm.jobs.manifest import Manifest

ROOT = Path(__file__).parents[2]
CONCURRENCY = 16


def start_runner(spec, paid_file):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    script = ROOT / "tests" / "harness" / "job_process.py"
    return subprocess.Popen([sys.executable, script, spec.job_uri, paid_file, "0.005"], env=environment)


def paid_of(paid_file):
    return paid_file.read_text().count("\n") if paid_file.exists() else 0


def wait_until_paid(paid_file, count, process):
    until = time.monotonic() + 60
    while paid_of(paid_file) < count and process.poll() is None:
        assert time.monotonic() < until
        time.sleep(0.002)


@pytest.fixture
def job(tmp_path):
    rows = rows_of(1200)
    spec = job_of(tmp_path, rows, concurrency=CONCURRENCY)
    spec.save()
    return spec, rows, tmp_path / "paid"


def test_a_runner_that_is_killed_again_and_again_pays_only_for_what_was_not_kept(job):
    spec, rows, paid_file = job
    draw = random.Random(7)
    lost = 0
    for goal in (150, 400, 800):
        process = start_runner(spec, paid_file)
        wait_until_paid(paid_file, goal + lost + draw.randrange(60), process)
        process.kill()
        process.wait()
        lost = paid_of(paid_file) - len(kept_lines(spec))

    assert start_runner(spec, paid_file).wait(60) == 0

    assert_exact(spec, rows)
    assert paid_of(paid_file) == 1200 + lost
    assert Manifest.load(spec.folder).epoch == 4


def test_a_frozen_runner_that_thaws_spoils_nothing(job):
    spec, rows, paid_file = job
    frozen = start_runner(spec, paid_file)
    wait_until_paid(paid_file, 200, frozen)
    frozen.send_signal(signal.SIGSTOP)

    assert start_runner(spec, paid_file).wait(60) == 0
    before = spec.output.read()
    paid_before = paid_of(paid_file)
    frozen.send_signal(signal.SIGCONT)

    assert frozen.wait(60) == 1
    assert spec.output.read() == before
    assert Manifest.load(spec.folder).state == "succeeded"
    assert_exact(spec, rows)
    assert paid_of(paid_file) - paid_before < 400
