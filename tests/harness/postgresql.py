"""A PostgreSQL of our own for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg2
import pytest
from harness.airflow_processes import REPOSITORY  # noqa: F401 - it makes .tools importable
from sqlalchemy import make_url

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def postgresql() -> Iterator[dict[str, Any]]:
    """The parts of an Airflow connection to a server that lives as long as the module's tests."""
    from airflow_database import _postgresql_server

    with _postgresql_server() as server:
        url = make_url(server)
        yield {
            "conn_type": "postgres",
            "login": url.username,
            "password": url.password or "",
            "host": url.query.get("host") or url.host,
            "port": url.port,
            "schema": url.database,
        }


def run_sql(parts: dict[str, Any], *statements: str) -> None:
    """Change the database."""
    names = {"login": "user", "schema": "dbname"}
    settings = {names.get(name, name): value for name, value in parts.items() if name != "conn_type" and value}
    connection = psycopg2.connect(**settings)
    try:
        with connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
    finally:
        connection.close()
