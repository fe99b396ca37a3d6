"""`make demo`: a real Airflow enriches 3,708 product reviews through a Bedrock endpoint on this machine.

Nothing leaves the machine and nothing is paid: the answers come from the package's local endpoint, which works out a
sentiment from a list of words. Everything else is what runs in production.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

from airflow_stack import AirflowStack, AirflowStackError
from demo_screen import DemoScreen

from airflow_provider_bedrock_llm.local import LocalEndpoint

REPOSITORY = Path(__file__).resolve().parents[1]
DAGS = REPOSITORY / "dags_examples"
DAG_ID, TASK_ID, RUN_ID = "enrich_reviews", "enrich", "demo"
RUN_SECONDS = 300
STOPPED_BY_SIGNAL = 130


def main() -> int:
    options = _read_options()
    screen = DemoScreen()
    for old in ("airflow", "jobs"):
        shutil.rmtree(options.folder / old, ignore_errors=True)
    _let_signals_interrupt()
    try:
        with contextlib.ExitStack() as running:
            try:
                return _demonstrate(options, screen, running)
            finally:
                _ignore_signals()
    except KeyboardInterrupt:
        screen.say("Stopped. Nothing is left running.")
        return STOPPED_BY_SIGNAL
    except AirflowStackError as error:
        screen.explain(str(error), logs=options.folder / "airflow")
        return 1


def _demonstrate(options: argparse.Namespace, screen: DemoScreen, running: contextlib.ExitStack) -> int:
    jobs = options.folder / "jobs"
    endpoint = running.enter_context(LocalEndpoint.spawn(port=0, latency=options.latency, sigma=0.4))
    screen.say(f"The local Bedrock endpoint listens on {endpoint.url}.")
    screen.say("Airflow starts: API server, scheduler, DAG processor and triggerer.")
    settings = {"AIRFLOW__BEDROCK_LLM__WORK_DIR": jobs.as_uri(), "AIRFLOW__CORE__TEST_CONNECTION": "Enabled"}
    airflow = running.enter_context(AirflowStack(options.folder / "airflow", DAGS, env=settings))
    screen.say(f"Airflow is up: {airflow.url}/dags/{DAG_ID} (no login needed).")
    airflow.add_connection(
        "bedrock_llm_default",
        "bedrockllm",
        login="AKIAIOSFODNN7EXAMPLE",
        password="the local endpoint takes any",  # noqa: S106 - that is what it says
        extra={"endpoint_url": endpoint.url, "region_name": "us-east-1"},
    )
    airflow.trigger_dag(DAG_ID, run_id=RUN_ID)
    screen.say(f"The DAG {DAG_ID} is triggered; its task hands the rows to the triggerer.")
    job = jobs / DAG_ID / RUN_ID / TASK_ID / "-1"
    if _follow(airflow, job, screen) != "success":
        text = f"The run of {DAG_ID} did not succeed. The log of its task ends with:\n{_tail_of(airflow.task_logs())}"
        screen.explain(text, logs=airflow.home)
        return 1
    calls = endpoint.control.stats().by_operation["Converse"]
    good = screen.show_result(_records(job), _manifest(job), _input_ids(), calls, job)
    if options.stay:
        screen.say(f"Airflow stays up at {airflow.url} until Ctrl-C.")
        signal.pause()
    return 0 if good else 1


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    add = parser.add_argument
    add("--latency", type=float, default=0.3, help="median seconds for an answer of the endpoint (default: 0.3)")
    add("--stay", action="store_true", help="leave Airflow running at the end, to look at its pages")
    add("--folder", type=_absolute, default=REPOSITORY / ".demo", help="where all of it lies; made anew each time")
    return parser.parse_args()


def _absolute(path: str) -> Path:
    return Path(path).resolve()


def _follow(airflow: AirflowStack, job: Path, screen: DemoScreen) -> str:
    """Show the job's progress until the DAG run has ended; returns the run's state."""
    deadline = time.monotonic() + RUN_SECONDS
    with screen.progress(len(_input_ids())) as show:
        while (state := airflow.run_state(DAG_ID, RUN_ID)) not in {"success", "failed"}:
            if time.monotonic() > deadline:
                message = f"The DAG run is still {state} after {RUN_SECONDS} s.\n{airflow.tail('triggerer-1')}"
                raise AirflowStackError(message)
            for _ in range(4):
                show(_manifest(job))
                time.sleep(0.25)
        show(_manifest(job))
    return state


def _manifest(job: Path) -> dict[str, Any]:
    """The job's own account of how far it is; empty before it has written one."""
    try:
        found: dict[str, Any] = json.loads((job / "manifest.json").read_text())
    except FileNotFoundError:
        return {}
    return found


def _records(job: Path) -> list[dict[str, Any]]:
    with (job / "output.jsonl").open() as lines:
        return [json.loads(line) for line in lines]


def _input_ids() -> list[str]:
    with (DAGS / "data" / "amazon_reviews.csv").open(newline="") as rows:
        return [row["review_id"] for row in csv.DictReader(rows)]


def _tail_of(logs: list[Path], lines: int = 30) -> str:
    """The end of the log that was written last."""
    if not logs:
        return "(there is no log)"
    newest = max(logs, key=lambda path: path.stat().st_mtime)
    return "\n".join(newest.read_text(errors="replace").splitlines()[-lines:])


def _let_signals_interrupt() -> None:
    """SIGTERM and SIGHUP end the demo as Ctrl-C does: with everything it started."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, interrupt)


def _ignore_signals() -> None:
    """While everything is stopped: a second Ctrl-C must not leave half of Airflow running."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)


if __name__ == "__main__":
    sys.exit(main())
