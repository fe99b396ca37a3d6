"""`airflow bedrock-llm check`: does a connection work, step by step, each with a tick or the remedy."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, TextIO

from airflow.cli.cli_config import ActionCommand, Arg, lazy_load_command

from airflow_provider_bedrock_llm.cli_screen import can_show, painted, without_logs

if TYPE_CHECKING:
    from argparse import Namespace

    from airflow_provider_bedrock_llm.hooks.checkup import Step

__all__ = ["CHECK_COMMAND", "check"]

CHECK_COMMAND = ActionCommand(
    name="check",
    help="Say whether a connection works, and in words what is wrong. Makes no paid call unless told to",
    func=lazy_load_command(f"{__name__}.check"),
    args=(
        Arg(("--conn-id",), default="bedrock_llm_default", help="the Airflow connection"),
        Arg(("--model",), action="append", help="check this model instead of the connection's; may be repeated"),
        Arg(("--region",), action="append", help="check this region instead of the connection's; may be repeated"),
        Arg(("--call",), action="store_true", help="make one real call of a few tokens, which is billed"),
        Arg(("--json",), action="store_true", help="print the steps as JSON"),
    ),
)

_MARKS = {"ok": ("✓", "ok", "green"), "failed": ("✗", "FAILED", "red"), "unknown": ("?", "?", "yellow")}


def check(args: Namespace) -> None:
    """Check a connection. Ends with code 1 where a step failed."""
    from airflow_provider_bedrock_llm.hooks.bedrock_llm import BedrockLLMHook  # noqa: PLC0415 - heavy
    from airflow_provider_bedrock_llm.hooks.checkup import check_steps  # noqa: PLC0415

    steps = []
    with without_logs() as screen:
        hook = BedrockLLMHook(args.conn_id, models=args.model, regions=args.region)
        for step in check_steps(hook, paid_call=args.call):
            steps.append(step)
            if not args.json:
                screen.write(_line(step, screen))
                screen.flush()
    if args.json:
        sys.stdout.write(json.dumps([step.to_dict() for step in steps], indent=2) + "\n")
    if any(step.outcome == "failed" for step in steps):
        sys.exit(1)


def _line(step: Step, screen: TextIO) -> str:
    mark, plain, colour = _MARKS[step.outcome]
    shown = painted(mark if can_show(mark, screen) else plain, colour, screen)
    return f"{shown} {step.name}: {step.told}\n"
