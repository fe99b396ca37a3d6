"""What a person sees in Airflow, in a real Chromium: the connection's form, jobs, catalog, and what is not for them.

One Airflow serves all tests of this file. Pictures: see harness.browser.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time

import pytest
from harness.airflow_processes import REPOSITORY, AirflowStack, RestError, User
from harness.browser import browser

from airflow_provider_bedrock_llm.local import LocalEndpoint

__all__ = ["browser"]

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]

ADMIN = ("ada", "ada-password")
VIEWER = ("viv", "viv-password")
DAG_ID, TASK_ID = "enrich_reviews", "enrich"
CONN_ID = "bedrock_llm_default"
HOSTILE = '<img src=x onerror="window.pwned=1;alert(1)"><script>window.pwned=1;alert(2)</script>'


@pytest.fixture(scope="module")
def endpoint():
    """Answers after a while, as a small model does; a few reviews are too long for it."""
    with LocalEndpoint.spawn(port=0, latency=0.2, sigma=0.3) as endpoint:
        endpoint.control.fail("input_too_long", text="battery life is")
        yield endpoint


@pytest.fixture(scope="module")
def airflow(tmp_path_factory, endpoint):
    """A real Airflow with an admin, a viewer who may read neither logs nor secret DAGs, and no connection."""
    folder = tmp_path_factory.mktemp("browser")
    dags = folder / "dags"
    dags.mkdir()
    example = REPOSITORY / "dags_examples" / "02_enrich_reviews.py"
    shutil.copytree(example.parent / "data", dags / "data")
    text = example.read_text()
    (dags / "reviews.py").write_text(text)
    few = (dags / "data" / "amazon_reviews.csv").read_text().splitlines(keepends=True)[:41]
    (dags / "data" / "few.csv").write_text("".join(few))
    secret = text.replace(f'dag_id="{DAG_ID}"', 'dag_id="secret_reviews"').replace("amazon_reviews.csv", "few.csv")
    (dags / "secret.py").write_text(secret)
    stack = AirflowStack(
        folder / "airflow",
        dags,
        users=(User(*ADMIN), User(*VIEWER, role="viewer")),
        env={
            "AIRFLOW__BEDROCK_LLM__CATALOG_MODE": "bundled",
            "AIRFLOW__BEDROCK_LLM__WORK_DIR": (folder / "jobs").as_uri(),
            "AIRFLOW__CORE__AUTH_MANAGER": "harness.per_dag_auth.PerDagAuthManager",
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            "PYTHONPATH": os.pathsep.join([str(REPOSITORY / "tests"), os.environ.get("PYTHONPATH", "")]),
        },
    )
    stack.work_dir = folder / "jobs"
    with stack:
        stack.wait_for_dag(DAG_ID)
        yield stack


@pytest.fixture
def connected(airflow, endpoint):
    """The connection, as the form writes it."""
    airflow.add_connection(
        CONN_ID,
        "bedrockllm",
        login="AKIAIOSFODNN7EXAMPLE",
        password="no-secret",
        extra={"endpoint_url": endpoint.url, "region_name": "us-east-1", "regions": None},
    )


@pytest.fixture(scope="module")
def finished(airflow, endpoint):
    """Runs of both DAGs that have ended, by DAG."""
    airflow.add_connection(
        CONN_ID,
        "bedrockllm",
        login="AKIAIOSFODNN7EXAMPLE",
        password="no-secret",
        extra={"endpoint_url": endpoint.url, "region_name": "us-east-1"},
    )
    runs = {dag_id: airflow.trigger_dag(dag_id) for dag_id in (DAG_ID, "secret_reviews")}
    for run in runs.items():
        assert airflow.wait_for_run(*run, timeout_seconds=300) == "success"
    return runs


def test_a_connection_is_added_refused_edited_and_checked_in_the_browser(airflow, endpoint, browser):
    with contextlib.suppress(RestError):
        airflow.rest("DELETE", f"/api/v2/connections/{CONN_ID}")
    with browser.person(airflow.url, *ADMIN) as page:
        form = _new_connection(page)
        form.locator("[name=login]").fill("AKIAIOSFODNN7EXAMPLE")
        form.locator("[name=password]").fill("no-secret")
        browser.shoot(page, "connection-form-credentials")
        _open(form, "Place")
        form.locator("[name=element_region_name]").fill("us-east-1")
        form.locator("[name=element_endpoint_url]").fill(endpoint.url.removeprefix("http://"))
        browser.shoot(page, "connection-form-place")
        for section in ("Credentials", "Models and retries", "Network (Boto3Config)"):
            _open(form, section)
            browser.shoot(page, f"connection-form-{section.split()[0].lower()}")
        _save(page)

        page.goto("/bedrock-llm/connections")
        refused = _checked(page)
        assert refused.startswith("✗ The connection 'bedrock_llm_default' has endpoint_url='127.0.0.1:")
        assert "it must begin with http:// or https://" in refused
        browser.shoot(page, "connection-refused")

        page.goto("/connections")
        page.get_by_role("button", name="Edit Connection").click()
        form = page.locator("[role=dialog]")
        _open(form, "Place")
        form.locator("[name=element_endpoint_url]").fill(endpoint.url)
        _save(page)
        page.goto("/bedrock-llm/connections")
        assert "✓ Bedrock answers in us-east-1" in _checked(page)
        browser.shoot(page, "connection-checked")

    stored = airflow.rest("GET", f"/api/v2/connections/{CONN_ID}")
    extra = json.loads(stored["extra"])
    assert stored["login"] == "AKIAIOSFODNN7EXAMPLE"
    assert (extra["region_name"], extra["endpoint_url"]) == ("us-east-1", endpoint.url)
    assert extra["max_retries"] is None


def test_every_field_of_the_form_has_its_label_its_help_and_its_widget(airflow, browser):
    from airflow_provider_bedrock_llm.get_provider_info import get_provider_info

    declared = get_provider_info()["connection-types"][0]["conn-fields"]
    with browser.person(airflow.url, *ADMIN) as page:
        form = _new_connection(page)
        for section in dict.fromkeys(field["schema"]["section"] for field in declared.values()):
            _open(form, section)
            for name, field in declared.items():
                if field["schema"]["section"] != section:
                    continue
                widget = form.locator(f"[name=element_{name}]")
                form.get_by_text(field["label"], exact=True).first.wait_for()
                form.get_by_text(field["description"]).wait_for()
                assert _kind(widget) == _expected_kind(field["schema"]), name


def test_airflows_test_button_works_where_the_port_is_given(airflow, endpoint, browser, connected):
    """Without one, Airflow 3.3.2 refuses to test what is stored (apache/airflow#73298)."""
    airflow.rest("PATCH", f"/api/v2/connections/{CONN_ID}?update_mask=port", _connection(port=443))
    try:
        with browser.person(airflow.url, *ADMIN) as page:
            page.goto("/connections")
            with page.expect_response(lambda answer: answer.url.endswith("/connections/test")) as tested:
                page.locator('button[aria-label="Test Connection"]').click(force=True)
            assert tested.value.json() == {
                "status": True,
                "message": "Bedrock answers in us-east-1 (18 models listed in the last). No model was asked.",
            }
    finally:
        airflow.rest("DELETE", f"/api/v2/connections/{CONN_ID}")


def test_a_job_is_followed_from_the_trigger_button_to_its_failed_records(airflow, browser, connected):
    airflow.rest("PATCH", f"/api/v2/dags/{DAG_ID}", {"is_paused": False})
    with browser.person(airflow.url, *ADMIN) as page:
        page.goto(f"/dags/{DAG_ID}")
        page.locator("button", has_text="Trigger").first.click()
        page.locator("[role=dialog] button", has_text="Trigger").last.click()

        page.goto("/")
        page.get_by_text("Browse").click()
        page.get_by_role("menuitem", name="Bedrock LLM").click()
        inside = page.frame_locator("iframe")
        inside.locator(".badge.running").first.wait_for(timeout=120_000)
        inside.locator("td", has_text="/s").first.wait_for()
        browser.shoot(page, "jobs")
        row = inside.locator("tr", has=page.locator(".badge.running")).first
        row.locator("a").click()
        inside.locator("h1 .badge.running").wait_for()
        inside.locator("polyline").first.wait_for()
        browser.shoot(page, "job-running")
        inside.locator("h1 .badge.succeeded").wait_for(timeout=240_000)

        assert "3,708 of 3,708" in inside.locator(".facts").inner_text()
        assert "context_too_long" in inside.locator("main").inner_text()
        inside.get_by_text("Failed records").click()
        message = inside.locator("details.failed pre").first
        message.wait_for()
        assert "does not fit into the context" in message.inner_text()
        browser.shoot(page, "job")
        message.scroll_into_view_if_needed()
        browser.shoot(page, "job-failed-records")


def test_the_task_leads_to_its_job_and_to_the_model_at_aws(airflow, browser, finished):
    run_id = finished[DAG_ID]
    path = f"/dags/{DAG_ID}/runs/{run_id}/tasks/{TASK_ID}"
    with browser.person(airflow.url, *ADMIN) as page:
        page.goto(f"{path}/details")
        console = page.get_by_role("link", name="Model in the AWS console")
        console.wait_for()
        assert console.get_attribute("href").endswith("#/model-catalog/serverless/amazon.nova-lite-v1%3A0")
        leads_to = [link.get_attribute("href") for link in page.get_by_role("link", name="Bedrock LLM job").all()]
        assert f"/bedrock-llm/job?dag_id={DAG_ID}&run_id={run_id}&task_id={TASK_ID}&map_index=-1" in leads_to
        page.goto(f"{path}/plugin/bedrock-llm-job")
        page.frame_locator("iframe").locator(".badge.succeeded").wait_for()
        browser.shoot(page, "job-of-a-task")


def test_the_catalog_is_searched_and_the_cost_is_summed(airflow, browser, finished):
    for dark in (False, True):
        scheme = "-dark" if dark else ""
        with browser.person(airflow.url, *ADMIN, dark=dark) as page:
            page.goto("/bedrock-llm/models")
            page.locator("tbody tr").first.wait_for()
            everything = page.locator("tbody tr").count()
            page.fill("[name=search]", "nova lite eu-central-1")
            found = page.locator("tbody tr")
            assert 0 < found.count() < everything / 10
            assert "amazon.nova-lite-v1:0" in " ".join(found.all_inner_texts())
            assert page.locator("html").get_attribute("data-theme") == ("dark" if dark else "light")
            page.fill("[name=search]", "claude")
            browser.shoot(page, f"models{scheme}")
            page.goto("/bedrock-llm/costs")
            page.locator("svg.plot").wait_for()
            assert "enrich_reviews" in page.locator("main").inner_text()
            browser.shoot(page, f"costs{scheme}")
            page.goto("/bedrock-llm/")
            page.locator("td").first.wait_for()
            browser.shoot(page, f"jobs-standalone{scheme}")
            page.locator("tr", has_text=DAG_ID).locator("a").first.click()
            page.locator("polyline").first.wait_for()
            browser.shoot(page, f"job-standalone{scheme}")


def test_the_page_follows_the_theme_that_was_chosen_in_airflow(airflow, browser):
    with browser.person(airflow.url, *ADMIN) as page:
        page.evaluate("localStorage.setItem('theme', 'dark')")
        page.goto("/plugin/bedrock-llm")
        inside = page.frame_locator("iframe").locator("html")
        inside.locator("h1").wait_for()
        assert inside.get_attribute("data-theme") == "dark"
        browser.shoot(page, "jobs-dark")


def test_nobody_in_particular_sees_nothing(airflow, browser, finished):
    with browser.person(airflow.url) as page:
        for path in ("", "job", "models", "api/jobs", f"api/jobs/{DAG_ID}/{finished[DAG_ID]}/{TASK_ID}/-1/failed"):
            assert page.goto(f"/bedrock-llm/{path}").status == 401
        browser.shoot(page, "anonymous")


def test_a_viewer_sees_no_secret_dag_and_no_failed_record(airflow, browser, finished):
    with browser.person(airflow.url, *VIEWER) as page:
        page.goto("/bedrock-llm/")
        page.locator("td").first.wait_for()
        assert "secret_reviews" not in page.locator("main").inner_text()
        page.locator("tr", has_text=finished[DAG_ID]).locator("a").click()
        page.get_by_text("Failed records").click()
        page.get_by_text("Failed records are shown to those who may read the task's log.").wait_for()
        browser.shoot(page, "viewer")
        page.goto(f"/bedrock-llm/job?dag_id=secret_reviews&run_id={finished['secret_reviews']}&task_id={TASK_ID}")
        page.get_by_text("You may not see this.").wait_for()
        page.goto("/bedrock-llm/connections")
        page.get_by_text("You may not see this.").wait_for()


def test_markup_in_names_answers_and_errors_stays_text(airflow, browser, finished):
    """A manifest in which every text is hostile, as if a model, a record or a DAG's author had written it."""
    path = airflow.work_dir / DAG_ID / finished[DAG_ID] / TASK_ID / "-1" / "manifest.json"
    manifest = json.loads(path.read_text())
    hostile = manifest | {
        "state": "running",  # else the page may have it from before
        "updated_at": HOSTILE,
        "job_uri": HOSTILE,
        "output_uri": HOSTILE,
        "error": HOSTILE,
        "runner": {"host": HOSTILE, "pid": HOSTILE},
        "failures": {HOSTILE: 3},
        "features_disabled": {HOSTILE: 1},
        "routes": {f"{HOSTILE} in {HOSTILE}": {"calls": 1, "succeeded": HOSTILE, "tokens": 1, "cost_usd": HOSTILE}},
        "failed_samples": [{"id": HOSTILE, "cause": HOSTILE, "message": HOSTILE}],
    }
    airflow.add_connection(
        CONN_ID, "bedrockllm", description=HOSTILE, extra={"region_name": HOSTILE, "models": [HOSTILE]}
    )
    path.write_text(json.dumps(hostile))
    try:
        with browser.person(airflow.url, *ADMIN) as page:
            for place, seen in (
                (f"job?dag_id={DAG_ID}&run_id={finished[DAG_ID]}&task_id={TASK_ID}", ".facts"),
                ("", "td"),
                ("costs", "svg.plot"),
                ("connections", "td"),
                (f"job?dag_id={HOSTILE}&run_id={HOSTILE}&task_id={HOSTILE}", "h1"),
                (f"?dag_id={HOSTILE}", "h1"),
            ):
                page.goto(f"/bedrock-llm/{place}")
                page.locator(seen).first.wait_for()
                if place.startswith("job") and seen == ".facts":
                    page.get_by_text("Failed records").click()
                    page.locator("details.failed pre").first.wait_for()
                    assert page.locator("main").inner_text().count("<script>window.pwned=1") >= 8
                    browser.shoot(page, "hostile-manifest")
                if place == "connections":
                    assert "<img src=x" in page.locator("main").inner_text()
                time.sleep(0.3)
                assert page.evaluate("window.pwned") is None
                assert page.locator("main img, main script").count() == 0
    finally:
        path.write_text(json.dumps(manifest))
        airflow.rest("DELETE", f"/api/v2/connections/{CONN_ID}")


def _new_connection(page):
    page.goto("/connections")
    page.get_by_role("button", name="Add Connection").first.click()
    form = page.locator("[role=dialog]")
    form.locator("[name=connection_id]").fill(CONN_ID)
    kind = form.locator("input[role=combobox]").first
    kind.click()
    kind.press_sequentially("Bedrock")
    page.get_by_role("option", name="Amazon Bedrock LLM").click()
    form.locator("[name=login]").wait_for()
    return form


def _open(form, section):
    form.locator("[data-part=item-trigger]", has_text=section).click()
    form.locator("[data-part=item-trigger][data-state=open]", has_text=section).wait_for()


def _save(page):
    page.get_by_role("button", name="Save").click()
    page.locator("[role=dialog]").wait_for(state="hidden")


def _checked(page):
    page.get_by_role("button", name="Check").click()
    said = page.locator(".said.works, .said.fails")
    said.wait_for()
    return said.inner_text()


def _connection(**fields):
    return {"connection_id": CONN_ID, "conn_type": "bedrockllm", **fields}


def _kind(widget):
    if widget.evaluate("one => one.tagName") == "TEXTAREA":
        return "lines"
    told = widget.evaluate("one => [one.type, one.getAttribute('role')]")
    return {"hidden": "choice", "password": "password"}.get(told[0], "number" if told[1] == "spinbutton" else "text")


def _expected_kind(schema):
    kind = schema["type"][0]
    if "enum" in schema:
        return "choice"
    if kind == "array":
        return "lines"
    if kind in {"integer", "number"}:
        return "number"
    return "password" if schema.get("format") == "password" else "text"
