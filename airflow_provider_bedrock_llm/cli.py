"""`airflow bedrock-llm ...`: what Airflow's command line shows of this package.

Airflow imports this at every start of its command line, so the commands import what they need when they run.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import TYPE_CHECKING, Any

from airflow.cli.cli_config import ActionCommand, Arg, GroupCommand, lazy_load_command

from airflow_provider_bedrock_llm.cli_models import MODELS_COMMAND

if TYPE_CHECKING:
    import argparse

__all__ = ["check", "get_cli_commands", "job_show", "job_watch", "local_endpoint"]

_CONN_ID = Arg(("--conn-id",), default="bedrock_llm_default", help="the Airflow connection")
_JOB_URI = Arg(("job_uri",), help="the job's folder, as the task's log and its XCom name it")


class _EndpointOptions(Arg):
    """The endpoint brings its own options, the same as `python -m airflow_provider_bedrock_llm.local` has."""

    def __init__(self) -> None:
        super().__init__(("--options-of-the-endpoint",))

    def add_to_parser(self, parser: argparse.ArgumentParser) -> None:
        from airflow_provider_bedrock_llm.local.command_line import add_arguments  # noqa: PLC0415 - heavy

        add_arguments(parser)


def get_cli_commands() -> list[GroupCommand]:
    """What the provider's declaration names."""
    return [
        GroupCommand(
            name="bedrock-llm",
            help="LLM work on Amazon Bedrock",
            subcommands=[
                MODELS_COMMAND,
                ActionCommand(
                    name="check",
                    help="Say whether a connection works, and in words what is wrong. Makes no paid call",
                    func=lazy_load_command(f"{__name__}.check"),
                    args=(_CONN_ID,),
                ),
                ActionCommand(
                    name="local-endpoint",
                    help="Run a stand-in for Bedrock on this machine, for demos and DAG tests",
                    func=lazy_load_command(f"{__name__}.local_endpoint"),
                    args=(_EndpointOptions(),),
                ),
                GroupCommand(
                    name="job",
                    help="Look at enrichment jobs",
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
                    ],
                ),
            ],
        )
    ]


def check(args: argparse.Namespace) -> None:
    """Test a connection. Ends with code 1 where it does not work."""
    from airflow_provider_bedrock_llm.hooks.bedrock_llm import BedrockLLMHook  # noqa: PLC0415

    logging.disable(logging.WARNING)
    works, text = BedrockLLMHook(args.conn_id).test_connection()
    sys.stdout.write(f"{'ok' if works else 'not ok'}: {text}\n")
    if not works:
        sys.exit(1)


def local_endpoint(args: argparse.Namespace) -> None:
    """Serve until interrupted."""
    from airflow_provider_bedrock_llm.local.command_line import run  # noqa: PLC0415

    sys.exit(run(args))


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

    found = Manifest.load(open_location(job_uri, "job_uri"))
    if found is None:
        sys.exit(f"There is no job at {job_uri}. Give the job's folder, which holds manifest.json.")
    return found
