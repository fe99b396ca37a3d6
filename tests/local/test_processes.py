"""The endpoint in a process of its own, its command line, and the other botocore line that installs get."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import boto3
import pytest
from harness.endpoint import HAIKU, NOVA, make_client, say

from airflow_provider_bedrock_llm.local import LocalEndpoint

ROOT = Path(__file__).parents[2]
OTHER_PYTHON = ROOT / ".venv-botocore144" / "bin" / "python"
MODULE = [sys.executable, "-m", "airflow_provider_bedrock_llm.local"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def test_a_spawned_endpoint_serves_and_ends(request):
    with LocalEndpoint.spawn(latency=0.05) as endpoint:
        client = make_client(endpoint)
        request.addfinalizer(client.close)
        assert client.converse(modelId=NOVA, messages=say("x"))["metrics"]["latencyMs"] >= 49
        assert endpoint.control.stats().calls == 1
        assert endpoint.ca_path.exists()
        pid = endpoint.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_the_command_line_prints_one_line_and_ends_on_sigterm():
    process = subprocess.Popen([*MODULE, "--port", "0", "--tls-port", "0"], stdout=subprocess.PIPE, env=ENVIRONMENT)
    line = process.stdout.readline().decode()
    assert line.startswith("Local Bedrock endpoint ready at http://127.0.0.1:")
    assert "https://127.0.0.1:" in line
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=10)
    assert (process.returncode, rest) == (0, b"")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--answers", "no_such_module:f"], "no_such_module"),
        (["--answers", "json"], "answers='json' is not module:function"),
        (["--models", "/no/such/file"], "/no/such/file"),
        (["--port", "70000"], "port=70000"),
        (["--upstream", "nonsense"], "upstream='nonsense'"),
    ],
)
def test_a_wrong_setting_ends_the_command_with_a_clear_line(arguments, text):
    done = subprocess.run([*MODULE, *arguments], capture_output=True, env=ENVIRONMENT, timeout=30, check=False)
    assert done.returncode == 2
    assert text in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()


def models_of(endpoint, request, region):
    client = make_client(endpoint, "bedrock", region=region)
    request.addfinalizer(client.close)
    return {one["modelId"]: one["inferenceTypesSupported"] for one in client.list_foundation_models()["modelSummaries"]}


def test_the_bundled_catalog_can_be_served(request):
    with LocalEndpoint.spawn(models="bundled", tls_port=None) as endpoint:
        found = models_of(endpoint, request, "us-east-1")
        assert len(found) > 50
        assert found[HAIKU.removeprefix("us.")] == ["INFERENCE_PROFILE"]
        assert "ON_DEMAND" in found[NOVA]
        assert HAIKU.removeprefix("us.") in models_of(endpoint, request, "eu-central-1")
        assert models_of(endpoint, request, "mars-north-1") == {}
        client = make_client(endpoint)
        request.addfinalizer(client.close)
        assert client.converse(modelId=HAIKU, messages=say("x"))["stopReason"] == "end_turn"
        with pytest.raises(client.exceptions.ValidationException, match="on-demand throughput"):
            client.converse(modelId=HAIKU.removeprefix("us."), messages=say("x"))


def test_models_and_answers_come_from_files(tmp_path, request):
    (tmp_path / "models.json").write_text(json.dumps([{"model_id": "acme.tiny", "on_demand": True}]))
    (tmp_path / "own_answers.py").write_text("def answer(call):\n    return 'own ' + call.text\n")
    command = [*MODULE, "--port", "0", "--json", "--models", "models.json", "--answers", "own_answers:answer"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=ENVIRONMENT, cwd=tmp_path)
    try:
        address = SimpleNamespace(url=json.loads(process.stdout.readline())["url"])
        client = make_client(address)
        request.addfinalizer(client.close)
        reply = client.converse(modelId="acme.tiny", messages=say("x"))
        assert reply["output"]["message"]["content"] == [{"text": "own x"}]
    finally:
        process.terminate()
        process.communicate(timeout=10)


PARSE = """
import json, sys, boto3
from botocore.config import Config
url, tls_url, ca = sys.argv[1:4]
keys = dict(region_name="us-east-1", aws_access_key_id="AKIDLOCALEXAMPLE", aws_secret_access_key="local")
config = Config(retries={"mode": "standard", "total_max_attempts": 1}, signature_version="v4")
haiku = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
say = [{"role": "user", "content": [{"text": "one two three"}]}]
tool = {"tools": [{"toolSpec": {"name": "t", "inputSchema": {"json": {"type": "object"}}}}], "toolChoice": {"any": {}}}
runtime = boto3.client("bedrock-runtime", endpoint_url=url, config=config, **keys)
secure = boto3.client("bedrock-runtime", endpoint_url=tls_url, verify=ca, config=config, **keys)
bedrock = boto3.client("bedrock", endpoint_url=url, config=config, **keys)
def error(call, **arguments):
    try:
        call(**arguments)
    except Exception as caught:
        found = caught.response
        return [found["Error"], found["ResponseMetadata"]["HTTPStatusCode"], type(caught).__name__]
