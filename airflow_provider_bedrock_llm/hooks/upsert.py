"""SQL that writes a row whether or not its key is in the table, in the words of each database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Statement", "plan_upsert"]

_ON_CONFLICT = frozenset({"sqlite"})
_ON_DUPLICATE_KEY = frozenset({"mysql", "mariadb"})


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement for each row of a batch.

    Args:
        sql: with the placeholders of the database's driver.
        picks: which values of the row it takes, in their order; None for all.
    """

    sql: str
    picks: tuple[int, ...] | None = None

    def values(self, row: Sequence[Any]) -> tuple[Any, ...]:
        """The values for the placeholders."""
        return tuple(row) if self.picks is None else tuple(row[pick] for pick in self.picks)


def plan_upsert(hook: Any, table: str, columns: Sequence[str], keys: Sequence[str]) -> list[Statement]:
    """What to run for each batch, one statement after the other, in one transaction.

    PostgreSQL's is made by Airflow's own dialect. Airflow's `REPLACE INTO` for SQLite and MySQL deletes the row first,
    and with it what its other columns hold, so those get their own. Every other database deletes and inserts.

    Args:
        hook: a DbApiHook.
        table: its name.
        columns: those that are written.
        keys: those of them that name a row; SQLite, PostgreSQL and MySQL want a unique index on them.
    """
    dialect, name = hook.dialect, hook.dialect_name
    if name == "postgresql":
        return [Statement(dialect.generate_replace_sql(table, columns, list(columns), replace_index=list(keys)))]
    insert = dialect.generate_insert_sql(table, columns, list(columns))
    rest = [dialect.escape_word(column) for column in columns if column not in keys]
    named_keys = [dialect.escape_word(key) for key in keys]
    if name in _ON_CONFLICT:
        changes = ", ".join(f"{column} = excluded.{column}" for column in rest)
        action = f"DO UPDATE SET {changes}" if changes else "DO NOTHING"
        return [Statement(f"{insert} ON CONFLICT ({', '.join(named_keys)}) {action}")]
    if name in _ON_DUPLICATE_KEY:
        changes = ", ".join(f"{column} = VALUES({column})" for column in rest or named_keys)
        return [Statement(f"{insert} ON DUPLICATE KEY UPDATE {changes}")]
    where = " AND ".join(f"{key} = {hook.placeholder}" for key in named_keys)
    picks = tuple(list(columns).index(key) for key in keys)
    return [Statement(f"DELETE FROM {table} WHERE {where}", picks), Statement(insert)]  # noqa: S608 - as the DAG names it
