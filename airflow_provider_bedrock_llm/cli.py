"""`airflow bedrock-llm ...`: what Airflow's command line shows of this package.

Airflow imports this at every start of its command line, so the commands import what they need when they run.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

from airflow.cli.cli_config import ActionCommand, Arg, GroupCommand, lazy_load_command

from airflow_provider_bedrock_llm.cli_job import JOB_COMMAND
from airflow_provider_bedrock_llm.cli_models import MODELS_COMMAND

if TYPE_CHECKING:
    import argparse

__all__ = ["check", "get_cli_commands", "local_endpoint"]

_CONN_ID = Arg(("--conn-id",), default="bedrock_llm_default", help="the Airflow connection")


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
                JOB_COMMAND,
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
