"""A manifest as the page shows it, and money by day: values in, values out."""

from __future__ import annotations

import json
import os
import socket
from datetime import UTC, datetime

import pytest

from airflow_provider_bedrock_llm.jobs.storage import open_location
from airflow_provider_bedrock_llm.operators.job_description import run_folder
from airflow_provider_bedrock_llm.plugin.instances import JobInstance, JobKey
from airflow_provider_bedrock_llm.plugin.manifests import Found, Manifests
from airflow_provider_bedrock_llm.plugin.reports import failed_records, job_details, job_row, spend

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def instance(dag_id="reviews", task_id="enrich", state="success", changed_at=NOW):
    return JobInstance(JobKey(dag_id, "run", task_id), "run", state, changed_at)


def manifest(**fields):
    return Found({"state": "succeeded", "counts": {"total": 4, "done": 4}, **fields})


def test_money_is_summed_by_day_dag_and_task_newest_day_first():
    monday, sunday = "2026-11-16T09:00:00.000+00:00", "2026-11-15T23:59:59.999+00:00"
    usage = {"inputTokens": 10, "outputTokens": 5}
    rows = spend(
        [
            (instance(), manifest(known_cost_usd=0.1, updated_at=sunday, usage=usage)),
            (instance(), manifest(known_cost_usd=0.1, updated_at=monday, usage=usage)),
            (instance(), manifest(known_cost_usd=0.2, updated_at=monday, usage=usage, unpriced=3)),
            (instance(task_id="judge"), manifest(known_cost_usd=1.0, updated_at=monday)),
            (instance(dag_id="lost"), Found()),
        ]
    )
    assert [(row["day"], row["task_id"], row["jobs"], row["cost_usd"]) for row in rows] == [
        ("2026-11-16", "enrich", 2, 0.3),
        ("2026-11-16", "judge", 1, 1.0),
        ("2026-11-15", "enrich", 1, 0.1),
    ]
    assert (rows[0]["records"], rows[0]["input_tokens"], rows[0]["output_tokens"], rows[0]["unpriced"]) == (
        8,
        20,
        10,
        3,
    )


def test_a_job_that_never_wrote_when_counts_on_the_day_of_its_task():
    assert spend([(instance(), manifest(known_cost_usd=2))])[0]["day"] == "2026-11-21"


def test_only_what_needs_the_right_to_the_log_quotes_errors_and_records():
    text = "what a model said"
    found = manifest(error=text, failed_samples=[{"id": text, "cause": "c", "message": text}], token=text)
    assert text not in str(job_details(found.manifest))
    assert text not in str(job_row(instance(), found))
    assert failed_records(found.manifest)["samples"] == [{"id": text, "cause": "c", "message": text}]


@pytest.mark.parametrize(
    "broken",
    [
        {"updated_at": "yesterday"},
        {"updated_at": 5},
        {"known_cost_usd": "much"},
        {"usage": {"inputTokens": "x"}},
        {"unpriced": []},
        {"counts": {"done": "all"}},
    ],
)
def test_a_broken_manifest_takes_nothing_from_the_sum_of_the_others(broken):
    rows = spend([(instance(), manifest(known_cost_usd=2.0)), (instance(task_id="odd"), manifest(**broken))])
    assert [row["cost_usd"] for row in rows] == [2.0, 0.0]
    assert rows[1]["day"] == "2026-11-21"


def test_an_old_manifest_has_no_samples_and_no_timeline():
    assert failed_records(manifest().manifest) == {"error": None, "samples": []}
    assert job_details(manifest().manifest)["timeline"] is None


def test_samples_are_few_and_only_what_is_one():
    samples = ["a text", None, *({"id": str(n)} for n in range(300))]
    shown = failed_records({"failed_samples": samples})["samples"]
    assert len(shown) == 100
    assert shown[0] == {"id": "0", "cause": None, "message": None}


