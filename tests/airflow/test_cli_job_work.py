"""`job resume` and `job export`, through the parser that Airflow builds."""

from __future__ import annotations

import csv
import json
import os
import signal
import threading
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
from harness.command_line import run
from harness.enrichment_task import ROWS

from airflow_provider_bedrock_llm.core.config import FailureHandlingStrategy, ParallelProcessingConfig

IDS = [row["id"] for row in ROWS]
ONE_BY_ONE = ParallelProcessingConfig(
    max_concurrent_requests=1, failure_handling_strategy=FailureHandlingStrategy.STOP_ON_FIRST_FAILURE
)


@pytest.fixture
def half_done(enrich, connected, tmp_path):
    """A job that stopped at its 21st row."""
    connected.control.fail("input_too_long", text="Text <20>.")
    with pytest.raises(Exception, match="stop_on_first_failure"):
        enrich(parallel_config=ONE_BY_ONE)
    connected.control.heal()
    (manifest,) = (tmp_path / "jobs").rglob("manifest.json")
    return str(manifest.parent)


def ids_of(job_uri):
    return [json.loads(line)["id"] for line in (Path(job_uri) / "output.jsonl").read_text().splitlines()]


def test_resume_asks_the_rest_and_ends_with_the_output(half_done, connected, capsys):
    before = connected.control.stats().calls
    run("job", "resume", half_done)
    assert ids_of(half_done) == IDS
    assert connected.control.stats().calls - before == len(ROWS) - 20
    assert "The job succeeded: 40 rows with an answer, 20 of them reused" in capsys.readouterr().out


def test_ctrl_c_stops_in_order_and_the_next_resume_goes_on(half_done, connected, capsys):
    before = connected.control.stats().calls
    connected.control.latency(0.2)

    def press_ctrl_c():
        while connected.control.stats().calls < before + 3:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    finger = threading.Thread(target=press_ctrl_c)
    finger.start()
    with pytest.raises(SystemExit) as ended:
        run("job", "resume", half_done)
    finger.join()
    assert ended.value.code == 1
    assert "The job stopped" in capsys.readouterr().out
    connected.control.latency(0.0)
    run("job", "resume", half_done)
    assert ids_of(half_done) == IDS
    assert connected.control.stats().calls - before == len(ROWS) - 20


def test_resume_of_no_job_says_so(tmp_path):
    with pytest.raises(SystemExit, match="does not exist"):
        run("job", "resume", str(tmp_path))


def test_export_tells_the_format_from_the_name(enrich, connected, tmp_path, capsys):
    job_uri = enrich()["job_uri"]
    run("job", "export", job_uri, "--to", str(tmp_path / "rows.parquet"))
    assert pa.parquet.read_table(tmp_path / "rows.parquet").column("id").to_pylist() == IDS
    assert "40 rows were written" in capsys.readouterr().out
    assert connected.control.stats().calls == len(ROWS)


def test_export_can_take_failed_rows_alone(enrich, connected, tmp_path):
    connected.control.fail("input_too_long", text="Text <3>.")
    job_uri = enrich(output_uri=str(tmp_path / "out"), partition_by="country", failed_rows="drop")["job_uri"]
    run("job", "export", job_uri, "--to", str(tmp_path / "bad"), "--format", "csv", "--only", "failed")
    run("job", "export", job_uri, "--to", str(tmp_path / "good.csv"), "--only", "answered")
    with (tmp_path / "bad").open(newline="") as file:
        assert [(row["id"], row["error_cause"]) for row in csv.DictReader(file)] == [("r3", "context_too_long")]
    with (tmp_path / "good.csv").open(newline="") as file:
        assert [row["id"] for row in csv.DictReader(file)] == [row_id for row_id in IDS if row_id != "r3"]


@pytest.mark.parametrize(
    ("words", "said"), [(("--to", "{tmp}/x.csv"), "Run the job to its end"), (("--to", "x", "--format", "xml"), "xml")]
)
def test_what_cannot_be_exported_is_said(half_done, tmp_path, words, said):
    with pytest.raises(SystemExit, match=said):
        run("job", "export", half_done, *(word.format(tmp=tmp_path) for word in words))
