"""The layers hold, and importing the package costs nothing that is not needed."""

import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]


def run(*command):
    return subprocess.run([sys.executable, *command], cwd=PROJECT, capture_output=True, text=True, check=False)


def test_every_contract_of_pyproject_is_kept():
    found = run("-c", "from importlinter.cli import lint_imports_command as lint; lint(['--no-cache'])")
    assert found.returncode == 0, found.stdout + found.stderr
    assert " 0 broken" in found.stdout


def loaded_by(module):
    code = f"import sys, {module}; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    found = run("-W", "error", "-c", code)
    assert found.returncode == 0, found.stderr
    return set(found.stdout.split())


@pytest.mark.parametrize(
    "module",
    [
        "airflow_provider_bedrock_llm",
        "airflow_provider_bedrock_llm.get_provider_info",
        "airflow_provider_bedrock_llm.core.conversation",
        "airflow_provider_bedrock_llm.testing",
    ],
)
def test_importing_brings_neither_airflow_nor_boto(module):
    assert loaded_by(module) & {"airflow", "boto3", "botocore", "aiobotocore", "aiohttp", "urllib3"} == set()


@pytest.mark.parametrize(
    "module", ["airflow_provider_bedrock_llm.aws.converse", "airflow_provider_bedrock_llm.aws.parallel"]
)
def test_the_loops_themselves_need_no_boto(module):
    assert loaded_by(module) & {"airflow", "boto3", "botocore", "aiobotocore"} == set()


def test_calling_aws_needs_no_airflow():
    assert "airflow" not in loaded_by("airflow_provider_bedrock_llm.aws.transport")
