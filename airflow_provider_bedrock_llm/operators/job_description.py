"""What `BedrockParallelOperator` was told, as the description of a job."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import conf

from airflow_provider_bedrock_llm.core.budget import Budget
from airflow_provider_bedrock_llm.core.config import ParallelProcessingConfig
from airflow_provider_bedrock_llm.core.errors import ConfigurationError
from airflow_provider_bedrock_llm.core.media_table import MediaKind
from airflow_provider_bedrock_llm.core.schema import OutputSchema
from airflow_provider_bedrock_llm.hooks.bedrock_llm import BedrockLLMHook
from airflow_provider_bedrock_llm.hooks.outcome import tags_of
from airflow_provider_bedrock_llm.hooks.sql_rows import query_of, sql_hook, stream_rows
from airflow_provider_bedrock_llm.jobs.job import JobSpec
from airflow_provider_bedrock_llm.jobs.shard import Shard, budget_share, fair_share
from airflow_provider_bedrock_llm.jobs.sink import Sink, TableSink
from airflow_provider_bedrock_llm.jobs.snapshot import SNAPSHOT_FORMAT, snapshot_uri, take_snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Context
    from pydantic import BaseModel

    from airflow_provider_bedrock_llm.operators.parallel import BedrockParallelOperator

__all__ = ["check_source", "describe_job", "is_from_database", "run_folder", "with_rows_of_database", "work_dir_of"]

_DEFAULT_CONCURRENCY = 50
_NOT_IN_A_PATH = re.compile(r"[/\\%?#\0]")


def describe_job(operator: BedrockParallelOperator, context: Context) -> JobSpec:
    """The job of a task instance.

    Raises:
        ValueError: an argument of the operator has a wrong value.
    """
    task_instance = context["ti"]
    shard = None if operator.shard is None else Shard(**operator.shard)
    parallel = operator.parallel_config or ParallelProcessingConfig(max_concurrent_requests=_DEFAULT_CONCURRENCY)
    job_uri = "/".join(
        [
            work_dir_of(operator.work_dir).rstrip("/"),
            task_instance.dag_id,
            run_folder(task_instance.run_id),
            task_instance.task_id,
            str(task_instance.map_index),
        ]
    )
    source_uri, source_format = operator.source, operator.source_format
    if is_from_database(operator):
        source_uri, source_format = snapshot_uri(job_uri, str(task_instance.id)), SNAPSHOT_FORMAT
    return JobSpec(
        job_uri=job_uri,
        **_who_answers(operator),
        prompt_template=operator.prompt,
        source_uri=source_uri,
        source_format=source_format,
        id_columns=_names(operator.id_column),
        keep_columns=_names(operator.keep_columns),
        system_template=operator.system,
        regions=tuple(operator.regions or ()),
        inference_config=operator.inference_config,
        output_schema=_portable(operator.output_schema),
        request=dict(operator.request_fields or {}),
        on_bad_record=operator.on_bad_record,
        answers_uri=_answers_uri(operator, task_instance),
        truncated=operator.truncated,
        budget=budget_share(Budget.of(operator.budget), shard),
        dedupe=operator.dedupe,
        parallel=fair_share(parallel, shard),
        retry=operator.retry_config,
        boto3=operator.boto3_config,
        validation=operator.response_validation_config,
        cache=operator.cache_config,
        bedrock_conn_id=operator.bedrock_conn_id,
        tags=tags_of(context),
        override_columns=dict(operator.override_columns or {}),
        media_columns=_media_columns(operator),
        media_as_s3_location=operator.media_as_s3_location,
        output_uri=operator.output_uri,
        sink=_sink_of(operator),
        shard=shard,
    )


def check_source(operator: BedrockParallelOperator) -> None:
    """Hold the arguments about the rows against each other.

    Raises:
        ConfigurationError: none of them is given or several are, or what one needs is missing.
    """
    sources = ("source", "requests", "sql", "table")
    given = [name for name in sources if getattr(operator, name) is not None]
    if len(given) != 1:
        raise ConfigurationError(
            "Give either `source` or `requests`, or the rows of a database by `sql` or `table`. "
            f"The task has {' and '.join(given) or 'none of them'}."
        )
    if given != ["requests"] and not operator.prompt:
        raise ConfigurationError(f"`{given[0]}` needs a `prompt` template. Give one over its columns.")
    if is_from_database(operator) and not operator.source_conn_id:
        raise ConfigurationError(f"`{given[0]}` needs `source_conn_id`. Name the Airflow connection to the database.")


def is_from_database(operator: BedrockParallelOperator) -> bool:
    """Whether a query gives the rows."""
    return operator.sql is not None or operator.table is not None


def with_rows_of_database(operator: BedrockParallelOperator, spec: JobSpec, token: str) -> JobSpec:
    """The job with its query's rows in its folder. Blocks while the query runs.

    Raises:
        ConfigurationError: the connection is not one to a database.
        SourceError: the database refuses the query, or a row holds what JSON cannot.
    """
    hook = sql_hook(str(operator.source_conn_id))
    query = query_of(operator.sql, operator.table, spec.id_columns)
    snapshot = take_snapshot(spec, token, lambda: stream_rows(hook, query))
    operator.log.info("The snapshot of the query has %d rows.", snapshot.rows)
    return replace(spec, source_uri=snapshot_uri(spec.job_uri, snapshot.token))


def _answers_uri(operator: BedrockParallelOperator, task_instance: Any) -> str | None:
    if operator.reuse == "run":
        return None
    if operator.reuse != "task":
        raise ValueError(f"reuse={operator.reuse!r} is not known; it is 'run' or 'task'")
    work_dir = work_dir_of(operator.work_dir).rstrip("/")
    return f"{work_dir}/{task_instance.dag_id}/_answers/{task_instance.task_id}/{task_instance.map_index}"


def run_folder(run_id: str) -> str:
    """The folder of a DAG run's jobs: its id, without what would lead a path elsewhere or end a URI's path early."""
    name = _NOT_IN_A_PATH.sub("_", run_id)
    return "_" if name in {"", ".", "..", "~"} else name


def work_dir_of(given: str | None) -> str:
    """Where jobs keep their folders: as given, else as Airflow's configuration says, else under AIRFLOW_HOME."""
    home = os.environ.get("AIRFLOW_HOME") or str(Path("~/airflow").expanduser())
    return given or conf.get("bedrock_llm", "work_dir", fallback="") or f"{home}/bedrock_llm"


