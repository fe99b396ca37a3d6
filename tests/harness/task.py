"""An operator's `execute` without a scheduler: the little of a context that it needs, and connections by name."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from typing import Any

import pytest

CONN_ID = "bedrock_llm_default"


@dataclass
class TaskInstance:
    """What operators read of a task instance, and what they push."""

    dag_id: str = "the_dag"
    run_id: str = "manual__2026-11-21T00:00:00+00:00"
    task_id: str = "the_task"
    map_index: int = -1
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    xcoms: dict[str, Any] = field(default_factory=dict)

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[key] = json.loads(json.dumps(value))


def connect(monkeypatch: pytest.MonkeyPatch, conn_id: str = CONN_ID, **parts: Any) -> None:
    """Give a connection by Airflow's environment variable."""
    values = {"conn_type": "bedrockllm", "login": "AKIDLOCALEXAMPLE", "password": "local-secret-key", **parts}
    monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(values))


@pytest.fixture
def task_instance() -> TaskInstance:
    return TaskInstance()


@pytest.fixture
def connected(endpoint: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The running endpoint, with the default connection to it."""
    connect(monkeypatch, extra={"endpoint_url": endpoint.url, "region_name": "us-east-1"})
    return endpoint
