"""A real Airflow as processes, for tests that kill them; and the search for what must not be found.

The stack itself lives in .tools, where the demo takes it from.
"""

import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]

sys.path.insert(0, str(REPOSITORY / ".tools"))

from airflow_stack import AirflowStack, AirflowStackError, RestError, User  # noqa: E402
from demo_screen import DemoScreen  # noqa: E402
from process_session import ProcessSession  # noqa: E402

__all__ = [
    "REPOSITORY",
    "AirflowStack",
    "AirflowStackError",
    "DemoScreen",
    "ProcessSession",
    "RestError",
    "User",
    "rows_with",
]


def rows_with(database_url: str, *needles: str) -> list[str]:
    """Where in Airflow's database a text stands: "table.column" for each row and needle, searched in every column."""
    import sqlalchemy as sa

    engine = sa.create_engine(database_url, poolclass=sa.pool.NullPool)
    found = []
    with engine.connect() as connection:
        metadata = sa.MetaData()
        metadata.reflect(connection)
        for table in metadata.sorted_tables:
            # Column by column as text: a reflected JSON or BLOB type would decode, and hide, what is stored.
            columns = [sa.literal_column(f'"{column.name}"') for column in table.columns]
            for row in connection.execute(sa.select(*columns).select_from(table)):
                for column, value in zip(table.columns, row, strict=True):
                    text = _as_text(value)
                    found += [f"{table.name}.{column.name}" for needle in needles if needle in text]
    engine.dispose()
    return found


def _as_text(value: object) -> str:
    if isinstance(value, bytes | memoryview):
        return bytes(value).decode(errors="replace")
    return value if isinstance(value, str) else repr(value)
