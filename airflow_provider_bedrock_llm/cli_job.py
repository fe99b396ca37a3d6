"""`airflow bedrock-llm job ...`: enrichment jobs, by their folders."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

from airflow.cli.cli_config import ActionCommand, Arg, GroupCommand, lazy_load_command

from airflow_provider_bedrock_llm.cli_job_work import EXPORT_COMMAND, RESUME_COMMAND
from airflow_provider_bedrock_llm.core.errors import ConfigurationError

if TYPE_CHECKING:
    import argparse

__all__ = ["JOB_COMMAND", "job_show", "job_watch"]

_JOB_URI = Arg(("job_uri",), help="the job's folder, as the task's log and its XCom name it")

JOB_COMMAND = GroupCommand(
    name="job",
    help="Look at enrichment jobs, go on with them, take their rows",
    subcommands=[
        ActionCommand(
            name="show",
            help="Show how an enrichment job stands",
            func=lazy_load_command(f"{__name__}.job_show"),
            args=(_JOB_URI, Arg(("--json",), action="store_true", help="the whole manifest")),
        ),
        ActionCommand(
            name="watch",
            help="Follow an enrichment job to its end",
            func=lazy_load_command(f"{__name__}.job_watch"),
            args=(_JOB_URI,),
        ),
        RESUME_COMMAND,
        EXPORT_COMMAND,
    ],
)


def job_show(args: argparse.Namespace) -> None:
    """Print a job's manifest, in lines or as JSON."""
    manifest = _manifest(args.job_uri)
    if args.json:
        sys.stdout.write(manifest.to_json().decode() + "\n")
        return
    sys.stdout.write(f"{manifest.closing_line if manifest.state != 'running' else manifest.progress_line}\n")
    for route, numbers in manifest.routes.items():
        sys.stdout.write(f"  {route}: {json.dumps(dict(numbers))}\n")
    if manifest.error:
        sys.stdout.write(f"  {manifest.error}\n")


def job_watch(args: argparse.Namespace) -> None:
    """Follow a job. Ends with code 1 where the job did not succeed."""
    shown = ""
    while (manifest := _manifest(args.job_uri)).state == "running":
        if manifest.updated_at != shown:
            shown = manifest.updated_at
            end = "\r" if sys.stdout.isatty() else "\n"
            sys.stdout.write(f"{manifest.progress_line:<118}{end}")
            sys.stdout.flush()
        time.sleep(1)
    sys.stdout.write(f"{manifest.closing_line}\n")
    if manifest.state != "succeeded":
        sys.exit(1)


def _manifest(job_uri: str) -> Any:
    from airflow_provider_bedrock_llm.jobs.manifest import Manifest  # noqa: PLC0415
    from airflow_provider_bedrock_llm.jobs.storage import open_location  # noqa: PLC0415

    try:
        found = Manifest.load(open_location(job_uri, "job_uri"))
    except ConfigurationError as error:
        sys.exit(str(error))
    if found is None:
        sys.exit(f"There is no job at {job_uri}. Give the job's folder, which holds manifest.json.")
    return found
