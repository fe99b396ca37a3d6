"""`python -m airflow_provider_bedrock_llm.local`."""

from __future__ import annotations

import argparse
import sys

from .command_line import add_arguments, run

if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_bedrock_llm.local",
        description="A Bedrock endpoint on loopback, for demos and tests: no AWS account, no cost.",
    )
    add_arguments(parser)
    sys.exit(run(parser.parse_args()))
