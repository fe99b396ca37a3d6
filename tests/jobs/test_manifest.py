"""How a job stands, in numbers and in words."""

import json

import pytest

from airflow_provider_bedrock_llm.jobs.manifest import Counts, Manifest
from airflow_provider_bedrock_llm.jobs.standing import Speed


def manifest_of(**values):
    defaults = {
        "state": "running",
        "phase": "asking",
        "job_uri": "/w/job",
        "epoch": 2,
        "runner": {"host": "h", "pid": 1},
        "started_at": "2026-01-01T00:00:00.000+00:00",
        "updated_at": "2026-01-01T00:00:01.000+00:00",
    }
    return Manifest(**defaults | values)


def test_speed_is_that_of_the_last_half_minute():
    speed = Speed(0.0)
    for second in range(1, 101):
        speed.sample(float(second), second if second <= 50 else 50 + 10 * (second - 50))

    assert speed.rows_per_second == pytest.approx(10)
    assert speed.eta_seconds(550) == pytest.approx(55)


def test_the_time_left_is_unknown_before_anything_is_known():
    speed = Speed(0.0)

    assert speed.eta_seconds(10) is None
    assert speed.eta_seconds(None) is None
    assert speed.eta_seconds(0) == 0.0


def test_a_manifest_survives_the_way_through_its_file():
    manifest = manifest_of(
        counts=Counts(10, 5, 3, 1, 1, 2), routes={"m in r": {"calls": 3}}, failures={"x": 2}, features_disabled={"y": 1}
    )

    assert Manifest.from_json(manifest.to_json()) == manifest


def test_the_summary_is_numbers_and_uris():
    summary = manifest_of(counts=Counts(10, 5, 3, 1, 1, 2), error="text of a person").summary.to_dict()

    assert json.loads(json.dumps(summary)) == summary
    assert summary["counts"] == {"total": 10, "done": 5, "succeeded": 3, "failed": 1, "skipped": 1, "reused": 2}
    assert "error" not in summary


def test_the_progress_line_says_rows_speed_time_left_and_cost():
    line = manifest_of(
        counts=Counts(3708, 1200, 1190, 10),
        rows_per_second=61.5,
        eta_seconds=40.8,
        in_flight=50,
        usage={"inputTokens": 1000, "outputTokens": 20},
        known_cost_usd=0.125,
        failures={"throttled": 10},
        features_disabled={"cachePoint": 1200},
    ).progress_line

    for part in (
        "1,200 of 3,708 rows",
        "61.5 rows/s",
        "41 s",
        "50 in flight",
        "0.1250 USD",
        "1,000 tokens in",
        "10 failed",
        "1,200 without cachePoint",
    ):
        assert part in line
