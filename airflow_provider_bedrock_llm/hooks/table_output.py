"""The rows of a finished job into a table: upserted by key, in batches, again after a crash with the same result.

The worker does this when the job has ended. What was written is recorded in the job's folder, so that a retry after a
failed write asks Bedrock nothing and writes only. Rows without an answer are not written: what the table has for them
stays.
"""

from __future__ import annotations

import contextlib
import json
import re
from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.core.errors import ConfigurationError, JobStoppedError, OutputError
from airflow_provider_bedrock_llm.hooks.upsert import plan_upsert
from airflow_provider_bedrock_llm.jobs.columns import OWN_COLUMNS
from airflow_provider_bedrock_llm.jobs.intake import spec_fingerprint
from airflow_provider_bedrock_llm.jobs.manifest import Manifest
from airflow_provider_bedrock_llm.jobs.output import columns_of, read_rows

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterator, Mapping

    from airflow_provider_bedrock_llm.jobs.columns import Columns
    from airflow_provider_bedrock_llm.jobs.job import JobSpec
    from airflow_provider_bedrock_llm.jobs.sink import TableSink

__all__ = ["check_failures", "unwritten_table", "write_table"]

_RECORD_FILE = "table.json"
_ROWS_PER_BATCH = 1000
_QUOTED_VALUE = re.compile(r"""(?<=: )(?:".*|'.*(?= for column ))""", re.DOTALL)


def check_failures(manifest: Manifest, accepted: float | None) -> None:
    """Whether few enough rows are without an answer.

    Args:
        manifest: how the job ended.
        accepted: the share that may be, 0.0 to 1.0; None for any.

    Raises:
        JobStoppedError: there are too many.
    """
    counts = manifest.counts
    bad, total = counts.failed + counts.skipped, counts.total or 0
    if accepted is None or bad <= accepted * total:
        return
    causes = ", ".join(f"{cause} {count:,}" for cause, count in manifest.failures.items())
    raise JobStoppedError(
        f"{bad:,} of {total:,} rows have no answer ({causes}), which is more than accept_failures={accepted:g} lets "
        f"through; the output is {manifest.output_uri}. Mend the cause and run the task again: it asks only those rows."
    )


def unwritten_table(spec: JobSpec, accepted: float | None) -> Manifest | None:
    """How a job ended whose outcome was good, but whose table is not written yet; None where that is not so. Blocks.

    Args:
        spec: the job.
        accepted: as for `check_failures`.
    """
    manifest = Manifest.load(spec.folder)
    if spec.sink.table is None or manifest is None or manifest.state != "succeeded" or _is_written(spec):
        return None
    try:
        check_failures(manifest, accepted)
    except JobStoppedError:
        return None
    is_current = manifest.fingerprint == spec_fingerprint(spec) and spec.rows_file.exists()
    return manifest if is_current and manifest.counts.succeeded else None


def write_table(spec: JobSpec, log: logging.Logger | Any) -> None:
    """Upsert the answers into the table that the job names, unless that was done. Blocks.

    Raises:
        ConfigurationError: the connection is of no database, or the table lacks a column.
        OutputError: the database refused.
    """
    sink = spec.sink.table
    if sink is None or _is_written(spec):
        return
    try:
        count = _write(spec, sink)
    except (ConfigurationError, OutputError):
        raise
    except Exception as error:  # noqa: BLE001 - each driver has exceptions of its own
        raise OutputError(
            f"output_table={sink.table!r} in output_conn_id={sink.conn_id!r} cannot be written: "
            f"{type(error).__name__}: {_first_line(error)}. Mend it and run the task again: that pays nothing, it only "
            "writes."
        ) from None
    record = {"rows_file": spec.rows_file.fingerprint(), "table": sink.table, "conn_id": sink.conn_id, "rows": count}
    spec.folder.child(_RECORD_FILE).write(json.dumps(record).encode())
    log.info("%d rows were written to the table %s.", count, sink.table)


def _first_line(error: Exception) -> str:
    """Databases say what is wrong in the first line, and quote the row, which is no business of a log, in the next.

    A value that does not fit its column is quoted in the first one already: `for type integer: "so good"` says
    PostgreSQL, `Incorrect integer value: 'so good' for column 'stars'` MySQL.
    """
    text = str(error)
    return _QUOTED_VALUE.sub("...", text, count=1).partition("\n")[0]


