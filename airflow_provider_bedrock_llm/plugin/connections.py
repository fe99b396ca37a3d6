"""Connections of type `bedrockllm`, and whether they work.

The Test button of Airflow 3.3.2 refuses every stored connection without a port (apache/airflow#73298). This one tests
a connection as it is stored, for those who may edit it, and where `[core] test_connection` allows tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.models.connection import Connection
from airflow.providers.common.compat.sdk import conf
from sqlalchemy import select

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy.orm import Session

__all__ = ["CONNECTION_TYPE", "check_connection", "list_connections", "tests_are_enabled"]

CONNECTION_TYPE = "bedrockllm"
_SHOWN = ("region_name", "regions", "models")


def tests_are_enabled() -> bool:
    """Whether `[core] test_connection` lets the API server test connections."""
    return bool(conf.get("core", "test_connection", fallback="Disabled").strip().lower() == "enabled")


def list_connections(session: Session, conn_ids: Collection[str]) -> list[dict[str, Any]]:
    """Those of our type in Airflow's database, without anything secret.

    Args:
        session: of Airflow's database.
        conn_ids: those that the user may read.
    """
    ours = select(Connection).where(Connection.conn_type == CONNECTION_TYPE, Connection.conn_id.in_(conn_ids))
    return [
        {
            "conn_id": found.conn_id,
            "description": found.description,
            **{name: found.extra_dejson.get(name) for name in _SHOWN},
        }
        for found in session.scalars(ours.order_by(Connection.conn_id))
    ]


def check_connection(conn_id: str) -> tuple[bool, str]:
    """Ask Bedrock for its models, which costs nothing. Blocks."""
    from airflow_provider_bedrock_llm.hooks.bedrock_llm import BedrockLLMHook  # noqa: PLC0415 - imports boto

    return BedrockLLMHook(conn_id).test_connection()
