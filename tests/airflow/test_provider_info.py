"""What Airflow reads about the package is complete and true."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import airflow
import jsonschema
import pytest

from airflow_provider_bedrock_llm.get_provider_info import get_provider_info

INFO = get_provider_info()


def test_it_fits_airflows_own_schema():
    schema = json.loads((Path(airflow.__file__).parent / "provider_info.schema.json").read_text())
    jsonschema.validate(INFO, schema)


def test_the_entry_point_leads_here():
    found = [point for point in entry_points(group="apache_airflow_provider") if "bedrock_llm" in point.value]
    assert [point.load()() for point in found] == [INFO]


@pytest.mark.parametrize("group", ["hooks", "operators", "triggers"])
def test_every_module_named_can_be_imported(group):
    modules = [name for entry in INFO[group] for name in entry["python-modules"]]
    assert modules
    for name in modules:
        assert importlib.import_module(name).__all__


def test_reading_it_imports_neither_airflow_nor_boto():
    code = (
        "import sys; from airflow_provider_bedrock_llm.get_provider_info import get_provider_info as g; g();"
        "print([m for m in sys.modules if m.split('.')[0] in {'airflow', 'boto3', 'botocore', 'aiobotocore'}])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_airflow_finds_provider_hook_and_connection_type():
    from airflow.providers_manager import ProvidersManager
    from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime

    assert "airflow-provider-bedrock-llm" in ProvidersManager().providers
    hook = ProvidersManagerTaskRuntime().hooks["bedrockllm"]
    assert hook is not None
    assert hook.hook_name == "Amazon Bedrock LLM"
    assert hook.connection_id_attribute_name == "bedrock_conn_id"


def test_every_field_of_the_form_is_optional_described_and_in_a_section():
    fields = INFO["connection-types"][0]["conn-fields"]
    for name, field in fields.items():
        assert "null" in field["schema"]["type"], name
        assert field["label"], name
        assert field["description"].endswith("."), name
        assert field["schema"]["section"], name


def test_secrets_of_the_form_have_names_that_airflow_masks():
    from airflow.sdk._shared.secrets_masker import should_hide_value_for_key

    fields = INFO["connection-types"][0]["conn-fields"]
    hidden = {name for name, field in fields.items() if field["schema"].get("format") == "password"}
    assert hidden == {"aws_session_token"}
    assert all(should_hide_value_for_key(name) for name in hidden)


def test_the_options_have_their_defaults_in_airflows_configuration():
    from airflow.configuration import conf

    assert conf.getint("bedrock_llm", "max_in_flight_per_process") == 200
    assert conf.getint("bedrock_llm", "drain_seconds") == 8
