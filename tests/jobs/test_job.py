"""The description of a job: a value that other processes can read."""

import json

import pytest
from harness.job_folder import job_of

from airflow_provider_bedrock_llm.core.config import (
    Boto3Config,
    FailureHandlingStrategy,
    ParallelProcessingConfig,
    ResponseValidationConfig,
    RetryConfig,
    ValidationResult,
)
from airflow_provider_bedrock_llm.core.errors import ConfigurationError, RequestValidationError
from airflow_provider_bedrock_llm.jobs.job import JobSpec
from airflow_provider_bedrock_llm.jobs.question import request_rows


def accept(response):
    return ValidationResult(success=True)


def test_every_setting_survives_the_way_through_job_json(tmp_path):
    spec = job_of(
        tmp_path,
        models=("a", {"model": "b", "region": "eu-west-1", "inference_config": {"maxTokens": 3}}),
        source_format="csv",
        csv_delimiter=";",
        id_columns=("a", "b"),
        keep_columns=("*",),
        system_template="Be {{ mood }}.",
        regions=("us-east-1",),
        inference_config={"temperature": 0.5},
        output_schema={"type": "object"},
        request={"guardrail_config": {"guardrailIdentifier": "g"}},
        on_bad_record="skip",
        dedupe=True,
        parallel=ParallelProcessingConfig(
            max_concurrent_requests=7, failure_handling_strategy=FailureHandlingStrategy.STOP_ON_THRESHOLD
        ),
        retry=RetryConfig(max_retries=1, deadline_seconds=9.5),
        boto3=Boto3Config(read_timeout=30),
        validation=ResponseValidationConfig("package.module:function"),
        bedrock_conn_id="mine",
        tags={"dag": "d"},
        output_uri="s3://conn@bucket/out.jsonl",
        override_columns={"model": "who", "max_tokens": "limit"},
        media_columns={"image": ("photo",), "document": ("terms", "more")},
        media_as_s3_location=True,
    )

    spec.save()

    assert JobSpec.load(spec.job_uri) == spec
    assert JobSpec.from_json(spec.to_json()) == spec


def test_a_function_and_exception_classes_go_by_their_names(tmp_path):
    spec = job_of(
        tmp_path,
        validation=ResponseValidationConfig(accept),
        retry=RetryConfig(retryable_errors=("ThrottlingException", TimeoutError)),
    )

    assert spec.validation.response_validation_function == f"{accept.__module__}:accept"
    assert spec.retry.retryable_errors == ("ThrottlingException", "TimeoutError")
    assert JobSpec.from_json(spec.to_json()) == spec


def test_a_function_that_no_other_process_can_import_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match=r"response_validation_function=.*<lambda>' cannot be imported"):
        job_of(tmp_path, validation=ResponseValidationConfig(lambda _: ValidationResult(success=True)))


def test_relative_paths_mean_the_same_in_every_process(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spec = job_of(tmp_path, job_uri="work/job", source_uri="rows.csv", output_uri="out.jsonl")

    assert [spec.job_uri, spec.source_uri, spec.output_uri] == [
        str(tmp_path / name) for name in ("work/job", "rows.csv", "out.jsonl")
    ]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"models": ()}, "models is empty"),
        ({"models": ({"name": "x"},)}, "models holds an entry with name"),
        ({"source_uri": "rows.txt"}, r"source='.*rows\.txt' does not tell its format"),
        ({"csv_delimiter": "||"}, r"csv_delimiter='\|\|' is not one character"),
        ({"request": {"messages": []}}, "request has 'messages'"),
        ({"request": {"temperature": 1}}, "request has 'temperature'"),
    ],
)
def test_settings_that_make_no_sense_are_refused_with_a_remedy(tmp_path, settings, said):
    with pytest.raises(ConfigurationError, match=said):
        job_of(tmp_path, **settings)


@pytest.mark.parametrize("settings", [{"on_bad_record": "ignore"}, {"dedupe": "perhaps"}, {"no_such_setting": 1}])
def test_values_of_the_wrong_kind_are_value_errors(tmp_path, settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        job_of(tmp_path, **settings)


def test_a_job_folder_that_this_process_does_not_see_says_so(tmp_path):
    with pytest.raises(ConfigurationError, match="file:// is not shared between machines"):
        JobSpec.load(str(tmp_path / "elsewhere"))


def test_a_job_json_that_describes_no_job_names_what_is_wrong(tmp_path):
    (tmp_path / "job.json").write_text(json.dumps({"job_uri": "/x", "models": 7}))

    with pytest.raises(ConfigurationError, match="models"):
        JobSpec.load(str(tmp_path))


def test_saving_the_same_again_leaves_the_file_alone(tmp_path):
    spec = job_of(tmp_path)
    spec.save()
    before = spec.folder.child("job.json").fingerprint()
    spec.save()

    assert spec.folder.child("job.json").fingerprint() == before


def test_what_json_cannot_hold_is_refused_by_its_place():
    with pytest.raises(RequestValidationError, match=r"requests\[1\] cannot be written as JSON"):
        request_rows([{"text": "a"}, {"text": object()}])
