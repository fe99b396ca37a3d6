"""`BedrockParallelOperator`: many rows through a prompt template, into a file, without ever losing a paid answer."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.common.compat.sdk import BaseOperator, conf

from airflow_provider_bedrock_llm.core.errors import (
    BudgetExceededError,
    ConfigurationError,
    JobStoppedError,
    LLMManagerError,
)
from airflow_provider_bedrock_llm.hooks.bedrock_llm import BedrockLLMHook
from airflow_provider_bedrock_llm.hooks.ending import stop_if_ended
from airflow_provider_bedrock_llm.hooks.enrichment import load_job, open_hook, run_enrichment
from airflow_provider_bedrock_llm.hooks.estimate import check_prices
from airflow_provider_bedrock_llm.hooks.outcome import BedrockTaskError, airflow_error, airflow_failure
from airflow_provider_bedrock_llm.hooks.table_output import check_failures, unwritten_table, write_table
from airflow_provider_bedrock_llm.jobs.dead_letters import job_of_dead_letters
from airflow_provider_bedrock_llm.jobs.manifest import Manifest
from airflow_provider_bedrock_llm.jobs.question import request_rows
from airflow_provider_bedrock_llm.jobs.runner import finished_manifest
from airflow_provider_bedrock_llm.jobs.storage import open_location
from airflow_provider_bedrock_llm.operators.before_spending import before_spending, take_answer
from airflow_provider_bedrock_llm.operators.job_description import (
    check_source,
    describe_job,
    is_from_database,
    with_rows_of_database,
)
from airflow_provider_bedrock_llm.operators.job_mode import (
    with_mode,
)
from airflow_provider_bedrock_llm.operators.links import (
    JOB_URI_KEY,
    BedrockJobLink,
    BedrockModelLink,
    busiest_route,
    job_page,
)
from airflow_provider_bedrock_llm.triggers.parallel import BedrockParallelTrigger

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import timedelta

    from airflow.sdk import Context
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
    from airflow_provider_bedrock_llm.jobs.job import JobSpec

__all__ = ["BedrockParallelOperator"]

_SECTION = "bedrock_llm"
_LOG_EVERY_SECONDS = 5.0


class BedrockParallelOperator(BaseOperator):
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
            anew, and asks only for those that changed; while the job still runs elsewhere, its rows stay. Dates become
            ISO text, decimals numbers, bytes base64 text. Needs the extra `sql`. Templated, also from a `.sql` file.
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
    operator_extra_links = (BedrockJobLink(), BedrockModelLink())
    answered_by: tuple[str, str] | None = None
    """Model id and region of most answers, once there are some."""
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
        self._stop: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        """Write down the job, then run it here or wait for it in the triggerer."""
        token = str(context["ti"].id)
        try:
            spec, hook = self._describe(context)
            context["ti"].xcom_push(JOB_URI_KEY, spec.job_uri)
            context["ti"].xcom_push(BedrockJobLink().xcom_key, job_page(context["ti"]))
            manifest = finished_manifest(spec, token) or unwritten_table(spec, self.accept_failures)
            if manifest is None:
                spec = before_spending(self, context, spec, hook)
            if manifest is None and not self.deferrable:
                manifest = asyncio.run(self._run_here(spec, hook, context["ti"]))
        except LLMManagerError as error:
            raise airflow_error(error) from error
        if manifest is not None:
            return self._finish(context, manifest)
        self._defer(spec, token)
        return {}  # never reached: deferring raises

    def execute_complete(self, context: Context, event: Mapping[str, Any]) -> dict[str, Any]:
        """Take what the trigger reports: a status and the job's URI; everything else is in the manifest."""
        if event["status"] == "error":
            raise airflow_failure(event["error"], retry_helps=event["retry_helps"])
        manifest = Manifest.load(open_location(event["job_uri"], "work_dir"))
        if manifest is None:
            raise BedrockTaskError(
                f"The manifest of {event['job_uri']} cannot be read from this worker. Check that workers and "
                "triggerers see the same `work_dir`."
            )
        return self._finish(context, manifest)

    def on_kill(self) -> None:
        """Start nothing more; what is under way is awaited and kept."""
        if self._stop is not None:
            loop, event = self._stop
            loop.call_soon_threadsafe(event.set)

    def _describe(self, context: Context) -> tuple[JobSpec, BedrockLLMHook]:
        """The job, checked as far as that costs nothing, in its folder."""
        if self.accept_failures is not None and not 0 <= self.accept_failures <= 1:
            raise ConfigurationError(
                f"accept_failures={self.accept_failures!r} is no share. Give 0.0 to 1.0: 0.01 accepts one row in 100."
            )
        if self.retry_dead_letters is not None:
            spec = self._described_before(self.retry_dead_letters)
            return spec, open_hook(spec)
        check_source(self)
        try:
            spec = self._spec(context)
        except ValueError as error:
            raise ConfigurationError(
                f"The job cannot be described: {error}. Correct the operator's arguments."
            ) from error
        hook = open_hook(spec)
        hook.plan()
        check_prices(spec, hook)
        if is_from_database(self):
            spec = with_rows_of_database(self, spec, str(context["ti"].id))
        if self.requests is not None:
            spec.keep_requests(request_rows(self.requests))
        spec.save()
        return spec, hook

    def _spec(self, context: Context) -> JobSpec:
        spec = describe_job(self, context)
        return spec if self.mode == "on_demand" else with_mode(self, spec, open_hook(spec))

    def _described_before(self, uri: str) -> JobSpec:
        """The job of the dead letters, with everything that it asked."""
        given = [
            name
            for name in ("source", "sql", "table", "requests", "prompt", "shard", "output_uri")
            if getattr(self, name)
        ]
        if given:
            raise ConfigurationError(
                f"`retry_dead_letters` runs an earlier job as it was, so {given[0]!r} has no meaning beside it. "
                "Leave it out; or give the dead letters as `source`, to ask those rows something else."
            )
        return load_job(job_of_dead_letters(uri))

    def execute_approved(self, context: Context, event: Mapping[str, Any]) -> dict[str, Any]:
        """Go on after a person has answered."""
        try:
            take_answer(*self._describe(context), event)
        except LLMManagerError as error:
            raise airflow_error(error) from error
        return self.execute(context)

    async def _run_here(self, spec: JobSpec, hook: BedrockLLMHook, task_instance: Any) -> Manifest:
        stop = asyncio.Event()
        self._stop = (asyncio.get_running_loop(), stop)
        logged_at = time.monotonic()

        def log_now_and_then(manifest: Manifest) -> None:
            nonlocal logged_at
            if time.monotonic() - logged_at >= _LOG_EVERY_SECONDS:
                logged_at = time.monotonic()
                self.log.info("%s", manifest.progress_line)

        await hook.prefetch()
        manifest = await run_enrichment(
            spec,
            hook,
            stop=stop,
            token=str(task_instance.id),
            on_progress=log_now_and_then,
            drain_seconds=conf.getfloat(_SECTION, "drain_seconds", fallback=8.0),
        )
        if stop.is_set() and spec.batch is not None:
            await stop_if_ended(task_instance, hook, spec.job_uri)
        return manifest

    def _defer(self, spec: JobSpec, token: str) -> None:
        drain_seconds = conf.getfloat(_SECTION, "drain_seconds", fallback=8.0)
        seconds = self.execution_timeout.total_seconds() if self.execution_timeout else None
        trigger = BedrockParallelTrigger(
            job_uri=spec.job_uri,
            token=token,
            # Airflow does not count execution_timeout while a task is deferred (apache/airflow#69678).
            deadline=time.time() + seconds if seconds else None,
            drain_seconds=drain_seconds,
            max_in_flight=conf.getint(_SECTION, "max_in_flight_per_process", fallback=200),
        )
        self.log.info("The job %s goes on in the triggerer.", spec.job_uri)
        self.defer(
            trigger=trigger,
            method_name="execute_complete",
            timeout=seconds + 2 * drain_seconds + 60 if seconds else None,
        )

    def _finish(self, context: Context, manifest: Manifest) -> dict[str, Any]:
        """Say how it ended, in the log, in XComs, and as the task's outcome."""
        self.log.info("%s", manifest.closing_line)
        self.answered_by = busiest_route(manifest.routes)
        summary = manifest.summary.to_dict()
        task_instance = context["ti"]
        for name in ("output_uri", "counts", "usage", "cost_usd"):
            task_instance.xcom_push(name, summary[name])
        if manifest.state == "succeeded" and (manifest.counts.succeeded or not manifest.counts.failed):
            try:
                check_failures(manifest, self.accept_failures)
                write_table(load_job(manifest.job_uri), self.log)
            except LLMManagerError as error:
                raise airflow_error(error) from error
            return summary
        reason = manifest.error or "every row failed; the output says why"
        kind = BudgetExceededError if manifest.is_out_of_budget else JobStoppedError
        raise airflow_error(
            kind(
                f"The job {manifest.job_uri} {manifest.state} after {manifest.counts.done} rows: {reason}. "
                "What was answered is kept: mend the cause and run the task again to ask the rest."
            )
        )
