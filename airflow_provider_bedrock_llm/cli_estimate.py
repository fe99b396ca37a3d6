"""`airflow bedrock-llm estimate`: what a job would take, without a call that is billed."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from airflow.cli.cli_config import ActionCommand, Arg, lazy_load_command

from airflow_provider_bedrock_llm.cli_screen import count, without_logs
from airflow_provider_bedrock_llm.core.errors import LLMManagerError

if TYPE_CHECKING:
    from argparse import Namespace

    from airflow_provider_bedrock_llm.jobs.job import JobSpec

__all__ = ["ESTIMATE_COMMAND", "estimate"]

ESTIMATE_COMMAND = ActionCommand(
    name="estimate",
    help="Say what a job would take in tokens and dollars: a job's folder, or rows and a prompt. Nothing is billed",
    func=lazy_load_command(f"{__name__}.estimate"),
    args=(
        Arg(("job_uri",), nargs="?", help="the folder of a job: what is left of it; or give --source and --prompt"),
        Arg(("--source",), help="the rows: a file, a pattern or a folder"),
        Arg(("--prompt",), help="the template of the prompt, or @ and the name of a file that holds it"),
        Arg(("--system",), help="the system prompt, likewise"),
        Arg(("--model",), action="append", help="a model to ask, best first; default: those of the connection"),
        Arg(("--region",), action="append", help="a region to call; default: those of the connection"),
        Arg(("--max-tokens",), type=count, help="the longest answer"),
        Arg(("--dedupe",), action="store_true", help="count equal requests once"),
        Arg(("--count-tokens",), action="store_true", help="let Bedrock count a sample, where the model can; free"),
        Arg(("--conn-id",), default="bedrock_llm_default", help="the Airflow connection"),
        Arg(("--json",), action="store_true", help="print JSON"),
    ),
)


def estimate(args: Namespace) -> None:
    """Estimate. Ends with code 1 and a sentence where that cannot be done."""
    from airflow_provider_bedrock_llm.hooks.enrichment import load_job, open_hook  # noqa: PLC0415 - heavy
    from airflow_provider_bedrock_llm.hooks.estimate import estimate_job  # noqa: PLC0415

    if bool(args.job_uri) == bool(args.source and args.prompt):
        sys.exit("Give the folder of a job, or --source and --prompt.")
    try:
        with without_logs(), tempfile.TemporaryDirectory() as empty:
            spec = load_job(args.job_uri) if args.job_uri else _described(args, empty)
            found = estimate_job(spec, open_hook(spec), count_tokens=args.count_tokens)
    except (LLMManagerError, OSError, ValueError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
    sys.stdout.write((json.dumps(found.to_dict(), indent=2) if args.json else found.line) + "\n")


def _described(args: Namespace, folder: str) -> JobSpec:
    """The job that such a task would have, in a folder that no earlier run has answered in."""
    from airflow_provider_bedrock_llm.hooks.bedrock_llm import BedrockLLMHook  # noqa: PLC0415
    from airflow_provider_bedrock_llm.jobs.job import JobSpec  # noqa: PLC0415

    models = args.model or BedrockLLMHook(args.conn_id).get_available_models()
    return JobSpec(
        job_uri=folder,
        models=tuple(models),
        regions=tuple(args.region or ()),
        prompt_template=_text(args.prompt),
        system_template=_text(args.system),
        source_uri=args.source,
        inference_config={"maxTokens": args.max_tokens} if args.max_tokens else None,
        dedupe=args.dedupe,
        bedrock_conn_id=args.conn_id,
    )


def _text(given: str | None) -> str | None:
    return Path(given[1:]).read_text(encoding="utf-8") if given and given.startswith("@") else given
