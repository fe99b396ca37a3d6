"""Each error of Bedrock, with the code, status and text that botocore sees."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request

import pytest
from botocore.exceptions import ClientError
from harness.endpoint import HAIKU, NOVA, make_client, say

from airflow_provider_bedrock_llm.local import PRESETS, LocalModel

PNG = base64.b64decode("iVBORw0KGgo=") + b"rest"
MODELLED = sorted(name for name, reply in PRESETS.items() if reply.raw_body is None)


def error_of(call, **arguments):
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Message"]


@pytest.mark.parametrize("name", MODELLED)
def test_every_error_by_script_reaches_botocore_with_code_status_and_text(endpoint, runtime, name):
    endpoint.control.fail(name)
    code, status, text = error_of(runtime.converse, modelId=NOVA, messages=say("hello"))
    reply = PRESETS[name].filled(model=NOVA, region="us-east-1", account="111122223333")
    assert (code, status, text) == (reply.code, reply.status, reply.message)
    assert "{" not in text
    assert endpoint.control.stats().by_outcome == {reply.code: 1}


@pytest.mark.parametrize(
    ("name", "status"), [("html_502", 502), ("html_503", 503), ("bare_429", 429), ("bare_408", 408)]
)
def test_a_proxy_between_answers_without_any_code(endpoint, runtime, name, status):
    endpoint.control.fail(name)
    code, seen, _ = error_of(runtime.converse, modelId=NOVA, messages=say("hello"))
    assert (code, seen) == (str(status), status)


def test_a_model_error_carries_its_modelled_members(endpoint, runtime):
    endpoint.control.fail("model_error")
    with pytest.raises(runtime.exceptions.ModelErrorException) as caught:
        runtime.converse(modelId=NOVA, messages=say("hello"))
    assert caught.value.response["originalStatusCode"] == 500


BAD_MODELS = [
    ("no.such-model", "The provided model identifier is invalid."),
    ("jp.anthropic.claude-haiku-4-5-20251001-v1:0", "The provided model identifier is invalid."),
    (
        "anthropic.claude-haiku-4-5-20251001-v1:0",
        (
            "Invocation of model ID anthropic.claude-haiku-4-5-20251001-v1:0 with on-demand throughput isn\u2019t "
            "supported. Retry your request with the ID or ARN of an inference profile that contains this model."
        ),
    ),
]


@pytest.mark.parametrize(("model", "text"), BAD_MODELS)
def test_an_id_that_means_nothing_here_is_refused(runtime, model, text):
    found = error_of(runtime.converse, modelId=model, messages=say("hello"))
    assert found == ("ValidationException", 400, text)


BAD_REQUESTS = [
    ({"inferenceConfig": {"temperature": 2.0}}, "Value '2.0' at 'inferenceConfig.temperature' failed to satisfy"),
    ({"messages": [{"role": "tool", "content": [{"text": "x"}]}]}, "at 'messages.1.member.role' failed to satisfy"),
    ({"messages": []}, "A conversation must start with a user message."),
    (
        {"messages": [{"role": "assistant", "content": [{"text": "x"}]}]},
        "A conversation must start with a user message.",
    ),
    ({"messages": say("a") + say("b")}, "A conversation must alternate between user and assistant roles."),
    ({"messages": say("  ")}, "The text field in the ContentBlock object at messages.0.content.0 is blank."),
    (
        {"messages": [{"role": "user", "content": []}]},
        "The content field in the Message object at messages.0 is empty.",
    ),
    (
        {
            "messages": [
                {"role": "user", "content": [{"document": {"format": "txt", "name": "a", "source": {"bytes": b"x"}}}]}
            ]
        },
        "A text block must be included when using documents.",
    ),
    (
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"text": "x"},
                        {"document": {"format": "txt", "name": "a.b", "source": {"bytes": b"x"}}},
                    ],
                }
            ]
        },
        "The document file name can only contain alphanumeric characters",
    ),
    (
        {"messages": [{"role": "user", "content": [{"image": {"format": "jpeg", "source": {"bytes": PNG}}}]}]},
        "Could not process image",
    ),
    (
        {"messages": [{"role": "user", "content": [{"toolResult": {"toolUseId": "a", "content": [{"text": "x"}]}}]}]},
        "The toolConfig field must be defined when using toolUse and toolResult content blocks.",
    ),
    ({"inferenceConfig": {"maxTokens": 70_000}}, "The maximum tokens you requested exceeds the model limit of 64000."),
    ({"inferenceConfig": {"temperature": 0.5, "topP": 0.5}}, "cannot both be specified for this model"),
    ({"requestMetadata": {"run": "caf\u00e9"}}, "Member must satisfy regular expression pattern"),
    ({"messages": say("x" * 801_000)}, "prompt is too long: 200254 tokens > 200000 maximum"),
]


@pytest.mark.parametrize(("change", "text"), BAD_REQUESTS)
def test_a_request_that_bedrock_would_refuse_is_refused(runtime, change, text):
    code, status, found = error_of(runtime.converse, **{"modelId": HAIKU, "messages": say("hello"), **change})
    assert (code, status) == ("ValidationException", 400)
    assert text in found


UNSUPPORTED = [
    (
        {"tools": False},
        {"toolConfig": {"tools": [{"toolSpec": {"name": "t", "inputSchema": {"json": {}}}}]}},
        "tool use",
    ),
    ({"system": False}, {"system": [{"text": "Be short."}]}, "system messages"),
    (
        {},
        {
            "messages": [
                {"role": "user", "content": [{"text": "x"}, {"image": {"format": "png", "source": {"bytes": PNG}}}]}
            ]
        },
        "image content block",
    ),
    (
        {"structured_output": False},
        {"outputConfig": {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": "{}"}}}}},
        "outputConfig.textFormat",
    ),
]


@pytest.mark.parametrize(("model", "change", "text"), UNSUPPORTED)
def test_what_a_model_cannot_do_is_refused(endpoint, runtime, model, change, text):
    endpoint.control.models([LocalModel("test.model", **model)])
    code, _, found = error_of(runtime.converse, **{"modelId": "test.model", "messages": say("hello"), **change})
    assert code == "ValidationException"
    assert "This model doesn't support" in found
    assert text in found


def test_a_cache_point_on_a_model_without_caching_is_denied(runtime):
    messages = [{"role": "user", "content": [{"text": "x"}, {"cachePoint": {"type": "default"}}]}]
    code, status, _ = error_of(runtime.converse, modelId="meta.llama3-1-8b-instruct-v1:0", messages=messages)
    assert (code, status) == ("AccessDeniedException", 403)


def test_an_anthropic_schema_must_close_its_objects(runtime):
    schema = json.dumps({"type": "object", "properties": {"a": {"type": "string"}}})
    config = {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": schema}}}}
    _, _, text = error_of(runtime.converse, modelId=HAIKU, messages=say("x"), outputConfig=config)
    assert "'additionalProperties' must be explicitly set to false" in text


@pytest.mark.parametrize(
    ("access", "code", "status"),
    [
        ("no_access", "AccessDeniedException", 403),
        ("end_of_life", "ResourceNotFoundException", 404),
        ("use_case_missing", "ResourceNotFoundException", 404),
    ],
)
def test_a_model_can_be_out_of_reach(endpoint, runtime, access, code, status):
    endpoint.control.models([LocalModel("test.model", access=access)])
    found = error_of(runtime.converse, modelId="test.model", messages=say("hello"))
    assert found == (code, status, PRESETS[access].message)


def raw_post(endpoint, body, **headers):
    scope = "Credential=AKID/20261120/us-east-1/bedrock/aws4_request, SignedHeaders=host, Signature=" + "0" * 64
    request = urllib.request.Request(
        f"{endpoint.url}/model/{HAIKU}/converse", body, {"Authorization": f"AWS4-HMAC-SHA256 {scope}", **headers}
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    with caught.value as response:
        return response.headers.get("x-amzn-ErrorType", "").partition(":")[0], json.loads(response.read())


RAW_BODIES = [
    (b"{", "SerializationException", "Unable to parse"),
    (b'{"messages": "x"}', "SerializationException", "can not be converted to a List"),
    (b'{"messages": [{"role": "user", "content": [{"text": 1}]}]}', "SerializationException", "NUMBER_VALUE"),
    (
        b'{"messages": [{"role": "user", "content": [{}]}]}',
        "ValidationException",
        "must set one of the following keys: text",
    ),
    (b'{"messages": [], "topK": 3}', "ValidationException", "#: extraneous key [topK] is not permitted"),
    (b'{"messages": [{"role": "user"}]}', "ValidationException", "Value null at 'messages.1.member.content' failed"),
]


@pytest.mark.parametrize(("body", "code", "text"), RAW_BODIES)
def test_what_botocore_would_never_send_is_refused_too(endpoint, body, code, text):
    found, document = raw_post(endpoint, body)
    assert found == code
    assert text in document["message"]


def test_an_unknown_path_is_an_unknown_operation(endpoint):
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{endpoint.url}/no-such-thing")
    with caught.value as response:
        assert (response.code, response.read()) == (404, b"<UnknownOperationException/>\n")


def test_an_embedding_model_has_no_converse(runtime):
    code, _, _ = error_of(runtime.converse, modelId="amazon.titan-embed-text-v2:0", messages=say("x"))
    assert code == "ValidationException"


def test_the_region_of_the_call_decides_which_profiles_there_are(endpoint, request):
    tokyo = make_client(endpoint, region="ap-northeast-1")
    request.addfinalizer(tokyo.close)
    assert tokyo.converse(modelId="jp.anthropic.claude-haiku-4-5-20251001-v1:0", messages=say("x"))["stopReason"]
    assert error_of(tokyo.converse, modelId=HAIKU, messages=say("x"))[2] == "The provided model identifier is invalid."