def _sink_of(operator: BedrockParallelOperator) -> Sink:
    conn_id, table = operator.output_conn_id, operator.output_table
    return Sink(
        format=operator.output_format,
        partition_by=_names(operator.partition_by),
        failed_rows=operator.failed_rows,
        dead_letter_uri=operator.dead_letter_uri,
        table=TableSink(conn_id or "", table or "", operator.output_columns) if conn_id or table else None,
    )


def _who_answers(operator: BedrockParallelOperator) -> dict[str, Any]:
    """The models; or the candidates as they are now, so that a list that changes does not change the job under way."""
    if operator.candidates is None:
        models = operator.models or BedrockLLMHook(operator.bedrock_conn_id).get_available_models()
        return {"models": tuple(models)}
    hook = BedrockLLMHook(
        operator.bedrock_conn_id,
        models=operator.models,
        regions=operator.regions,
        retry_config=operator.retry_config,
        candidates=operator.candidates,
        routing=operator.routing,
    )
    return {
        "models": (),
        "candidates": tuple(candidate.to_dict() for candidate in hook.candidates),
        "routing": hook.router.routing.to_dict(),
    }


def _media_columns(operator: BedrockParallelOperator) -> dict[MediaKind, tuple[str, ...]]:
    columns = {
        MediaKind.IMAGE: _names(operator.image_column),
        MediaKind.DOCUMENT: _names(operator.document_column),
        MediaKind.VIDEO: _names(operator.video_column),
    }
    return {kind: names for kind, names in columns.items() if names}


def _names(columns: str | Sequence[str] | None) -> tuple[str, ...]:
    return (columns,) if isinstance(columns, str) else tuple(columns or ())


def _portable(schema: Mapping[str, Any] | type[BaseModel] | str | None) -> Mapping[str, Any] | str | None:
    """A pydantic class goes to job.json by its path, where another process can import it, else by its JSON Schema."""
    if not isinstance(schema, type):
        return schema
    path = f"{schema.__module__}:{schema.__qualname__}"
    importable = "<locals>" not in path and not schema.__module__.startswith(("unusual_prefix_", "__main__"))
    return path if importable else OutputSchema.of(schema).json_schema