@pytest.mark.parametrize("part", ["", ".", "..", "~", "a/b", "a\\b", "a\0b", "/etc", "%2e%2e", "..%2Fb", "a?b", "a#b"])
def test_no_part_of_a_key_leads_out_of_the_work_dir(part):
    for key in ((part, "run", "task"), ("dag", part, "task"), ("dag", "run", part)):
        with pytest.raises(ValueError, match="no folder of a job"):
            JobKey(*key)


@pytest.mark.parametrize("run_id", ["..", ".", "~", "", "a?b", "a#b", "%2e%2e%2fother", "a\\b"])
def test_every_run_has_a_folder_of_its_own_dag(run_id):
    folder = run_folder(run_id)
    assert JobKey.of("dag", run_id, "task", -1).folder_in("file:///jobs") == f"file:///jobs/dag/{folder}/task/-1"
    place = open_location(f"file:///jobs/dag/{folder}/task/-1", "work_dir").uri
    assert os.path.normpath(place) == f"/jobs/dag/{folder}/task/-1"


def test_a_run_with_a_slash_has_the_folder_that_the_operator_gives_it():
    assert JobKey.of("dag", "a/b", "task", 3).folder_in("s3://bucket/jobs/") == "s3://bucket/jobs/dag/a_b/task/3"


@pytest.mark.parametrize(
    ("state", "looks"), [("success", 1), ("failed", 1), ("deferred", 2), ("up_for_retry", 2), (None, 2)]
)
def test_only_what_has_ended_is_kept(tmp_path, state, looks):
    asked = []

    def folders():
        asked.append(None)
        return [str(tmp_path)]

    folder = tmp_path / "reviews" / "run" / "enrich" / "-1"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text('{"state": "succeeded", "counts": {}}')
    manifests = Manifests(folders)
    for _ in range(2):
        assert manifests.read_all([instance(state=state)])[0].manifest["state"] == "succeeded"
    assert len(asked) == looks


def test_a_new_try_of_an_ended_task_is_read_anew(tmp_path):
    folder = tmp_path / "reviews" / "run" / "enrich" / "-1"
    folder.mkdir(parents=True)
    manifests = Manifests(lambda: [str(tmp_path)])
    for hour, state in ((1, "failed"), (2, "succeeded")):
        (folder / "manifest.json").write_text(f'{{"state": "{state}", "counts": {{}}}}')
        assert manifests.read_all([instance(changed_at=NOW.replace(hour=hour))])[0].manifest["state"] == state


@pytest.fixture
def silent_store(monkeypatch):
    """An S3 server that takes connections and never says a word, behind the connection silent."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        extra = {"endpoint_url": f"http://127.0.0.1:{server.getsockname()[1]}", "region_name": "us-east-1"}
        extra["config_kwargs"] = {"retries": {"total_max_attempts": 1}}
        connection = {"conn_type": "aws", "login": "key", "password": "secret", "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_SILENT", json.dumps(connection))
        yield "s3://silent@bucket/jobs"


def test_a_store_that_is_silent_keeps_nobody_waiting(silent_store):
    pytest.importorskip("s3fs")
    manifests = Manifests(lambda: [silent_store], patience_seconds=0.5)
    found = manifests.read_all([instance(), instance(dag_id="others")])
    assert [look.manifest for look in found] == [None, None]
    assert found[0].problem.startswith(f"The API server had no answer from {silent_store} for 0.5 seconds")
    assert manifests.look(JobKey("dag", "run", "task")).problem == found[0].problem


def test_a_work_dir_that_failed_is_left_alone_for_a_while(tmp_path):
    asked = []

    class Folder(str):
        __slots__ = ()

        def rstrip(self, signs):
            asked.append(signs)
            return "nosuch://bucket"

    manifests = Manifests(lambda: [Folder("nosuch://bucket"), str(tmp_path)], patience_seconds=3600)
    for task_id in "abc":
        assert "cannot read nosuch://bucket" in manifests.look(JobKey("dag", "run", task_id)).problem
    assert len(asked) == 1
