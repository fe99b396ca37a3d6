"""`airflow bedrock-llm ...`: what Airflow's command line shows of this package.

Airflow imports this at every start of its command line, so the commands import what they need when they run.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from airflow.cli.cli_config import ActionCommand, Arg, GroupCommand, lazy_load_command

from airflow_provider_bedrock_llm.cli_candidates import CANDIDATES_COMMAND, ROUTE_COMMAND
from airflow_provider_bedrock_llm.cli_check import CHECK_COMMAND
from airflow_provider_bedrock_llm.cli_converse import CHAT_COMMAND, CONVERSE_COMMAND
from airflow_provider_bedrock_llm.cli_estimate import ESTIMATE_COMMAND
from airflow_provider_bedrock_llm.cli_job import JOB_COMMAND
from airflow_provider_bedrock_llm.cli_models import MODELS_COMMAND

if TYPE_CHECKING:
    import argparse

__all__ = ["get_cli_commands", "local_endpoint"]


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
                CANDIDATES_COMMAND,
                ROUTE_COMMAND,
                CHECK_COMMAND,
                CONVERSE_COMMAND,
                CHAT_COMMAND,
                ESTIMATE_COMMAND,
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


def local_endpoint(args: argparse.Namespace) -> None:
    """Serve until interrupted."""
    from airflow_provider_bedrock_llm.local.command_line import run  # noqa: PLC0415

    sys.exit(run(args))