def _is_written(spec: JobSpec) -> bool:
    """Whether these very rows are in this very table."""
    sink = spec.sink.table
    try:
        record = json.loads(spec.folder.child(_RECORD_FILE).read())
        fingerprint = spec.rows_file.fingerprint()
    except (OSError, ValueError):
        return False
    return sink is not None and (record["rows_file"], record["table"], record["conn_id"]) == (
        fingerprint,
        sink.table,
        sink.conn_id,
    )


def _write(spec: JobSpec, sink: TableSink) -> int:
    hook = _hook_of(sink)
    columns = columns_of(spec, read_rows(spec))
    count = 0
    with contextlib.closing(hook.get_conn()) as connection, contextlib.closing(connection.cursor()) as cursor:
        named = _named_columns(spec, sink, columns, _columns_of_table(cursor, sink.table))
        upsert = plan_upsert(hook, sink.table, list(named), [name for name in named if named[name][0] == "key"])
        rows = (tuple(flat[part] for part in named.values()) for flat in _answered(spec, columns))
        while batch := list(islice(rows, _ROWS_PER_BATCH)):
            for statement in upsert:
                cursor.executemany(statement.sql, [statement.values(row) for row in batch])
            connection.commit()
            count += len(batch)
    return count


def _columns_of_table(cursor: Any, table: str) -> set[str]:
    """Asked of the table itself: Airflow's dialects look elsewhere than where an unqualified name leads."""
    cursor.execute(f"SELECT * FROM {table} WHERE 1 = 0")  # noqa: S608 - as the DAG names it
    return {column[0] for column in cursor.description}


def _hook_of(sink: TableSink) -> Any:
    try:
        from airflow.providers.common.sql.hooks.sql import DbApiHook  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigurationError(
            f"output_table={sink.table!r} needs the common-sql provider. "
            "Install it with pip install 'airflow-provider-bedrock-llm[sql]', and the provider of your database."
        ) from error
    from airflow.providers.common.compat.sdk import AirflowException, BaseHook  # noqa: PLC0415

    connection = BaseHook.get_connection(sink.conn_id)
    try:
        hook = connection.get_hook()
    except AirflowException as error:
        raise ConfigurationError(
            f"output_conn_id={sink.conn_id!r} has the type {connection.conn_type!r}, which no hook is for: {error}. "
            f"Install apache-airflow-providers-{connection.conn_type}, or name another connection."
        ) from error
    if not isinstance(hook, DbApiHook):
        raise ConfigurationError(
            f"output_conn_id={sink.conn_id!r} is a connection of {type(hook).__name__}, which has no tables. "
            "Name a connection to a database."
        )
    return hook


_Part = tuple[str, str]
"""Where a value comes from: ("key", id column) or ("column", name in the output)."""


def _named_columns(spec: JobSpec, sink: TableSink, columns: Columns, found: set[str]) -> dict[str, _Part]:
    """The table's columns, each with where its value comes from, keys first.

    A single id column is looked for by its own name, then as `id`, which is its name in the output.
    """
    keys = spec.id_columns or ("id",)
    of_output = [name for name in (*columns.kept_names, *columns.answer_names) if name not in keys]
    names: Mapping[str, str] = sink.columns or {}
    if not names:
        of_output += [name for name in OWN_COLUMNS if name in found and name not in of_output and name not in keys]
    else:
        of_output = [name for name in columns.kinds if name in names and name not in keys]
    as_id = len(keys) == 1 and not names and keys[0] not in found and "id" in found
    named: dict[str, _Part] = {"id" if as_id else names.get(key, key): ("key", key) for key in keys}
    named |= {names.get(name, name): ("column", name) for name in of_output}
    lacking = [name for name in named if name.lower() not in {column.lower() for column in found}]
    if lacking:
        raise ConfigurationError(
            f"output_table={sink.table!r} has no column {lacking[0]!r}; it has: {', '.join(sorted(found)) or 'none'}. "
            "Add it, keep fewer columns, or say in output_columns which column of the output goes where."
        )
    return named


def _answered(spec: JobSpec, columns: Columns) -> Iterator[dict[_Part, Any]]:
    keys = spec.id_columns or ("id",)
    for row in read_rows(spec):
        if row["error"] is not None:
            continue
        flat: dict[_Part, Any] = {("column", name): value for name, value in columns.flatten(row).items()}
        parts = [row["id"]] if len(keys) == 1 else json.loads(row["id"])
        for key, part in zip(keys, parts, strict=True):
            flat["key", key] = flat.get(("column", key)) if key != "id" and key in columns.kept_names else part
        yield flat
