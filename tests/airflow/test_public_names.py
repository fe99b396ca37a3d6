"""What `airflow_provider_bedrock_llm` itself offers."""

import ast
import subprocess
import sys
from pathlib import Path

import airflow_provider_bedrock_llm as package


def test_every_public_name_is_there_and_the_list_is_sorted():
    assert package.__all__ == sorted(package.__all__)
    assert dir(package) == package.__all__
    for name in package.__all__:
        assert getattr(package, name) is not None


def test_type_checkers_see_the_same_names():
    tree = ast.parse(Path(package.__file__).read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {alias.name for line in block.body for alias in line.names}
    assert seen == set(package.__all__) - {"__version__"}


def test_importing_the_package_loads_neither_airflow_nor_boto():
    code = (
        "import sys, airflow_provider_bedrock_llm;"
        "print([m for m in sys.modules if m.split('.')[0] in {'airflow', 'boto3', 'botocore', 'pydantic'}])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_unknown_name_is_an_attribute_error():
    assert not hasattr(package, "LLMManager")
