"""Who gets what from the page's server part, with Airflow's own authentication before it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from harness.page import airflow_db, page, put_job

__all__ = ["airflow_db", "page"]

JOB = "api/jobs/reviews/run/enrich/-1"
PATHS = [
    "",
    "job",
    "static/page.js",
    "api/jobs",
    JOB,
    f"{JOB}/failed",
    "api/costs",
    "api/models",
    "api/connections",
]
FAILED = {
    "state": "failed",
    "counts": {"total": 3, "done": 3, "failed": 2},
    "error": "two of three failed",
    "failed_samples": [{"id": "r1", "cause": "context_too_long", "message": "too long: SECRET-TEXT", "more": 1}],
}


@pytest.mark.parametrize("path", PATHS)
def test_nobody_gets_anything_without_logging_in(page, path):
    put_job(page, "reviews", **FAILED)
    answer = page.get(path, role=None)
    assert answer.status_code == 401
    assert answer.json() == {"detail": "Not authenticated"}


def test_a_check_of_a_connection_needs_a_login_too(page):
    assert page.client(None).post("/bedrock-llm/api/connections/any/check").status_code == 401


@pytest.mark.parametrize("path", ["job", "api/jobs", JOB, "api/costs", "api/models"])
def test_a_viewer_reads_what_a_viewer_reads_elsewhere(page, path):
    put_job(page, "reviews", **FAILED)
    assert page.get(path, role="viewer").status_code == 200


@pytest.mark.parametrize("path", [JOB, f"{JOB}/failed", "api/jobs?dag_id=secret_reviews"])
def test_without_access_to_the_dag_the_answer_is_403(page, path):
    put_job(page, "secret_reviews", **FAILED)
    answer = page.get(path.replace("/reviews/", "/secret_reviews/"), role="viewer")
    assert answer.status_code == 403
    assert page.get(path.replace("/reviews/", "/secret_reviews/"), role="op").status_code == 200


def test_lists_and_sums_hold_only_dags_that_the_user_may_read(page):
    for dag_id in ("reviews", "secret_reviews"):
        put_job(page, dag_id, known_cost_usd=1.5, updated_at=datetime.now(UTC).isoformat())
    assert _dags(page.get("api/jobs", role="viewer").json()["jobs"]) == ["reviews"]
    assert _dags(page.get("api/costs", role="viewer").json()["rows"]) == ["reviews"]
    assert page.get("api/jobs", role="viewer").json()["total"] == 1
    assert _dags(page.get("api/jobs", role="op").json()["jobs"]) == ["reviews", "secret_reviews"]
    assert _dags(page.get("api/costs", role="op").json()["rows"]) == ["reviews", "secret_reviews"]


def test_samples_and_the_error_need_the_right_to_the_tasks_log(page):
    put_job(page, "reviews", **FAILED)
    seen = page.get(JOB, role="viewer")
    assert seen.json()["counts"]["failed"] == 2
    assert "SECRET-TEXT" not in seen.text
    assert "two of three" not in seen.text
    assert page.get(f"{JOB}/failed", role="viewer").status_code == 403
    assert page.get(f"{JOB}/failed", role="op").json() == {
        "error": "two of three failed",
        "samples": [{"id": "r1", "cause": "context_too_long", "message": "too long: SECRET-TEXT"}],
    }


def test_the_catalog_needs_the_right_to_the_page_of_providers(page):
    assert page.get("api/models", role="").status_code == 403
    catalog = page.get("api/models", role="viewer").json()
    nova = next(model for model in catalog["models"] if model["model_id"] == "amazon.nova-lite-v1:0")
    assert nova["input_usd_per_million"] > 0
    assert "us-east-1" in nova["regions"]
    assert catalog["source"] == "BUNDLED"
    assert catalog["retrieved_at"]


def test_connections_are_for_those_who_may_read_connections(page):
    assert page.get("api/connections", role="viewer").status_code == 403
    assert page.client("viewer").post("/bedrock-llm/api/connections/any/check").status_code == 403
    assert page.get("api/connections", role="op").json() == {"connections": [], "can_check": False}


@pytest.mark.parametrize(
    "key",
    ["../enrich/-1", "..%2Fother/run/enrich/-1", "reviews/../enrich/-1", "~/run/enrich/-1", "reviews/run/%2e%2e/-1"],
)
def test_no_name_leads_out_of_the_work_dir(page, key):
    outside = page.work_dir.parent / "manifest.json"
    page.work_dir.mkdir()
    outside.write_text(json.dumps({"state": "succeeded", "counts": {}}))
    assert page.get(f"api/jobs/{key}").status_code == 404


@pytest.mark.parametrize("percent", ["%25", "%2525"])
def test_no_run_leads_to_the_job_of_another_dag(page, percent):
    """Encoded twice as a server reads it, and thrice, as the test client does."""
    for dag_id in ("reviews", "secret_reviews"):
        put_job(page, dag_id, **FAILED)
    run = "%2e%2e%2fsecret_reviews%2frun".replace("%", percent)
    assert page.get(f"api/jobs/reviews/{run}/enrich/-1", role="viewer").status_code == 404


@pytest.mark.parametrize("run_id", ["~", "."])
def test_a_run_of_an_odd_name_takes_the_list_from_nobody(page, run_id):
    put_job(page, "reviews", **FAILED)
    put_job(page, "others", run_id)
    assert page.get("api/jobs").json()["total"] == 2
    assert page.get("api/costs").status_code == 200


def test_a_job_elsewhere_is_found_when_the_configuration_names_its_work_dir(page, tmp_path, monkeypatch):
    folder = put_job(page, "reviews")
    elsewhere = tmp_path / "elsewhere" / folder.relative_to(page.work_dir)
    elsewhere.mkdir(parents=True)
    (elsewhere / "manifest.json").write_text(json.dumps({"state": "running", "counts": {}}))
    lost = page.get(JOB)
    assert lost.status_code == 404
    assert "[bedrock_llm] work_dirs" in lost.json()["detail"]
    assert page.get("api/jobs").json()["jobs"][0]["job"] is None
    monkeypatch.setenv("AIRFLOW__BEDROCK_LLM__WORK_DIRS", f"s3, {tmp_path / 'elsewhere'}")
    assert page.get(JOB).json()["state"] == "running"


def test_jobs_come_newest_first_and_a_page_at_a_time(page):
    now = datetime.now(UTC)
    for hour in range(5):
        put_job(page, "reviews", f"run{hour}", changed_at=now - timedelta(hours=hour), phase="ended")
    put_job(page, "reviews", "goes_on", task_state="deferred", changed_at=now - timedelta(days=1), state="running")
    put_job(page, "others", changed_at=now - timedelta(days=2), phase="ended")
    assert _runs(page, "limit=2") == ["run0", "run1"]
    assert _runs(page, "limit=2&offset=4") == ["run4", "goes_on"]
    assert _runs(page, "running=true") == ["goes_on"]
    assert _runs(page, "dag_id=others") == ["run"]
    assert page.get("api/jobs?limit=101").status_code == 422


def test_an_ended_job_is_read_once_and_a_running_one_each_time(page):
    folders = {
        "ended": put_job(page, "reviews", "ended", known_cost_usd=1),
        "goes_on": put_job(page, "reviews", "goes_on", task_state="deferred", state="running", known_cost_usd=1),
    }
    page.get("api/jobs")
    for folder in folders.values():
        manifest = json.loads((folder / "manifest.json").read_text())
        (folder / "manifest.json").write_text(json.dumps(manifest | {"known_cost_usd": 2}))
    costs = {row["run_id"]: row["job"]["known_cost_usd"] for row in page.get("api/jobs").json()["jobs"]}
    assert costs == {"ended": 1, "goes_on": 2}


@pytest.mark.parametrize("text", ["", "[]", '{"state": "running"}', '{"counts": 5}', "\x00"])
def test_a_manifest_that_is_none_does_no_harm(page, text):
    folder = put_job(page, "reviews", state="running")
    (folder / "manifest.json").write_text(text)
    assert page.get("api/jobs").json()["jobs"][0]["job"] is None
    assert page.get(JOB).status_code == 404


@pytest.mark.parametrize(
    "field",
    [
        '"known_cost_usd": 1e999',
        '"rows_per_second": NaN',
        '"updated_at": "yesterday"',
        '"usage": [1]',
        '"failed_samples": 5',
        '"timeline": {}',
        '"counts": {"done": "all"}',
    ],
)
def test_a_manifest_that_is_broken_takes_the_page_from_nobody(page, field):
    folder = put_job(page, "reviews", state="running")
    (folder / "manifest.json").write_text(f'{{"counts": {{}}, "state": "failed", {field}}}')
    for path in ("api/jobs", JOB, f"{JOB}/failed", "api/costs"):
        assert page.get(path).status_code == 200


def test_a_work_dir_that_cannot_be_read_is_named(page, monkeypatch):
    put_job(page, "reviews")
    monkeypatch.setenv("AIRFLOW__BEDROCK_LLM__WORK_DIR", "nosuch://bucket/jobs")
    assert "cannot read nosuch://bucket/jobs" in page.get("api/jobs").json()["problems"][0]


def test_every_answer_forbids_inline_scripts_and_foreign_frames(page):
    for path in ("", "static/page.js", "api/jobs", "api/none"):
        policy = page.get(path).headers["content-security-policy"]
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'self'" in policy


def test_the_page_holds_no_script_and_no_style_of_its_own(page):
    text = page.get("job").text
    assert "<style" not in text
    assert text.count("<script") == text.count("<script src=") + text.count('<script type="module" src=')
    assert " on" not in text.replace(" on the", "")


def test_files_are_sent_again_only_when_they_changed(page):
    first = page.get("static/page.js")
    assert first.headers["content-type"].startswith("text/javascript")
    again = page.client().get("/bedrock-llm/static/page.js", headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304
    assert page.get("static/none.js").status_code == 404
    assert page.get("static/..%2Fapp.py").status_code == 404


def _dags(rows):
    return sorted(row["dag_id"] for row in rows)


def _runs(page, query):
    return [row["run_id"] for row in page.get(f"api/jobs?{query}").json()["jobs"]]
