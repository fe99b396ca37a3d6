"""`BedrockParallelOperator`: many rows through a prompt template, into a file, without ever losing a paid answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_bedrock_llm.hooks.bedrock_llm import BedrockLLMHook
from airflow_provider_bedrock_llm.operators.enrichment_task import EnrichmentTask

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import timedelta

    from pydantic import BaseModel

    from airflow_provider_bedrock_llm.core.budget import Budget
    from airflow_provider_bedrock_llm.core.cache_config import CacheConfig
    from airflow_provider_bedrock_llm.core.config import (
        Boto3Config,
        ParallelProcessingConfig,
        ResponseValidationConfig,
        RetryConfig,
    )
    from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest
    from airflow_provider_bedrock_llm.core.routing_rule import Routing

__all__ = ["BedrockParallelOperator"]


class BedrockParallelOperator(EnrichmentTask):
    """Enrich many rows: each goes through a prompt template to Bedrock, and the answers to one JSON line per row.

    The job is a folder under `work_dir`. A retry, a clear, a dead worker or triggerer go on where it was; only rows
    whose request changed, or that have no answer yet, are asked. The return value holds the output's URI, counts,
    tokens and cost; prompts and answers are in the folder alone.

    Args:
        source: the rows, as a local path or a URI of object storage: a CSV, JSONL or Parquet file, a pattern
            (`s3://bucket/in/*.parquet`) or a folder, whose files are read by name. Text may be compressed (`.gz`,
            `.zst`); Parquet and `.zst` need the extra `parquet`. Dates of Parquet are ISO text in a row, bytes base64
            text, lists and structs stay what they are. Templated.
        sql: a SELECT whose rows are the source; with `id_column` they come in its order. The worker streams them into
            the job's folder before the job starts, so triggerers need no database. Each try of the task takes them
            anew, and asks only for those that changed; while the job still runs elsewhere, its rows stay. A query
            without rows is a job that succeeds without any. Dates become ISO text, decimals numbers, bytes base64 text.
            Needs the extra `sql`. Templated, also from a `.sql` file.
        table: a table whose rows are the source, instead of `sql`. Templated.
        source_conn_id: the Airflow connection to the database of `sql` or `table`; any whose hook is a `DbApiHook`.
            Templated.
        requests: requests instead of `source` and `prompt`, for a few hundred at most.
        prompt: the user's message, a Jinja template over the row's columns, rendered per row and never by Airflow.
        system: the system prompt, likewise.
        id_column: the column or columns that name a row; None names it by its content.
        image_column: the column or columns whose cells hold images: a path (relative ones begin beside the source), a
            URI of object storage, base64 text (as bytes of Parquet and SQL are), or a list of these. They stand before
            the prompt, are read when their row is asked, and asked anew when they change. Whoever writes the rows
            chooses what is read, with this task's access.
        document_column: likewise for documents, such as PDF.
        video_column: likewise for videos.
        media_as_s3_location: name files in `s3://` to the model instead of sending them, where it reads S3 itself.
        override_columns: columns whose cells stand above the job's settings for their row:
            `{"model": "model_column", "max_tokens": ..., "temperature": ..., "system": ...}`. An empty cell leaves the
            job's; a row's model is asked alone, or several in order where the cell is a list.
        keep_columns: input columns that the output carries, or "*" for all.
        output_schema: JSON Schema, pydantic class at module level, or the dotted path of one, that answers must fit.
        output_uri: where the output goes; None for `output.jsonl` in the job's folder. Its name tells the format:
            `.jsonl`, `.csv` (each with `.gz` or `.zst` too) or `.parquet`. A folder with `partition_by` or `shard`.
            Templated.
        output_format: the format, where the name does not tell: `jsonl`, `csv`, `parquet`, `jsonl.gz`, ... Parquet and
            CSV have the columns `id`, the kept ones, the answer (a column per property of `output_schema`),
            `error_cause`, `error_message`, `stop_reason`, `model`, `region`, tokens, `cost_usd`. Types of the answer
            come from the schema, nested values are structs and lists in Parquet and JSON text in CSV.
        partition_by: columns (kept ones, or properties of the answer) that become folders, as in
            `country=DE/part-0000.parquet`. A rerun replaces all parts, and the mark `_SUCCESS` says that it is whole.
        failed_rows: `keep` rows without an answer in the output, with their error, or `drop` them from it.
        dead_letter_uri: a JSONL file for rows without an answer: their columns and the cause, message and attempts.
            Empty where none failed; one per shard. Templated.
        output_conn_id: an Airflow connection to a database, for `output_table`. Templated.
        output_table: a table that rows with an answer are upserted into, by the id columns, when the job has ended.
            If that fails, the task's next try repeats that alone. Templated.
        output_columns: the table's columns by those of the output; None for equal names. Then `id`, kept columns and
            the answer must be in the table; error, model, tokens and cost are written where it has such columns.
        accept_failures: the share of rows without an answer, 0.0 to 1.0, up to which the task succeeds; None for any
            share below all. Above it the output is written, the table is not, and a retry asks only those rows.
        retry_dead_letters: the job_uri or the dead letters of an earlier job: that job is run again as it was, asks
            only the rows without an answer, and its output is made anew, complete. Nothing else is given then but
            `accept_failures` and `deferrable`. Templated.
        shard: `{"index": 0, "of": 4}`, this task's part of the source, from `plan_shards` by
            `.partial(...).expand(shard=...)`. Rows are dealt by id. `budget`, and concurrency and `tokens_per_minute`
            of `parallel_config`, are those of all shards together, and shared out. Long jobs are best kept off the
            triggerers of other work: give the task a `queue`, set `[triggerer] queues_enabled`, and start triggerers
            with `--queues`.
        source_format: `csv`, `jsonl` or `parquet`, where the names do not tell.
        on_bad_record: `fail` before anything is spent, or `skip` and report in the output.
        dedupe: ask identical requests once.
        models: the models to ask, best first; None takes those of the connection. Templated.
        candidates: instead of `models`: a candidate list (itself, a file, a URI of object storage, or
            `variable://name`), of which `routing` chooses one for each row. The output then has the columns
            `candidate`, `routing_reason` and `seconds`. Templated.
        routing: the rule to choose by: a `Routing`, its fields, the name of a strategy, or the dotted path of a
            function; the cheapest that fits, if None.
        regions: the regions to call, best first; None takes those of the connection. Templated.
        inference_config: `maxTokens`, `temperature`, `topP`, `stopSequences`. A small `maxTokens` is faster: Bedrock
            reserves it against the quota.
        request_fields: further fields of `BedrockConverseRequest` for every row, such as `guardrail_config`.
        parallel_config: concurrency and failure policy; 50 at once, and go on when rows fail, if None.
        retry_config: retries and failover of one row; None takes those of the connection.
        boto3_config: network settings; None takes those of the connection.
        response_validation_config: a function, by its dotted path, that accepts or rejects answers.
        cache_config: how prompts are cached: what all rows have in common is written once and read by the rest.
        work_dir: where jobs keep their folders; None takes `[bedrock_llm] work_dir`. Templated.
        bedrock_conn_id: the Airflow connection. Templated.
        reuse: which answers count: those of this run of the task, or, with `task`, of its earlier runs too, so that a
            daily job pays for new and changed rows alone.
        truncated: what becomes of answers that were cut off at maxTokens: `keep`, `fail`, or `{"max_tokens": N}` to
            ask them alone once more with a larger limit.
        budget: the most that the job may spend, over all of its tries: US dollars, or `{"usd": ..., "tokens": ...}`.
            The task fails when it is spent; run again with a larger one, it pays only for the rest. Templated.
        estimate: say in the log, and as XCom `estimate`, what the job will take before anything is spent;
            `"count_tokens"` lets Bedrock count the tokens of a sample, where the model can, instead of guessing.
        mode: `on_demand`; `flex`, the cheaper and slower service tier; `batch`, AWS's batch jobs at half the price
            within a day, finished on demand; `auto` chooses once per job, before anything is spent, and says why in
            the log and as XCom `mode_plan`.
        deadline: for `auto`: how long the output may take; None for any time.
        least_saving_usd: for `auto`: what a slower mode has to save.
        approve_above_usd: where the estimate may come to more, or is not known, a person is asked first, through
            Airflow's required actions; the task waits without a worker.
        batch_role_arn: for batch jobs: the IAM role that Bedrock takes on; None takes the connection's. Templated.
        batch_s3_uri: for batch jobs: the folder in S3; None takes the connection's. Templated.
        batch_config: for batch jobs: the other fields of `BatchOptions`, such as `limits` and `finish_on_demand`.
        deferrable: wait in the triggerer; False runs the job on the worker.

    Raises:
        AirflowFailException: a retry of the task cannot help (bad input, no access, unknown model).
        AirflowException: a retry of the task may help; it pays only for what is missing.
    """

    template_fields: Sequence[str] = (
        "source",
        "sql",
        "table",
        "source_conn_id",
        "output_uri",
        "dead_letter_uri",
        "output_conn_id",
        "output_table",
        "retry_dead_letters",
        "work_dir",
        "models",
        "candidates",
        "regions",
        "budget",
        "bedrock_conn_id",
        "batch_role_arn",
        "batch_s3_uri",
    )
    template_ext: Sequence[str] = (".sql",)
    ui_color = "#e6f4ea"

    def __init__(  # noqa: PLR0915 - one line per argument
        self,
        *,
        source: str | None = None,
        sql: str | None = None,
        table: str | None = None,
        source_conn_id: str | None = None,
        requests: Iterable[BedrockConverseRequest | Mapping[str, Any]] | None = None,
        prompt: str | None = None,
        system: str | None = None,
        id_column: str | Sequence[str] | None = None,
        image_column: str | Sequence[str] | None = None,
        document_column: str | Sequence[str] | None = None,
        video_column: str | Sequence[str] | None = None,
        media_as_s3_location: bool = False,
        override_columns: Mapping[str, str] | None = None,
        keep_columns: str | Sequence[str] = (),
        output_schema: Mapping[str, Any] | type[BaseModel] | str | None = None,
        output_uri: str | None = None,
        output_format: str | None = None,
        partition_by: str | Sequence[str] = (),
        failed_rows: str = "keep",
        dead_letter_uri: str | None = None,
        output_conn_id: str | None = None,
        output_table: str | None = None,
        output_columns: Mapping[str, str] | None = None,
        accept_failures: float | None = None,
        retry_dead_letters: str | None = None,
        shard: Mapping[str, int] | None = None,
        source_format: str | None = None,
        on_bad_record: str = "fail",
        dedupe: bool = False,
        models: Sequence[str | Mapping[str, Any]] | None = None,
        candidates: Any = None,
        routing: Routing | Mapping[str, Any] | str | None = None,
        regions: Sequence[str] | None = None,
        inference_config: Mapping[str, Any] | None = None,
        request_fields: Mapping[str, Any] | None = None,
        parallel_config: ParallelProcessingConfig | None = None,
        retry_config: RetryConfig | None = None,
        boto3_config: Boto3Config | None = None,
        response_validation_config: ResponseValidationConfig | None = None,
        cache_config: CacheConfig | None = None,
        work_dir: str | None = None,
        bedrock_conn_id: str = BedrockLLMHook.default_conn_name,
        reuse: Literal["run", "task"] = "run",
        truncated: str | Mapping[str, int] = "keep",
        budget: Budget | float | Mapping[str, Any] | None = None,
        estimate: bool | Literal["count_tokens"] = True,
        mode: Literal["on_demand", "flex", "batch", "auto"] = "on_demand",
        deadline: timedelta | None = None,
        least_saving_usd: float = 1.0,
        approve_above_usd: float | None = None,
        batch_role_arn: str | None = None,
        batch_s3_uri: str | None = None,
        batch_config: Mapping[str, Any] | None = None,
        deferrable: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.sql = sql
        self.table = table
        self.source_conn_id = source_conn_id
        self.requests = requests
        self.prompt = prompt
        self.system = system
        self.id_column = id_column
        self.image_column = image_column
        self.document_column = document_column
        self.video_column = video_column
        self.media_as_s3_location = media_as_s3_location
        self.override_columns = override_columns
        self.keep_columns = keep_columns
        self.output_schema = output_schema
        self.output_uri = output_uri
        self.output_format = output_format
        self.partition_by = partition_by
        self.failed_rows = failed_rows
        self.dead_letter_uri = dead_letter_uri
        self.output_conn_id = output_conn_id
        self.output_table = output_table
        self.output_columns = output_columns
        self.accept_failures = accept_failures
        self.retry_dead_letters = retry_dead_letters
        self.shard = shard
        self.source_format = source_format
        self.on_bad_record = on_bad_record
        self.dedupe = dedupe
        self.models = models
        self.candidates, self.routing = candidates, routing
        self.regions = regions
        self.inference_config = inference_config
        self.request_fields = request_fields
        self.parallel_config = parallel_config
        self.retry_config = retry_config
        self.boto3_config = boto3_config
        self.response_validation_config = response_validation_config
        self.cache_config = cache_config
        self.work_dir = work_dir
        self.bedrock_conn_id = bedrock_conn_id
        self.reuse = reuse
        self.truncated = truncated
        self.budget = budget
        self.estimate = estimate
        self.mode = mode
        self.deadline = deadline
        self.least_saving_usd = least_saving_usd
        self.approve_above_usd = approve_above_usd
        self.batch_role_arn = batch_role_arn
        self.batch_s3_uri = batch_s3_uri
        self.batch_config = batch_config
        self.deferrable = deferrable
