"""Settings refuse what cannot work, and say which field and which value. Seed 000 names the Boto3Config."""

import dataclasses
import importlib.util

import pytest

from airflow_provider_bedrock_llm.core.config import (
    Boto3Config,
    FailureHandlingStrategy,
    LoadBalancingStrategy,
    ParallelProcessingConfig,
    ResponseValidationConfig,
    RetryConfig,
    RetryStrategy,
    ValidationResult,
)
from airflow_provider_bedrock_llm.core.errors import ConfigurationError

has_botocore = pytest.mark.skipif(importlib.util.find_spec("botocore") is None, reason="botocore is not installed")
has_no_botocore = pytest.mark.skipif(importlib.util.find_spec("botocore") is not None, reason="botocore is installed")


def test_boto3_config_has_the_fields_of_seed_000_in_its_order():
    names = [field.name for field in dataclasses.fields(Boto3Config)]
    assert names == ["read_timeout", "connect_timeout", "max_pool_connections", "retries_max_attempts"]


def test_boto3_config_has_the_defaults_of_seed_000():
    assert dataclasses.astuple(Boto3Config()) == (600, 60, 10, 3)


def test_boto3_config_takes_its_fields_by_position():
    assert Boto3Config(900, 5, 50, 0) == Boto3Config(
        read_timeout=900, connect_timeout=5, max_pool_connections=50, retries_max_attempts=0
    )


@pytest.mark.parametrize("value", [Boto3Config(), RetryConfig(), ParallelProcessingConfig(), ValidationResult(True)])
def test_settings_are_frozen(value):
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, dataclasses.fields(value)[0].name, 1)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("read_timeout", value) for value in (0, -1, -0.5, "600", True, None, float("nan"), float("inf"))],
        *[("connect_timeout", value) for value in (0, -1, "60", True, None, float("nan"), float("inf"))],
        *[("max_pool_connections", value) for value in (0, -1, 1.5, "10", True, None)],
        *[("retries_max_attempts", value) for value in (-1, 1.5, "3", True, None)],
    ],
)
def test_boto3_config_refuses_a_wrong_value_and_names_field_and_value(field, value):
    with pytest.raises(ValueError, match=field) as caught:
        Boto3Config(**{field: value})
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value"), [("read_timeout", 0.1), ("max_pool_connections", 1), ("retries_max_attempts", 0)]
)
def test_boto3_config_takes_the_smallest_values_that_work(field, value):
    assert getattr(Boto3Config(**{field: value}), field) == value


def test_an_unknown_setting_is_refused():
    with pytest.raises(ValueError, match="read_timout"):
        Boto3Config(read_timout=5)


@has_botocore
def test_boto3_config_becomes_a_botocore_config():
    config = Boto3Config(read_timeout=900, connect_timeout=5, max_pool_connections=50, retries_max_attempts=7)
    made = config.to_botocore_config()
    assert (made.read_timeout, made.connect_timeout, made.max_pool_connections) == (900, 5, 50)
    assert made.retries == {"max_attempts": 7}


@has_no_botocore
def test_without_boto_the_config_says_what_to_install():
    with pytest.raises(ConfigurationError, match="pip install boto3"):
        Boto3Config().to_botocore_config()


def test_retry_config_has_the_defaults_of_the_seeds():
    retry = RetryConfig()
    assert (retry.max_retries, retry.retry_delay, retry.backoff_multiplier, retry.max_retry_delay) == (3, 1, 2, 60)
    assert retry.retry_strategy is RetryStrategy.REGION_FIRST
    assert retry.enable_feature_fallback
    assert retry.retryable_errors == ()


def test_parallel_config_has_the_defaults_of_the_seeds():
    config = ParallelProcessingConfig()
    assert config.failure_handling_strategy is FailureHandlingStrategy.CONTINUE_ON_FAILURE
    assert config.load_balancing_strategy is LoadBalancingStrategy.ROUND_ROBIN
    assert config.failure_threshold == 0.5


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        (RetryConfig, "max_retries", -1),
        (RetryConfig, "retry_delay", -0.1),
        (RetryConfig, "backoff_multiplier", 0.5),
        (RetryConfig, "max_retry_delay", float("inf")),
        (RetryConfig, "retry_strategy", "regions"),
        (RetryConfig, "deadline_seconds", 0),
        (RetryConfig, "max_attempts_total", 0),
        (RetryConfig, "max_timeout_retries", -1),
        (ParallelProcessingConfig, "max_concurrent_requests", 0),
        (ParallelProcessingConfig, "request_timeout_seconds", 0),
        (ParallelProcessingConfig, "failure_threshold", 1.5),
        (ParallelProcessingConfig, "failure_threshold_minimum", 0),
    ],
)
def test_settings_refuse_a_wrong_value_and_name_field_and_value(kind, field, value):
    with pytest.raises(ValueError, match=field) as caught:
        kind(**{field: value})
    assert repr(value) in str(caught.value)


def test_retryable_errors_are_codes_or_exception_types():
    retry = RetryConfig(retryable_errors=("ConflictException", TimeoutError))
    assert retry.retryable_codes == {"conflictexception", "timeouterror"}


def test_a_validation_config_takes_a_function_or_its_path():
    assert callable(ResponseValidationConfig(lambda _: ValidationResult(True)).response_validation_function)
    config = ResponseValidationConfig("package.module:function")
    assert (config.response_validation_retries, config.response_validation_delay) == (3, 0)


@pytest.mark.parametrize("field", ["response_validation_retries", "response_validation_delay"])
def test_a_validation_config_refuses_negative_numbers(field):
    with pytest.raises(ValueError, match=field):
        ResponseValidationConfig("m:f", **{field: -1})
