"""What a job read and wrote, for OpenLineage. Needs the extra `openlineage`; only Airflow's listener asks for it."""

from __future__ import annotations

import contextlib
from glob import has_magic
from typing import TYPE_CHECKING, Any, ClassVar

import attr
from airflow.providers.openlineage.extractors import OperatorLineage
from airflow.providers.openlineage.sqlparser import DatabaseInfo, SQLParser
from openlineage.client.event_v2 import Dataset, InputDataset, OutputDataset
from openlineage.client.facet_v2 import RunFacet, output_statistics_output_dataset, sql_job

from airflow_provider_bedrock_llm.hooks.sql_rows import sql_hook
from airflow_provider_bedrock_llm.jobs.storage import absolute_uri

if TYPE_CHECKING:
    from airflow_provider_bedrock_llm.jobs.manifest import Manifest

__all__ = ["BedrockJobRunFacet", "dataset_name", "job_lineage"]

_SCHEMES = {"s3a": "s3", "s3n": "s3", "gcs": "gs"}
"""Schemes that OpenLineage knows under another name."""


@attr.define
class BedrockJobRunFacet(RunFacet):
    """How a job ended, in URIs and numbers: the run facet `bedrock_llm`.

    Args:
        state: succeeded, failed or stopped.
        jobUri: the job's folder.
        counts: of rows: total, done, succeeded, failed, skipped, reused.
        usage: tokens of the whole job, in Bedrock's names.
        costUsd: None where the price of something is unknown.
        knownCostUsd: what is known of the cost.
        throttled: calls that Bedrock throttled.
        failures: rows without an answer, by cause.
        routes: where answers came from: model id in region.
    """

    state: str
    jobUri: str  # noqa: N815 - OpenLineage names fields so
    counts: dict[str, int | None]
    usage: dict[str, int]
    costUsd: float | None  # noqa: N815
    knownCostUsd: float  # noqa: N815
    throttled: int
    failures: dict[str, int]
    routes: list[str]

    # Airflow masks what is named like a token.
    _additional_skip_redact: ClassVar[list[str]] = ["usage"]


def job_lineage(
    *,
    source_uri: str | None,
    source_query: tuple[str, str] | None,
    output_uri: str | None,
    dead_letter_uri: str | None,
    output_table: tuple[str, str] | None,
    manifest: Manifest | None = None,
) -> OperatorLineage:
    """Datasets and facets of a job.

    Args:
        source_uri: the file, pattern or folder that it reads.
        source_query: connection and SQL instead.
        output_uri: the output; None while it is not known.
        dead_letter_uri: the dead letters.
        output_table: connection and table that it writes.
        manifest: how it ended; None before.
    """
    inputs: list[Dataset] = [] if source_uri is None else [InputDataset(*dataset_name(source_uri))]
    job_facets: dict[str, Any] = {}
    if source_query is not None:
        inputs += _tables(*source_query)[0]
        job_facets["sql"] = sql_job.SQLJobFacet(query=source_query[1])
    uris = [uri for uri in (output_uri, dead_letter_uri) if uri is not None]
    outputs: list[Dataset] = [OutputDataset(*dataset_name(uri)) for uri in uris]
    if output_table is not None:
        conn_id, table = output_table
        outputs += _tables(conn_id, f"INSERT INTO {table} VALUES (1)")[1]  # noqa: S608 - parsed, never run
    run_facets: dict[str, Any] = {}
    if manifest is not None:
        run_facets["bedrock_llm"] = _run_facet(manifest)
        if manifest.output_uri is not None and outputs:
            rows = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(rowCount=manifest.counts.done)
            outputs[0] = OutputDataset(*dataset_name(manifest.output_uri), outputFacets={"outputStatistics": rows})
    return OperatorLineage(inputs=inputs, outputs=outputs, run_facets=run_facets, job_facets=job_facets)


def dataset_name(uri: str) -> tuple[str, str]:
    """Namespace and name by OpenLineage's rules. A pattern stands for the folder that holds its files."""
    scheme, separator, rest = absolute_uri(uri).partition("://")
    if not separator:
        return "file", _folder_of(scheme) or "/"
    place, _, path = rest.partition("/")
    bucket = place.rpartition("@")[2]  # Airflow's connection stands before it
    return f"{_SCHEMES.get(scheme, scheme)}://{bucket}", _folder_of(path).strip("/") or "/"


def _folder_of(path: str) -> str:
    parts = path.split("/")
    plain = next((at for at, part in enumerate(parts) if has_magic(part)), len(parts))
    return "/".join(parts[:plain])


def _run_facet(manifest: Manifest) -> BedrockJobRunFacet:
    summary = manifest.summary
    return BedrockJobRunFacet(
        state=summary.state,
        jobUri=summary.job_uri,
        counts=dict(summary.counts),
        usage=dict(summary.usage),
        costUsd=summary.cost_usd,
        knownCostUsd=summary.known_cost_usd,
        throttled=summary.throttled,
        failures=dict(summary.failures),
        routes=[route for route, numbers in manifest.routes.items() if numbers.get("succeeded")],
    )


def _tables(conn_id: str, sql: str) -> tuple[list[Dataset], list[Dataset]]:
    """The tables that a statement reads and writes, read from its text alone."""
    hook = sql_hook(conn_id)
    connection = hook.get_connection(conn_id)
    database, schema = hook.get_openlineage_database_info(connection), None
    if database is None:  # a database that OpenLineage has no rule for, such as SQLite
        port = f":{connection.port}" if connection.port else ""
        database = DatabaseInfo(scheme=connection.conn_type, authority=f"{connection.host or ''}{port}")
    else:
        # Some hooks ask the database, which may be away by now: then tables are named as the statement names them.
        with contextlib.suppress(Exception):
            schema = hook.get_openlineage_default_schema()
    dialect = hook.get_openlineage_database_dialect(connection)
    found = SQLParser(dialect, schema).parse(sql)
    namespace = SQLParser.create_namespace(database)

    def named(table: Any) -> str:
        name = ".".join(filter(None, (table.database or database.database, table.schema, table.name)))
        return name.upper() if database.is_uppercase_names else name

    return (
        [InputDataset(namespace, named(table)) for table in found.in_tables],
        [OutputDataset(namespace, named(table)) for table in found.out_tables],
    )
