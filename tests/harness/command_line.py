"""`airflow bedrock-llm ...` in this process, through the parser that Airflow builds from the declaration."""

from __future__ import annotations

import argparse
from typing import Any

from airflow.cli.cli_parser import _add_command

from airflow_provider_bedrock_llm.cli import get_cli_commands


def run(*words: str) -> Any:
    """Run a command; its output goes where the process's goes."""
    parser = argparse.ArgumentParser(prog="airflow")
    commands = parser.add_subparsers(required=True)
    for command in get_cli_commands():
        _add_command(commands, command)
    args = parser.parse_args(["bedrock-llm", *words])
    return args.func(args)
