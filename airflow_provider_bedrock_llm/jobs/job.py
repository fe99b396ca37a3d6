"""What a job is to do, as a value: it goes to job.json, and nothing in it is secret."""

from __future__ import annotations

import re
from collections.abc import Mapping  # noqa: TC003 - pydantic reads the annotations
from dataclasses import field, fields, replace
from glob import has_magic
from typing import Any, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from airflow_provider_bedrock_llm.core.batch_options import BatchOptions  # noqa: TC001 - pydantic reads the annotations
from airflow_provider_bedrock_llm.core.budget import Budget  # noqa: TC001 - pydantic reads the annotations
from airflow_provider_bedrock_llm.core.cache_config import CacheConfig  # noqa: TC001 - pydantic reads the annotations
from airflow_provider_bedrock_llm.core.config import (
    Boto3Config,
    ParallelProcessingConfig,
    ResponseValidationConfig,
    RetryConfig,
)
from airflow_provider_bedrock_llm.core.errors import ConfigurationError
from airflow_provider_bedrock_llm.core.media_table import MediaKind  # noqa: TC001 - pydantic reads the annotations
from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest
from airflow_provider_bedrock_llm.jobs.output_folder import mark_name
from airflow_provider_bedrock_llm.jobs.output_format import OutputFormat
from airflow_provider_bedrock_llm.jobs.shard import Shard, ShardOfSource
from airflow_provider_bedrock_llm.jobs.sink import Sink
from airflow_provider_bedrock_llm.jobs.source import Source
from airflow_provider_bedrock_llm.jobs.source_files import FORMATS, format_of, may_name_several
from airflow_provider_bedrock_llm.jobs.storage import Location, absolute_uri, open_location

__all__ = ["ALL_COLUMNS", "JobSpec"]

ALL_COLUMNS = "*"
"""As `keep_columns`: every column of the input goes to the output."""

