"""`airflow bedrock-llm job resume` and `job export`: go on with a job on this machine, and take its rows elsewhere."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import uuid
from contextlib import ExitStack
from typing import TYPE_CHECKING

from airflow.cli.cli_config import ActionCommand, Arg, lazy_load_command

if TYPE_CHECKING:
    import argparse

    from airflow_provider_bedrock_llm.hooks.bedrock_llm import BedrockLLMHook
    from airflow_provider_bedrock_llm.jobs.job import JobSpec
    from airflow_provider_bedrock_llm.jobs.manifest import Manifest

__all__ = ["EXPORT_COMMAND", "RESUME_COMMAND", "job_export", "job_resume"]

log = logging.getLogger(__name__)

_JOB_URI = Arg(("job_uri",), help="the job's folder, as the task's log and its XCom name it")
_SHOWN_COLUMNS = 118

RESUME_COMMAND = ActionCommand(
    name="resume",
    help="Run an enrichment job on this machine to its end; who runs it now stops. Only what has no answer is asked",
    func=lazy_load_command(f"{__name__}.job_resume"),
    args=(_JOB_URI,),
)
EXPORT_COMMAND = ActionCommand(
    name="export",
    help="Write a finished job's rows to a file. Asks nothing and costs nothing",
    func=lazy_load_command(f"{__name__}.job_export"),
    args=(
        _JOB_URI,
        Arg(("--to",), required=True, help="a local path or a URI of object storage"),
        Arg(("--format",), help="jsonl, csv, parquet, or the former two with .gz or .zst; the name of --to else tells"),
        Arg(("--only",), choices=("answered", "failed"), help="these rows alone"),
    ),
)


def job_resume(args: argparse.Namespace) -> None:
    """Go on with a job in the foreground. Ctrl-C stops it in order; it ends with code 1 unless the job succeeded."""
    from airflow_provider_bedrock_llm.core.errors import LLMManagerError  # noqa: PLC0415
    from airflow_provider_bedrock_llm.hooks.enrichment import load_job, open_hook  # noqa: PLC0415
    from airflow_provider_bedrock_llm.hooks.table_output import write_table  # noqa: PLC0415

    try:
        spec = load_job(args.job_uri)
        manifest = asyncio.run(_run(spec, open_hook(spec)))
        if manifest.state == "succeeded":
            write_table(spec, log)
    except LLMManagerError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    sys.stdout.write(f"{manifest.closing_line}\n")
    if manifest.state != "succeeded":
        sys.exit(1)


def job_export(args: argparse.Namespace) -> None:
    """Write rows; the number goes to the terminal."""
    from airflow_provider_bedrock_llm.core.errors import LLMManagerError  # noqa: PLC0415
    from airflow_provider_bedrock_llm.hooks.enrichment import load_job  # noqa: PLC0415
    from airflow_provider_bedrock_llm.jobs.export import export_rows  # noqa: PLC0415

    try:
        count = export_rows(load_job(args.job_uri), args.to, args.format, args.only or "all")
    except LLMManagerError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    sys.stdout.write(f"{count:,} rows were written to {args.to}\n")


async def _run(spec: JobSpec, hook: BedrockLLMHook) -> Manifest:
    from airflow.providers.common.compat.sdk import conf  # noqa: PLC0415

    from airflow_provider_bedrock_llm.hooks.enrichment import run_enrichment  # noqa: PLC0415

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    with ExitStack() as stack:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
            stack.callback(loop.remove_signal_handler, number)
        await hook.prefetch()
        return await run_enrichment(
            spec,
            hook,
            stop=stop,
            token=f"cli-{uuid.uuid4()}",
            on_progress=_show,
            drain_seconds=conf.getfloat("bedrock_llm", "drain_seconds", fallback=8.0),
        )


def _show(manifest: Manifest) -> None:
    end = "\r" if sys.stdout.isatty() else "\n"
    sys.stdout.write(f"{manifest.progress_line:<{_SHOWN_COLUMNS}}{end}")
    sys.stdout.flush()
