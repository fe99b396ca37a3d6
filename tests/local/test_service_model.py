"""The compiled checks agree with botocore, and what the endpoint says agrees with the service model."""

from __future__ import annotations

import json
import re
import urllib.request

import pytest
from botocore.validate import ParamValidator
from harness.endpoint import HAIKU, NOVA, say
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_bedrock_llm.local.service_model import compile_shape, load_service

RUNTIME = load_service("bedrock-runtime")
CONVERSE = RUNTIME.operation_model("Converse").input_shape
CHECK = compile_shape(CONVERSE)
JUNK = st.one_of(st.none(), st.booleans(), st.integers(-2, 3), st.text(max_size=3), st.just([]), st.just({}))


def mostly(value):
    return st.one_of(st.just(value), st.just(value), st.just(value), JUNK)


BODIES = st.fixed_dictionaries(
    {"modelId": mostly(NOVA)},
    optional={
        "messages": mostly(say("x")),
        "system": mostly([{"text": "x"}]),
        "inferenceConfig": st.fixed_dictionaries(
            {},
            optional={"maxTokens": mostly(5), "temperature": mostly(0.5), "stopSequences": mostly(["a"]), "topK": JUNK},
        ),
        "toolConfig": mostly({"tools": [{"toolSpec": {"name": "t", "inputSchema": {"json": {"any": [1]}}}}]}),
        "requestMetadata": mostly({"a": "b"}),
        "additionalModelRequestFields": mostly({"a": {"b": [None]}}),
        "performanceConfig": mostly({"latency": "standard"}),
    },
)


def without_none(value):
    return {key: inner for key, inner in value.items() if inner is not None} if isinstance(value, dict) else value


@settings(max_examples=300, deadline=None)
@given(body=BODIES)
def test_what_botocore_finds_wrong_is_refused(body):
    body = {key: without_none(value) for key, value in without_none(body).items()}
    if ParamValidator().validate(body, CONVERSE).has_errors():
        assert CHECK(body)


@settings(max_examples=300, deadline=None)
@given(body=BODIES)
def test_what_is_refused_is_wrong_by_botocore_or_by_a_bound_that_only_aws_enforces(body):
    body = {key: without_none(value) for key, value in without_none(body).items()}
    found = CHECK(body) or []
    # The last one: botocore takes True for a whole number, since Python does.
    enforced_by_aws = (
        "enum value set",
        "less than or equal",
        "regular expression",
        "greater than or equal to 1",
        "BOOLEAN_VALUE can not be converted",
    )
    if not ParamValidator().validate(body, CONVERSE).has_errors():
        assert all(any(text in one.text for text in enforced_by_aws) for one in found)


def signed(service="bedrock"):
    scope = f"Credential=AKID/20261120/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=" + "0" * 64
    return {"Authorization": f"AWS4-HMAC-SHA256 {scope}"}


def known_only(found):
    """Violations but for members that AWS really sends and the model does not name."""
    unmodelled = {"serverToolUsage", "cacheReadInputTokenCount", "cacheWriteInputTokenCount"}
    return [one for one in found or () if not (one.kind == "unknown" and one.text in unmodelled)]


# AWS sends these though its own enums and patterns lack them: global profiles have ARNs without a region, and the
# names of models and profiles have dots and are long.
BEYOND_THE_MODEL = re.compile("INFERENCE_PROFILE|VIDEO|arn:aws:bedrock:::")
NAMES = ("modelName", "inferenceProfileName")
BODY = {"messages": [{"role": "user", "content": [{"text": "word " * 1_600}, {"cachePoint": {"type": "default"}}]}]}


@pytest.mark.parametrize(
    ("service", "operation", "path", "body"),
    [
        ("bedrock-runtime", "Converse", f"/model/{NOVA}/converse", BODY),
        ("bedrock-runtime", "Converse", f"/model/{HAIKU}/converse", {"messages": say("x")}),
        ("bedrock", "ListFoundationModels", "/foundation-models", None),
        ("bedrock", "GetFoundationModel", f"/foundation-models/{NOVA}", None),
        ("bedrock", "ListInferenceProfiles", "/inference-profiles?maxResults=2", None),
        ("bedrock", "GetInferenceProfile", f"/inference-profiles/{HAIKU}", None),
    ],
)
def test_a_reply_satisfies_the_output_shape(endpoint, service, operation, path, body):
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(endpoint.url + path, data, signed())) as response:
        reply = json.loads(response.read())
    shape = load_service(service).operation_model(operation).output_shape
    found = known_only(compile_shape(shape)(reply))
    assert [one for one in found if not (BEYOND_THE_MODEL.search(one.value) or one.path[-1] in NAMES)] == []