_JOB_FILE = "job.json"
_REQUESTS_FILE = "requests.jsonl"
_OUTPUT_NAME = "output"
_ROWS_FILE = "rows.jsonl"
_MOST_TAGS = 16
_LONGEST_TAG_CHARACTERS = 256
_NOT_IN_A_TAG = re.compile(r"[^a-zA-Z0-9\s:_@$#=/+,.-]")
_OF_THE_RECORD = frozenset(
    {"messages", "request_id", "priority", "prompt_variables", "inference_config", "request_metadata", "models"}
)
_MODEL_MEMBERS = frozenset({"model", "region", "inference_config"})


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class JobSpec:
    """An enrichment job.

    Args:
        job_uri: the job's folder. Local paths are made absolute: processes differ in their working directory.
        models: the models that may answer, best first: an id, ARN or name of the catalog, or
            `{"model": ..., "region": ..., "inference_config": {...}}`.
        prompt_template: Jinja source of the user message. None where each row is a whole request (`messages`, ...).
        source_uri: the input: a file, a pattern (`*.parquet`) or a folder. None for requests that were given inline;
            those are kept in the job's folder.
        source_format: `jsonl`, `csv` or `parquet`; None to tell from the names of the files.
        csv_delimiter: what separates the columns of a CSV file.
        id_columns: the columns that name a row; none to name it by a hash of what it holds.
        keep_columns: the input columns that the output carries; `("*",)` for all.
        system_template: Jinja source of the system prompt.
        regions: the regions that may be called, best first.
        inference_config: `maxTokens`, `temperature`, `topP`, `stopSequences`, for every request.
        output_schema: what answers must fit: a JSON Schema, or the dotted path of one or of a pydantic class.
        request: further fields of `BedrockConverseRequest` for every request, such as `guardrail_config`.
        on_bad_record: `fail` before anything is spent, or `skip` and report in the output.
        truncated: what becomes of answers that were cut off at maxTokens: `keep` them, let their records `fail`, or
            `{"max_tokens": N}` to ask them, and them alone, once more with that limit.
        answers_uri: where the runs of the task share their answers; None where each run has its own alone.
        budget: the most that the job may spend, over all its runners.
        dedupe: whether records that ask the very same are asked once.
        parallel: concurrency and failure policy.
        retry: retries and failover; None for those of the connection.
        boto3: network settings; None for those of the connection.
        validation: a function, by its dotted path, that accepts or rejects answers.
        cache: how prompts are cached; it does not change what is asked, so answers stay valid when it changes.
        bedrock_conn_id: the Airflow connection; its secrets stay there.
        tags: who asks (dag, run, task); they go with every call as `requestMetadata`. AWS takes 16.
        output_uri: where the output goes; None for `output.jsonl` in the job's folder.
        candidates: instead of `models`: a candidate list, filled from the catalog, of which `routing` chooses one for
            each record.
        routing: the rule to choose by, as `Routing.to_dict` has it.
        operation: `converse`, or `embed`: then the rendered template is the text to embed, and the request's
            `additional_model_request_fields` are the `EmbeddingSettings`.
        batch: role, place and limits of AWS batch jobs, which then answer what they can; None asks on demand.
        sink: what the output looks like, and where else rows go.
        override_columns: by setting (`model`, `max_tokens`, `temperature`, `system`), the column whose cell stands
            above the job's own for its row.
        media_columns: by kind (`image`, `document`, `video`), the columns whose cells hold files: a path or URI, base64
            text, or a list of these.
        media_as_s3_location: whether files in `s3://` are named to the model instead of sent.
        shard: which part of the source this job takes; None for all. The output is a folder then.

    Raises:
        ConfigurationError: settings that contradict each other.
        ValueError: a value of the wrong type.
    """

    job_uri: str
    models: tuple[str | Mapping[str, Any], ...]
    prompt_template: str | None = None
    source_uri: str | None = None
    source_format: Literal["jsonl", "csv", "parquet"] | None = None
    csv_delimiter: str = ","
    id_columns: tuple[str, ...] = ()
    keep_columns: tuple[str, ...] = ()
    system_template: str | None = None
    regions: tuple[str, ...] = ()
    inference_config: Mapping[str, Any] | None = None
    output_schema: Mapping[str, Any] | str | None = None
    request: Mapping[str, Any] = field(default_factory=dict)
    on_bad_record: Literal["fail", "skip"] = "fail"
    truncated: Literal["keep", "fail"] | Mapping[str, int] = "keep"
    answers_uri: str | None = None
    budget: Budget | None = None
    dedupe: bool = False
    parallel: ParallelProcessingConfig = field(default_factory=ParallelProcessingConfig)
    retry: RetryConfig | None = None
    boto3: Boto3Config | None = None
    validation: ResponseValidationConfig | None = None
    cache: CacheConfig | None = None
    bedrock_conn_id: str = "bedrock_llm_default"
    tags: Mapping[str, str] = field(default_factory=dict)
    output_uri: str | None = None
    operation: Literal["converse", "embed"] = "converse"
    batch: BatchOptions | None = None
    sink: Sink = field(default_factory=Sink)
    shard: Shard | None = None
    override_columns: Mapping[Literal["model", "max_tokens", "temperature", "system"], str] = field(
        default_factory=dict
    )
    media_columns: Mapping[MediaKind, tuple[str, ...]] = field(default_factory=dict)
    media_as_s3_location: bool = False
    candidates: tuple[Mapping[str, Any], ...] = ()
    routing: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        for name in ("job_uri", "source_uri", "output_uri", "answers_uri"):
            uri = getattr(self, name)
            if uri is not None:
                object.__setattr__(self, name, absolute_uri(uri))
        if self.source_uri is None and not self.id_columns:
            object.__setattr__(self, "id_columns", ("request_id",))
        if self.retry is not None:
            object.__setattr__(self, "retry", _portable_retry(self.retry))
        if self.validation is not None:
            object.__setattr__(self, "validation", _portable_validation(self.validation))
        self._check_who_answers()
        source = self.source_uri
        if source and not self.source_format and not format_of(source) and not may_name_several(source):
            raise ConfigurationError(
                f"The name of source={source!r} does not tell its format. "
                f"Set source_format to one of {', '.join(FORMATS)}."
            )
        if len(self.csv_delimiter) != 1:
            raise ConfigurationError(
                f"csv_delimiter={self.csv_delimiter!r} is not one character. Give one, such as ';'."
            )
        if self.batch is not None and self.budget is not None:
            raise ConfigurationError(
                f"budget={self.budget} cannot be kept by batch jobs, which AWS bills as a whole. "
                "Leave the budget out, or set mode='on_demand'."
            )
        if not isinstance(self.truncated, str) and not (
            self.truncated.keys() == {"max_tokens"} and self.truncated["max_tokens"] > 0
        ):
            raise ConfigurationError(
                f"truncated={self.truncated!r} is not known. Set it to 'keep', 'fail' or {{'max_tokens': N}}."
            )
        self._check_request()
        self._check_partitions()
        self._check_columns_of_settings()

    def _check_who_answers(self) -> None:
        if self.batch is not None and self.candidates:
            raise ConfigurationError(
                "batch and candidates are both given, and a batch job has one model. Give `models`, or ask on demand."
            )
        if not self.models and not self.candidates:
            raise ConfigurationError("models is empty. Name at least one model that may answer, or give candidates.")
        for model in self.models:
            self._check_model(model)

    @staticmethod
    def _check_model(model: str | Mapping[str, Any]) -> None:
        if isinstance(model, str):
            return
        unknown = sorted(set(model) - _MODEL_MEMBERS)
        if unknown or "model" not in model:
            raise ConfigurationError(
                f"models holds an entry with {', '.join(sorted(model)) or 'nothing'}. "
                "Give a name, or 'model' with, if wanted, 'region' and 'inference_config'."
            )

    def _check_request(self) -> None:
        allowed = {f.name for f in fields(BedrockConverseRequest)} - _OF_THE_RECORD
        unknown = sorted(set(self.request) - allowed)
        if unknown:
            raise ConfigurationError(
                f"request has {unknown[0]!r}, which is no field that all requests can share. "
                f"It may have: {', '.join(sorted(allowed))}."
            )

    def _check_columns_of_settings(self) -> None:
        """Files and settings of rows join a rendered prompt, in calls on demand."""
        for name in ("override_columns", "media_columns"):
            if not getattr(self, name):
                continue
            if self.prompt_template is None:
                raise ConfigurationError(f"{name} needs a prompt_template: rows that are requests say all themselves.")
            if self.operation == "embed" or self.batch is not None:
                raise ConfigurationError(
                    f"{name} is for prompts that are asked on demand, not for embeddings or batch jobs. Leave it out."
                )

    def _check_partitions(self) -> None:
        """A property of the answer is known by the schema, which another process may have to import."""
        if self.output_schema is not None or ALL_COLUMNS in self.keep_columns:
            return
        known = {*self.keep_columns, "model", "region", "stop_reason"}
        unknown = [column for column in self.sink.partition_by if column not in known]
        if unknown:
            raise ConfigurationError(
                f"partition_by names {unknown[0]!r}, which the output does not have. Name it in keep_columns too."
            )

    @property
    def folder(self) -> Location:
        """The job's folder."""
        return open_location(self.job_uri, "work_dir")

    @property
    def output(self) -> Location:
        """The output: a file, or a folder of parts."""
        if self.output_uri is None:
            return self.folder.child(
                _OUTPUT_NAME if self.output_is_a_folder else f"{_OUTPUT_NAME}.{self.output_format.suffix}"
            )
        return open_location(self.output_uri, "output")

    @property
    def output_format(self) -> OutputFormat:
        """As it was given, else as the output's name tells."""
        return self.sink.format_for(self.output_uri)

    @property
    def output_is_a_folder(self) -> bool:
        """Partitions are folders, and shards put their parts side by side."""
        return bool(self.sink.partition_by) or (self.shard is not None and self.output_uri is not None)

    @property
    def output_mark(self) -> Location:
        """The file whose presence says that the output is whole."""
        return self.output.child(mark_name(self.shard)) if self.output_is_a_folder else self.output

    @property
    def rows_are_the_output(self) -> bool:
        """Whether the output is a plain file with a JSON line for every record."""
        is_plain = self.output_format == OutputFormat("jsonl") and self.sink.failed_rows == "keep"
        return is_plain and not self.output_is_a_folder

    @property
    def rows_file(self) -> Location:
        """A JSON line for every record of the finished job."""
        return self.output if self.rows_are_the_output else self.folder.child(_ROWS_FILE)

    @property
    def source(self) -> Source | ShardOfSource:
        """The input, or this shard's part of it."""
        whole = self._whole_source
        return whole if self.shard is None else ShardOfSource(whole, self.shard, self.id_columns)

    @property
    def reads_query(self) -> bool:
        """Whether the rows are a query's, kept in the job's folder. A day without new rows is no mistake then."""
        return self.source_uri is not None and self.source_uri.startswith(f"{self.job_uri}/")

    @property
    def source_folder_uri(self) -> str | None:
        """Where relative paths in rows begin: beside the source. None for rows that come from elsewhere."""
        if self.source_uri is None or self.reads_query:
            return None
        is_folder = format_of(self.source_uri) is None and may_name_several(self.source_uri)
        return self.source_uri.rstrip("/") if is_folder and not has_magic(self.source_uri) else _parent(self.source_uri)

    @property
    def _whole_source(self) -> Source:
        if self.source_uri is None:
            return Source(self.folder.child(_REQUESTS_FILE), "jsonl")
        return Source(open_location(self.source_uri, "source"), self.source_format, self.csv_delimiter)

    @property
    def request_metadata(self) -> dict[str, str]:
        """The tags as AWS takes them: 16 at most, 256 characters each, of a small alphabet."""
        tags = list(self.tags.items())[:_MOST_TAGS]
        return {
            _NOT_IN_A_TAG.sub("_", key)[:_LONGEST_TAG_CHARACTERS]: _NOT_IN_A_TAG.sub("_", value)[
                :_LONGEST_TAG_CHARACTERS
            ]
            for key, value in tags
        }

    def to_json(self) -> bytes:
        """As job.json holds it."""
        return _ADAPTER.dump_json(self, indent=2)

    @classmethod
    def from_json(cls, data: bytes | str) -> JobSpec:
        """The reverse of `to_json`.

        Raises:
            ConfigurationError: it is not the description of a job.
        """
        try:
            return _ADAPTER.validate_json(data)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or _JOB_FILE
            raise ConfigurationError(
                f"{_JOB_FILE} does not describe a job: {where}: {first['msg']}. Start the task again to write it anew."
            ) from error

    def save(self) -> None:
        """Write job.json, if it does not say the same already.

        Raises:
            OutputError: the job's folder cannot be written.
        """
        _write_if_new(self.folder.child(_JOB_FILE), self.to_json())

    @classmethod
    def load(cls, job_uri: str) -> JobSpec:
        """Read job.json of a job's folder.

        Raises:
            ConfigurationError: there is none, or it is none.
        """
        place = open_location(job_uri, "work_dir").child(_JOB_FILE)
        try:
            return cls.from_json(place.read())
        except FileNotFoundError as error:
            raise ConfigurationError(
                f"{place.uri!r} does not exist. Check that this process sees the same work_dir as the one that started "
                "the job: file:// is not shared between machines."
            ) from error

    def keep_requests(self, requests: list[bytes]) -> None:
        """Write requests that were given inline to requests.jsonl, one JSON object each.

        Raises:
            OutputError: the job's folder cannot be written.
        """
        _write_if_new(self.folder.child(_REQUESTS_FILE), b"".join(line + b"\n" for line in requests))


