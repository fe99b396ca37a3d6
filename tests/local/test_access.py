"""Who may call: SigV4 and bearer tokens, over http and TLS, and credentials that are refused."""

from __future__ import annotations

import urllib.error
import urllib.request

import boto3
import botocore.exceptions
import pytest
from aiobotocore.session import get_session
from botocore import UNSIGNED
from botocore.config import Config
from harness.endpoint import HAIKU, KEYS, NOVA, make_client, say

ONE_TRY = {"mode": "standard", "total_max_attempts": 1}


def test_tls_is_trusted_by_its_ca_file(endpoint, request):
    arguments = {
        "endpoint_url": endpoint.tls_url,
        "region_name": "us-east-1",
        "config": Config(retries=ONE_TRY),
        **KEYS,
    }
    trusting = boto3.client("bedrock-runtime", verify=str(endpoint.ca_path), **arguments)
    request.addfinalizer(trusting.close)
    assert trusting.converse(modelId=HAIKU, messages=say("x"))["stopReason"] == "end_turn"
    wary = boto3.client("bedrock-runtime", **arguments)
    request.addfinalizer(wary.close)
    with pytest.raises(botocore.exceptions.SSLError):
        wary.converse(modelId=HAIKU, messages=say("x"))


def bearer_client(endpoint, token, request):
    """A client with an API key, without the environment variable that real users set."""
    session = boto3.Session()
    config = Config(signature_version=UNSIGNED, retries=ONE_TRY)
    client = session.client(
        "bedrock-runtime",
        endpoint_url=endpoint.tls_url,
        verify=str(endpoint.ca_path),
        region_name="us-east-1",
        config=config,
    )
    client.meta.events.register(
        "before-send.bedrock-runtime.*",
        lambda request, **_: request.headers.__setitem__("Authorization", f"Bearer {token}"),
    )
    request.addfinalizer(client.close)
    return client


def test_an_api_key_is_taken_and_a_bad_one_is_refused(endpoint, request):
    assert bearer_client(endpoint, "good", request).converse(modelId=HAIKU, messages=say("x"))["stopReason"]
    endpoint.control.credential("bad", error="bad_api_key")
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        bearer_client(endpoint, "bad", request).converse(modelId=HAIKU, messages=say("x"))
    assert caught.value.response["Error"]["Message"] == "Authentication failed: Please make sure your API Key is valid."


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ("expired_token", "ExpiredTokenException"),
        ("unknown_token", "UnrecognizedClientException"),
        ("denied_by_policy", "AccessDeniedException"),
        ("bad_signature", "InvalidSignatureException"),
    ],
)
def test_a_credential_can_be_known_to_be_bad(endpoint, runtime, bedrock, error, code):
    endpoint.control.credential(KEYS["aws_access_key_id"], error=error)
    for call in (lambda: runtime.converse(modelId=NOVA, messages=say("x")), bedrock.list_foundation_models):
        with pytest.raises(botocore.exceptions.ClientError) as caught:
            call()
        assert caught.value.response["Error"]["Code"] == code
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    endpoint.control.credential(KEYS["aws_access_key_id"])
    assert runtime.converse(modelId=NOVA, messages=say("x"))["stopReason"] == "end_turn"


SCOPE = (
    "AWS4-HMAC-SHA256 Credential=AK/20261120/us-east-1/{service}/aws4_request, "
    "SignedHeaders={headers}, Signature={signature}"
)


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        (None, "MissingAuthenticationTokenException"),
        ("AWS4-HMAC-SHA256 Credential=AK", "IncompleteSignatureException"),
        (SCOPE.format(service="bedrock", headers="host", signature="zz"), "IncompleteSignatureException"),
        (SCOPE.format(service="s3", headers="host", signature="0" * 64), "InvalidSignatureException"),
        (SCOPE.format(service="bedrock", headers="x-amz-date", signature="0" * 64), "InvalidSignatureException"),
        ("Bearer  ", "AccessDeniedException"),
    ],
)
def test_a_signature_must_be_there_and_well_formed(endpoint, authorization, code):
    headers = {"Authorization": authorization} if authorization else {}
    request = urllib.request.Request(f"{endpoint.url}/foundation-models", headers=headers)
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    with caught.value as response:
        assert (response.code, response.headers["x-amzn-ErrorType"].partition(":")[0]) == (403, code)


def test_sts_says_who_calls(endpoint, request):
    endpoint.control.credential(KEYS["aws_access_key_id"], account="222233334444")
    sts = make_client(endpoint, "sts")
    request.addfinalizer(sts.close)
    assert sts.get_caller_identity()["Account"] == "222233334444"


@pytest.mark.parametrize("tls", [False, True])
async def test_aiobotocore_does_every_operation(endpoint, tls):
    address = (
        {"endpoint_url": endpoint.tls_url, "verify": str(endpoint.ca_path)} if tls else {"endpoint_url": endpoint.url}
    )
    arguments = {"region_name": "us-east-1", **address, **KEYS}
    session = get_session()
    async with session.create_client("bedrock-runtime", **arguments) as client:
        arn = f"arn:aws:bedrock:us-east-1:111122223333:inference-profile/{HAIKU}"
        assert (await client.converse(modelId=arn, messages=say("x")))["stopReason"] == "end_turn"
        reply = await client.converse_stream(modelId=HAIKU, messages=say("x"))
        kinds = [next(iter(event)) async for event in reply["stream"]]
        assert kinds[-1] == "metadata"
        embedded = await client.invoke_model(modelId="amazon.titan-embed-text-v2:0", body='{"inputText": "x"}')
        assert b"embedding" in await embedded["body"].read()
        with pytest.raises(client.exceptions.ValidationException):
            await client.count_tokens(modelId=NOVA, input={"converse": {"messages": say("x")}})
    async with session.create_client("bedrock", **arguments) as client:
        assert (await client.list_foundation_models())["modelSummaries"]
        pages = [page async for page in client.get_paginator("list_inference_profiles").paginate()]
        assert pages[0]["inferenceProfileSummaries"]
