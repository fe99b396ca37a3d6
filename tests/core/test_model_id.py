"""Ids, inference profile ids and ARNs, taken apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_bedrock_llm.core.errors import ConfigurationError
from airflow_provider_bedrock_llm.core.model_id import (
    ModelIdError,
    ModelIdKind,
    arn_region,
    base_model_id,
    geo_of,
    is_arn,
    is_model_id,
    parse_model_id,
)

ACCOUNT_ARN = "arn:aws:bedrock:eu-central-1:123456789012:"
ARNS = {
    ModelIdKind.FOUNDATION_MODEL_ARN: "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0",
    ModelIdKind.INFERENCE_PROFILE_ARN: ACCOUNT_ARN + "inference-profile/eu.amazon.nova-lite-v1:0",
    ModelIdKind.APPLICATION_INFERENCE_PROFILE_ARN: ACCOUNT_ARN + "application-inference-profile/a1b2c3d4e5f6",
    ModelIdKind.CUSTOM_MODEL_ARN: ACCOUNT_ARN + "custom-model/amazon.nova-lite-v1:0/a1b2c3d4e5f6",
    ModelIdKind.CUSTOM_MODEL_DEPLOYMENT_ARN: ACCOUNT_ARN + "custom-model-deployment/a1b2c3d4e5f6",
    ModelIdKind.IMPORTED_MODEL_ARN: ACCOUNT_ARN + "imported-model/a1b2c3d4e5f6",
    ModelIdKind.PROVISIONED_MODEL_ARN: ACCOUNT_ARN + "provisioned-model/a1b2c3d4e5f6",
    ModelIdKind.PROMPT_ARN: ACCOUNT_ARN + "prompt/ABCDE12345:7",
    ModelIdKind.PROMPT_ROUTER_ARN: ACCOUNT_ARN + "prompt-router/a1b2c3d4e5f6",
    ModelIdKind.DEFAULT_PROMPT_ROUTER_ARN: ACCOUNT_ARN + "default-prompt-router/anthropic.claude:1",
    ModelIdKind.SAGEMAKER_ENDPOINT_ARN: "arn:aws:sagemaker:us-west-2:123456789012:endpoint/my-endpoint",
}


@pytest.mark.parametrize(
    ("text", "geo", "provider", "name", "version", "context"),
    [
        ("anthropic.claude-3-haiku-20240307-v1:0", None, "anthropic", "claude-3-haiku-20240307", "v1:0", None),
        ("anthropic.claude-3-haiku-20240307-v1:0:48k", None, "anthropic", "claude-3-haiku-20240307", "v1:0", "48k"),
        ("anthropic.claude-v2:1:18k", None, "anthropic", "claude", "v2:1", "18k"),
        ("eu.anthropic.claude-sonnet-4-6", "eu", "anthropic", "claude-sonnet-4-6", None, None),
        ("us-gov.anthropic.claude-sonnet-5", "us-gov", "anthropic", "claude-sonnet-5", None, None),
        ("apac.amazon.nova-pro-v1:0", "apac", "amazon", "nova-pro", "v1:0", None),
        ("global.openai.gpt-5.6-luna", "global", "openai", "gpt-5.6-luna", None, None),
        ("jp.amazon.nova-2-lite-v1:0", "jp", "amazon", "nova-2-lite", "v1:0", None),
        ("deepseek.v3.1", None, "deepseek", "v3.1", None, None),
        ("openai.gpt-oss-120b-1:0", None, "openai", "gpt-oss-120b", "1:0", None),
        ("amazon.nova-premier-v1:0:mm", None, "amazon", "nova-premier", "v1:0", "mm"),
        ("cohere.embed-english-v3", None, "cohere", "embed-english", "v3", None),
    ],
)
def test_an_id_is_taken_apart(text, geo, provider, name, version, context):
    parsed = parse_model_id(text)
    assert (parsed.geo, parsed.provider, parsed.name, parsed.version, parsed.context) == (
        geo,
        provider,
        name,
        version,
        context,
    )
    assert parsed.kind is (ModelIdKind.PROFILE if geo else ModelIdKind.BASE_MODEL)
    assert str(parsed) == text
    assert not parsed.is_arn


@pytest.mark.parametrize(
    ("text", "base"),
    [
        ("amazon.nova-lite-v1:0", "amazon.nova-lite-v1:0"),
        ("eu.amazon.nova-lite-v1:0", "amazon.nova-lite-v1:0"),
        ("amazon.nova-lite-v1:0:24k", "amazon.nova-lite-v1:0"),
        (ARNS[ModelIdKind.FOUNDATION_MODEL_ARN], "amazon.nova-lite-v1:0"),
        (ARNS[ModelIdKind.INFERENCE_PROFILE_ARN], "amazon.nova-lite-v1:0"),
        (ARNS[ModelIdKind.APPLICATION_INFERENCE_PROFILE_ARN], None),
        (ARNS[ModelIdKind.PROVISIONED_MODEL_ARN], None),
    ],
)
def test_the_base_id_is_what_is_left_without_arn_geo_and_context(text, base):
    assert base_model_id(text) == base


@pytest.mark.parametrize(("kind", "arn"), ARNS.items(), ids=lambda value: getattr(value, "value", None))
def test_every_kind_of_arn_that_converse_takes_is_known(kind, arn):
    parsed = parse_model_id(arn)
    assert parsed.kind is kind
    assert parsed.is_arn
    assert is_arn(arn)
    assert parsed.partition == "aws"
    assert arn_region(arn) == parsed.region == arn.split(":")[3]
    assert (parsed.account or "") == arn.split(":")[4]


def test_a_prompt_arn_may_leave_out_the_version():
    assert parse_model_id(ACCOUNT_ARN + "prompt/ABCDE12345").kind is ModelIdKind.PROMPT_ARN


def test_an_arn_of_another_partition_keeps_it():
    arn = "arn:aws-us-gov:bedrock:us-gov-west-1::foundation-model/anthropic.claude-sonnet-5"
    assert parse_model_id(arn).partition == "aws-us-gov"


def test_the_geo_prefix_is_read_from_ids_and_arns():
    assert geo_of("eu.amazon.nova-lite-v1:0") == "eu"
    assert geo_of(ARNS[ModelIdKind.INFERENCE_PROFILE_ARN]) == "eu"
    assert geo_of("amazon.nova-lite-v1:0") is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Claude 3 Haiku",
        "claude-3-haiku",
        "claude-3.5-sonnet",
        "anthropic.",
        ".claude",
        "anthropic.claude 3",
        "anthropic/claude-3",
        "anthropic.claude-3\n",
        "a." + "b" * 2050,
        "arn:aws:bedrock:us-east-1:123456789012:guardrail/a1b2c3d4e5f6",
        "arn:aws:bedrock:us-east-1:foundation-model/amazon.nova-lite-v1:0",
        "arn:aws:bedrock:us-east-1:123456789012:foundation-model/amazon.nova-lite-v1:0",
        "arn:aws:bedrock:us-east-1::inference-profile/us.amazon.nova-lite-v1:0",
        "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/short",
        "arn:aws:bedrock:us-east-1:123456789012:endpoint/my-endpoint",
        "arn:aws:sagemaker:us-east-1:123456789012:prompt/ABCDE12345",
        "arn:aws:s3:::bucket/key",
    ],
)
def test_what_converse_would_refuse_for_its_form_is_a_value_error(text):
    with pytest.raises(ValueError, match=r"."):
        parse_model_id(text)
    assert not is_model_id(text)


def test_the_error_is_a_configuration_error_that_says_what_to_write():
    with pytest.raises(ModelIdError, match=r"Give `provider.model-version`") as raised:
        parse_model_id("Claude 3 Haiku")
    assert isinstance(raised.value, ConfigurationError)


@given(st.text(max_size=80))
def test_any_text_is_parsed_or_refused_and_never_changed(text):
    if is_model_id(text):
        assert parse_model_id(text).text == text