_ADAPTER = TypeAdapter(JobSpec)


def _parent(uri: str) -> str:
    """The folder of a file, or the one that a pattern begins in."""
    parts = uri.split("/")
    plain = next((index for index, part in enumerate(parts) if has_magic(part)), len(parts) - 1)
    return "/".join(parts[:plain])


def _portable_retry(retry: RetryConfig) -> RetryConfig:
    """Exception classes by their names, which is all that the engine compares."""
    names = tuple(error if isinstance(error, str) else error.__name__ for error in retry.retryable_errors)
    return replace(retry, retryable_errors=names)


def _portable_validation(validation: ResponseValidationConfig) -> ResponseValidationConfig:
    """A function by its dotted path: whoever goes on with the job is another process."""
    function = validation.response_validation_function
    if isinstance(function, str):
        return validation
    path = f"{getattr(function, '__module__', '')}:{getattr(function, '__qualname__', '')}"
    if "<" in path or path.startswith((":", "__main__")) or path.endswith(":"):
        raise ConfigurationError(
            f"response_validation_function={path!r} cannot be imported by another process, which a job needs. "
            "Put it at the top level of a module, or give its dotted path as 'package.module:function'."
        )
    return replace(validation, response_validation_function=path)


def _write_if_new(place: Location, data: bytes) -> None:
    """Another runner may be reading it: a file that says the same is left alone."""
    try:
        if place.read() == data:
            return
    except OSError:
        pass
    place.write(data)
