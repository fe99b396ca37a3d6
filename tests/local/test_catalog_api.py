"""What there is: models, profiles and their ids, in each region."""

from __future__ import annotations

import json

import pytest
from harness.endpoint import HAIKU, NOVA, make_client, say

from airflow_provider_bedrock_llm.local import LocalModel, load_models

BASE_HAIKU = "anthropic.claude-haiku-4-5-20251001-v1:0"


def test_models_say_how_they_are_reached(bedrock):
    models = {one["modelId"]: one for one in bedrock.list_foundation_models()["modelSummaries"]}
    assert models[BASE_HAIKU]["inferenceTypesSupported"] == ["INFERENCE_PROFILE"]
    assert models[NOVA]["inferenceTypesSupported"] == ["ON_DEMAND", "INFERENCE_PROFILE"]
    assert models["amazon.titan-embed-text-v2:0"]["outputModalities"] == ["EMBEDDING"]
    assert models[BASE_HAIKU]["modelLifecycle"] == {"status": "ACTIVE"}


def test_models_can_be_filtered(bedrock):
    found = bedrock.list_foundation_models(byProvider="anthropic", byInferenceType="ON_DEMAND")["modelSummaries"]
    assert [one["modelId"] for one in found] == ["anthropic.claude-3-haiku-20240307-v1:0"]


def test_one_model_is_found_by_id_and_by_arn(bedrock):
    by_id = bedrock.get_foundation_model(modelIdentifier=NOVA)["modelDetails"]
    assert bedrock.get_foundation_model(modelIdentifier=by_id["modelArn"])["modelDetails"] == by_id
    with pytest.raises(bedrock.exceptions.ValidationException):
        bedrock.get_foundation_model(modelIdentifier="no.such-model")


def test_availability_tells_who_has_no_access(endpoint, bedrock):
    endpoint.control.models([LocalModel("test.model", access="no_access")])
    assert bedrock.get_foundation_model_availability(modelId=NOVA)["authorizationStatus"] == "AUTHORIZED"
    found = bedrock.get_foundation_model_availability(modelId="test.model")
    assert found["authorizationStatus"] == "NOT_AUTHORIZED"


def test_profiles_come_in_pages_and_none_is_missed(bedrock):
    whole = bedrock.list_inference_profiles(maxResults=1000)["inferenceProfileSummaries"]
    pages = list(bedrock.get_paginator("list_inference_profiles").paginate(PaginationConfig={"PageSize": 3}))
    assert len(pages) > 2
    assert [one for page in pages for one in page["inferenceProfileSummaries"]] == whole
    assert HAIKU in {one["inferenceProfileId"] for one in whole}


def test_profiles_depend_on_the_region(endpoint, request):
    frankfurt = make_client(endpoint, "bedrock", region="eu-central-1")
    request.addfinalizer(frankfurt.close)
    ids = {one["inferenceProfileId"] for one in frankfurt.list_inference_profiles()["inferenceProfileSummaries"]}
    assert f"eu.{BASE_HAIKU}" in ids
    assert f"global.{BASE_HAIKU}" in ids
    assert HAIKU not in ids


def test_an_application_profile_is_made_listed_called_and_deleted(bedrock, runtime):
    source = f"arn:aws:bedrock:us-east-1::foundation-model/{NOVA}"
    made = bedrock.create_inference_profile(inferenceProfileName="mine", modelSource={"copyFrom": source})
    arn = made["inferenceProfileArn"]
    listed = bedrock.list_inference_profiles(typeEquals="APPLICATION")["inferenceProfileSummaries"]
    assert [one["inferenceProfileArn"] for one in listed] == [arn]
    assert bedrock.get_inference_profile(inferenceProfileIdentifier=arn)["models"] == [{"modelArn": source}]
    assert runtime.converse(modelId=arn, messages=say("x"))["stopReason"] == "end_turn"
    bedrock.delete_inference_profile(inferenceProfileIdentifier=arn)
    with pytest.raises(runtime.exceptions.ValidationException):
        runtime.converse(modelId=arn, messages=say("x"))
    with pytest.raises(bedrock.exceptions.ResourceNotFoundException):
        bedrock.get_inference_profile(inferenceProfileIdentifier=arn)


ARNS = [
    f"arn:aws:bedrock:us-east-1::foundation-model/{NOVA}",
    f"arn:aws:bedrock:us-east-1:111122223333:inference-profile/{HAIKU}",
    "arn:aws:bedrock:us-east-1:111122223333:custom-model/amazon.nova-lite-v1/abcdef123456",
    "arn:aws:bedrock:us-east-1:111122223333:custom-model-deployment/abcdef123456",
    "arn:aws:bedrock:us-east-1:111122223333:imported-model/abcdef123456",
    "arn:aws:bedrock:us-east-1:111122223333:provisioned-model/abcdef123456",
    "arn:aws:bedrock:us-east-1:111122223333:prompt/ABCDEF1234:3",
    "arn:aws:bedrock:us-east-1:111122223333:default-prompt-router/anthropic.claude:1",
    "arn:aws:sagemaker:us-east-1:111122223333:endpoint/mine",
]


@pytest.mark.parametrize("arn", ARNS)
def test_an_arn_reaches_a_model(endpoint, runtime, arn):
    reply = runtime.converse(modelId=arn, messages=say("x"))
    assert reply["stopReason"] == "end_turn"
    assert list(endpoint.control.stats().by_model) == [arn]
    assert ("promptRouter" in reply.get("trace", {})) == ("router" in arn)


@pytest.mark.parametrize(
    "arn",
    [
        f"arn:aws:bedrock:eu-west-1:111122223333:inference-profile/{HAIKU}",
        "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/nosuchone",
        "arn:aws:bedrock:us-east-1:111122223333:nonsense/abc",
    ],
)
def test_an_arn_of_nothing_here_is_refused(runtime, arn):
    with pytest.raises(runtime.exceptions.ValidationException):
        runtime.converse(modelId=arn, messages=say("x"))


def test_tokens_are_counted_for_base_ids_only(runtime):
    converse = {"messages": say("x" * 400), "system": [{"text": "y" * 40}]}
    counted = runtime.count_tokens(modelId=BASE_HAIKU, input={"converse": converse})["inputTokens"]
    assert counted == runtime.converse(modelId=HAIKU, **converse)["usage"]["inputTokens"]
    body = json.dumps({"prompt": "x" * 90}).encode()
    assert runtime.count_tokens(modelId=BASE_HAIKU, input={"invokeModel": {"body": body}})["inputTokens"] == 26
    for model in (HAIKU, NOVA):
        with pytest.raises(runtime.exceptions.ValidationException, match="doesn't support counting tokens"):
            runtime.count_tokens(modelId=model, input={"converse": converse})


def test_models_can_be_replaced_while_it_runs(endpoint, runtime):
    entry = {
        "model_id": "acme.tiny",
        "profiles": {"us.acme.tiny": ["us-*"]},
        "on_demand": False,
        "max_output_tokens": 7,
    }
    endpoint.control.models(load_models([entry]), replace=True)
    reply = runtime.converse(modelId="us.acme.tiny", messages=say("x"), inferenceConfig={"maxTokens": 7})
    assert reply["stopReason"] == "max_tokens"
    with pytest.raises(runtime.exceptions.ValidationException):
        runtime.converse(modelId=NOVA, messages=say("x"))


def test_a_misspelt_setting_of_a_model_is_named():
    with pytest.raises(ValueError, match="'regoins' is not a setting"):
        load_models([{"model_id": "a.b", "regoins": ["*"]}])
