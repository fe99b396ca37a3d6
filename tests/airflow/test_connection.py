"""An Airflow connection becomes validated settings, or one clear sentence."""

from __future__ import annotations

import pytest

from airflow_provider_bedrock_llm.core.config import Boto3Config, RetryStrategy
from airflow_provider_bedrock_llm.core.errors import ConfigurationError
from airflow_provider_bedrock_llm.get_provider_info import get_provider_info
from airflow_provider_bedrock_llm.hooks.connection import parse_connection

FORM = get_provider_info()["connection-types"][0]["conn-fields"]


def test_a_form_saved_with_every_field_empty_gives_the_defaults():
    connection = parse_connection("c", login="", password="", extras=dict.fromkeys(FORM))
    assert connection.boto3_config == Boto3Config()
    assert connection.regions == ()
    assert not connection.has_keys
    assert connection.aws_extras == {}


def test_every_field_of_the_form_is_read():
    values = {
        "region_name": "eu-central-1",
        "regions": ["eu-central-1", "eu-west-1"],
        "endpoint_url": "http://127.0.0.1:1",
        "profile_name": "p",
        "role_arn": "arn:aws:iam::123456789012:role/r",
        "external_id": "e",
        "aws_session_token": "t",
        "models": ["Nova Lite"],
        "retry_strategy": "model_first",
        "max_retries": 7,
        "data_residency": "eu",
        "read_timeout": 900,
        "connect_timeout": 5,
        "max_pool_connections": 20,
        "retries_max_attempts": 1,
        "batch_role_arn": "arn:aws:iam::123456789012:role/batch",
        "batch_s3_uri": "s3://bucket/batch",
    }
    assert values.keys() | {"aws_conn_id"} == FORM.keys()
    connection = parse_connection("c", login="AK", password="SK", extras=values)
    assert connection.regions == ("eu-central-1", "eu-west-1")
    assert connection.models == ("Nova Lite",)
    assert connection.boto3_config == Boto3Config(900, 5, 20, 1)
    assert connection.retry_config.retry_strategy is RetryStrategy.MODEL_FIRST
    assert connection.retry_config.max_retries == 7
    assert connection.retry_config.data_residency == "eu"
    assert connection.endpoint_url == "http://127.0.0.1:1"
    assert (connection.batch_role_arn, connection.batch_s3_uri) == (values["batch_role_arn"], values["batch_s3_uri"])
    assert connection.aws_extras == {
        "region_name": "eu-central-1",
        "profile_name": "p",
        "role_arn": "arn:aws:iam::123456789012:role/r",
        "aws_session_token": "t",
        "assume_role_kwargs": {"ExternalId": "e"},
    }


def test_extras_that_the_amazon_provider_knows_pass_through():
    extras = {"assume_role_method": "assume_role_with_web_identity", "assume_role_kwargs": {"DurationSeconds": 900}}
    assert parse_connection("c", extras=extras | {"external_id": "e"}).aws_extras == {
        "assume_role_method": "assume_role_with_web_identity",
        "assume_role_kwargs": {"DurationSeconds": 900, "ExternalId": "e"},
    }


@pytest.mark.parametrize("text", ["us-east-1,eu-west-1", "us-east-1\neu-west-1\n", " us-east-1 , eu-west-1 "])
def test_lists_may_be_written_as_text(text):
    assert parse_connection("c", extras={"regions": text}).regions == ("us-east-1", "eu-west-1")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("read_timeout", "long"),
        ("read_timeout", 0),
        ("connect_timeout", -1),
        ("max_pool_connections", True),
        ("max_pool_connections", 2.5),
        ("retries_max_attempts", -1),
        ("retry_strategy", "sideways"),
        ("endpoint_url", "localhost:99"),
        ("regions", 3),
    ],
)
def test_a_wrong_value_names_connection_field_and_value(field, value):
    with pytest.raises(ConfigurationError) as caught:
        parse_connection("my_bedrock", extras={field: value})
    text = str(caught.value)
    assert "'my_bedrock'" in text
    assert f"{field}={value!r}" in text
    assert "Admin, Connections" in text


def test_a_wrong_session_token_is_not_shown():
    with pytest.raises(ConfigurationError) as caught:
        parse_connection("c", extras={"aws_session_token": 12345})
    assert "12345" not in str(caught.value)


@pytest.mark.parametrize(("login", "password", "missing"), [("AK", None, "password"), (None, "SK", "login")])
def test_half_a_key_pair_is_an_error(login, password, missing):
    with pytest.raises(ConfigurationError, match=f"no {missing}"):
        parse_connection("c", login=login, password=password)


@pytest.mark.parametrize("own", [{"role_arn": "arn:aws:iam::123456789012:role/r"}, {"profile_name": "p"}])
def test_borrowed_and_own_credentials_contradict_each_other(own):
    with pytest.raises(ConfigurationError, match="borrows its credentials from 'aws_default'"):
        parse_connection("c", extras={"aws_conn_id": "aws_default", **own})


def test_a_repr_shows_no_secret():
    extras = {"aws_session_token": "TOKENCANARY"}
    connection = parse_connection("c", login="AKIDCANARY", password="SECRETCANARY", extras=extras)
    assert "CANARY" not in repr(connection)