def without_metadata(reply):
    return {key: value for key, value in reply.items() if key not in ("ResponseMetadata", "metrics")}
converse = without_metadata(runtime.converse(modelId=haiku, messages=say))
stream = [event for event in runtime.converse_stream(modelId=haiku, messages=say)["stream"] if "metadata" not in event]
tool_use = without_metadata(secure.converse(modelId=haiku, messages=say, toolConfig=tool))
embedded = runtime.invoke_model(modelId="amazon.titan-embed-text-v2:0", body='{"inputText": "x"}')
print(json.dumps({
    "converse": converse,
    "stream": stream,
    "tool_use": tool_use,
    "embedding": json.loads(embedded["body"].read())["inputTextTokenCount"],
    "tokens": runtime.count_tokens(modelId=haiku[3:], input={"converse": {"messages": say}})["inputTokens"],
    "models": [one["modelId"] for one in bedrock.list_foundation_models()["modelSummaries"]],
    "profiles": [one["inferenceProfileArn"] for page in bedrock.get_paginator("list_inference_profiles").paginate(
        PaginationConfig={"PageSize": 4}) for one in page["inferenceProfileSummaries"]],
    "created": bedrock.get_inference_profile(inferenceProfileIdentifier=haiku)["createdAt"].isoformat(),
    "errors": [error(runtime.converse, modelId=model, messages=say) for model in ("no.such-model", haiku[3:])],
}, sort_keys=True))
"""


def test_both_botocore_lines_read_the_same_from_the_replies(endpoint):
    if not OTHER_PYTHON.exists():
        pytest.fail(f"{OTHER_PYTHON} is missing. Create it with: uv venv .venv-botocore144, then boto3==1.44.5 in it.")
    version = subprocess.check_output([OTHER_PYTHON, "-c", "import botocore; print(botocore.__version__)"], text=True)
    assert version.startswith("1.44.")
    assert boto3.__version__.startswith("1.43.")
    command = ["-c", PARSE, endpoint.url, endpoint.tls_url, str(endpoint.ca_path)]
    read = [json.loads(subprocess.check_output([python, *command])) for python in (sys.executable, OTHER_PYTHON)]
    assert read[0] == read[1]
    assert read[0]["tool_use"]["stopReason"] == "tool_use"


def test_the_newer_line_takes_an_api_key_over_tls(endpoint):
    script = (
        "import boto3, sys; print(boto3.client('bedrock-runtime', endpoint_url=sys.argv[1], verify=sys.argv[2],"
        " region_name='us-east-1').converse(modelId=sys.argv[3], messages=[{'role': 'user', 'content':"
        " [{'text': 'x'}]}])['stopReason'])"
    )
    command = [OTHER_PYTHON, "-c", script, endpoint.tls_url, str(endpoint.ca_path), HAIKU]
    environment = {"PATH": os.environ["PATH"], "AWS_BEARER_TOKEN_BEDROCK": "local-key"}
    assert subprocess.check_output(command, env=environment, text=True).strip() == "end_turn"
    assert [one["access_key"] for one in endpoint.control.calls()] == ["bearer"]
