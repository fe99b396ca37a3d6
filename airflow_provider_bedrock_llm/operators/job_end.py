"""What becomes of a job that has ended: log, XComs, table, asset events, lineage, and the task's outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset
from airflow.sdk.definitions.asset import AssetRef

from airflow_provider_bedrock_llm.core.errors import BudgetExceededError, JobStoppedError, LLMManagerError
from airflow_provider_bedrock_llm.hooks.enrichment import load_job
from airflow_provider_bedrock_llm.hooks.outcome import airflow_error
from airflow_provider_bedrock_llm.hooks.sql_rows import query_of
from airflow_provider_bedrock_llm.hooks.table_output import check_failures, write_table
from airflow_provider_bedrock_llm.operators.links import busiest_route

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.providers.openlineage.extractors import OperatorLineage
    from airflow.sdk import Context

    from airflow_provider_bedrock_llm.jobs.manifest import Manifest

__all__ = ["JobEnd"]


class JobEnd:
    """Part of `BedrockParallelOperator`."""

    if TYPE_CHECKING:
        accept_failures: float | None
        log: Any
        outlets: list[Any]
        source: str | None
        sql: str | None
        table: str | None
        source_conn_id: str | None
        output_uri: str | None
        dead_letter_uri: str | None
        output_conn_id: str | None
        output_table: str | None
        retry_dead_letters: str | None

    answered_by: tuple[str, str] | None = None
    """Model id and region of most answers, once there are some."""
    ended: Manifest | None = None
    """How the job ended, once it has."""

    def _finish(self, context: Context, manifest: Manifest) -> dict[str, Any]:
        """Say how it ended."""
        self.log.info("%s", manifest.closing_line)
        self.ended = manifest
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
            self._tell_assets(context, summary)
            return summary
        reason = manifest.error or "every row failed; the output says why"
        kind = BudgetExceededError if manifest.is_out_of_budget else JobStoppedError
        raise airflow_error(
            kind(
                f"The job {manifest.job_uri} {manifest.state} after {manifest.counts.done} rows: {reason}. "
                "What was answered is kept: mend the cause and run the task again to ask the rest."
            )
        )

    def _tell_assets(self, context: Context, summary: Mapping[str, Any]) -> None:
        """The events of the task's assets carry the summary to whoever is scheduled on them."""
        for outlet in self.outlets:
            if isinstance(outlet, Asset | AssetRef):
                context["outlet_events"][outlet].extra.update(summary)

    def get_openlineage_facets_on_start(self) -> OperatorLineage:
        """What the job will read and write, for OpenLineage."""
        return self._lineage()

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage:  # noqa: ARG002 - its shape
        """The same, with how the job ended."""
        return self._lineage()

    def get_openlineage_facets_on_failure(self, task_instance: Any) -> OperatorLineage:  # noqa: ARG002 - its shape
        """The same for a job that failed or was stopped."""
        return self._lineage()

    def _lineage(self) -> OperatorLineage:
        from airflow_provider_bedrock_llm.hooks.lineage import job_lineage  # noqa: PLC0415 - an extra

        ended = self.ended
        is_query = self.sql is not None or self.table is not None
        query = (str(self.source_conn_id), query_of(self.sql, self.table, ())) if is_query else None
        table = (str(self.output_conn_id), self.output_table) if self.output_table else None
        return job_lineage(
            source_uri=self.source or self.retry_dead_letters,
            source_query=query,
            output_uri=self.output_uri or (ended and ended.output_uri),
            dead_letter_uri=self.dead_letter_uri,
            output_table=table,
            manifest=ended,
        )
