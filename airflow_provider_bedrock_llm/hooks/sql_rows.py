"""Rows of a database by any Airflow connection whose hook is a `DbApiHook`, a few at a time."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_bedrock_llm.core.errors import ConfigurationError, SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["query_of", "sql_hook", "stream_rows"]

_ROWS_AT_ONCE = 2_000
_CURSOR_NAME = "bedrock_llm_rows"
_SIMPLE_NAME = re.compile(r"[a-z_][a-z0-9_$]*|[A-Z_][A-Z0-9_$]*")
_OURS = frozenset({"ProgrammingError", "NotSupportedError", "DataError"})
"""PEP 249's names for a query that fails each time it runs. The others may pass, such as a database that is away."""


def sql_hook(conn_id: str) -> Any:
    """The hook of a connection.

    Raises:
        ConfigurationError: it is not one for SQL, or the extra `sql` is missing.
    """
    try:
        from airflow.providers.common.sql.hooks.sql import DbApiHook  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigurationError(
            "Rows of a database need the common.sql provider, which is not installed. "
            "Run: pip install 'airflow-provider-bedrock-llm[sql]', and the provider of the database."
        ) from error
    hook = BaseHook.get_connection(conn_id).get_hook()
    if not isinstance(hook, DbApiHook):
        raise ConfigurationError(
            f"source_conn_id={conn_id!r} is a connection for {type(hook).__name__}, which runs no SQL. "
            "Name a connection to a database."
        )
    return hook


def query_of(sql: str | None, table: str | None, key_columns: Sequence[str]) -> str:
    """The query for all rows, in the order of their key: a query that gives the same rows gives the same snapshot.

    Args:
        sql: a SELECT, or
        table: a table's name, as it is written in SQL.
        key_columns: the columns that name a row; none for the order of the query.
    """
    query = f"SELECT * FROM {table}" if sql is None else sql.strip().rstrip("; \n")  # noqa: S608 - the DAG's author
    if not key_columns:
        return query
    rows = f"SELECT * FROM ({query}) bedrock_llm_rows" if sql is not None else query  # noqa: S608 - as above
    return f"{rows} ORDER BY {', '.join(map(_quoted, key_columns))}"


def stream_rows(hook: Any, sql: str) -> Iterator[dict[str, Any]]:
    """The rows of a query by column name. Memory holds a few thousand of them.

    Args:
        hook: a `DbApiHook`.
        sql: the query.

    Raises:
        SourceError: the database refuses the query, or two columns have one name.
    """
    with contextlib.closing(hook.get_conn()) as connection, contextlib.closing(_cursor(connection)) as cursor:
        with _as_source_error():
            cursor.execute(sql)
            rows = cursor.fetchmany(_ROWS_AT_ONCE)
        names = _names(cursor.description)
        while rows:
            for row in rows:
                yield dict(zip(names, row, strict=True))
            with _as_source_error():
                rows = cursor.fetchmany(_ROWS_AT_ONCE)


def _cursor(connection: Any) -> Any:
    """A cursor whose rows stay on the server. Drivers that are not named here stream by themselves."""
    driver = type(connection).__module__.partition(".")[0]
    if driver in {"psycopg", "psycopg2"}:
        return connection.cursor(_CURSOR_NAME)
    if driver == "MySQLdb":
        from MySQLdb.cursors import SSCursor  # noqa: PLC0415 - whoever has the connection has the driver

        return connection.cursor(SSCursor)
    return connection.cursor()


def _names(description: Sequence[Sequence[Any]] | None) -> list[str]:
    if description is None:
        raise SourceError("The query gives no rows. Give a SELECT.")
    names = [str(column[0]) for column in description]
    repeated = next((name for index, name in enumerate(names) if name in names[:index]), None)
    if repeated is not None:
        raise SourceError(f"The query gives two columns named {repeated!r}. Rename one of them with AS.")
    return names


def _quoted(name: str) -> str:
    """Databases fold names that are not quoted to one case, so only those of mixed case need quotes."""
    if _SIMPLE_NAME.fullmatch(name):
        return name
    return '"' + name.replace('"', '""') + '"'


@contextlib.contextmanager
def _as_source_error() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if not _OURS & {kind.__name__ for kind in type(error).__mro__}:
            raise
        raise SourceError(
            f"The database refuses the query: {type(error).__name__}: {error}. Correct `sql`, `table` or `id_column`."
        ) from error
