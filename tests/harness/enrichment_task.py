"""`BedrockParallelOperator` over a small file with all that outputs care for, run on the worker."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_bedrock_llm.core.config import RetryConfig
from airflow_provider_bedrock_llm.operators.parallel import BedrockParallelOperator

COUNTRIES = ("DE", "FR/Corsica", None, "a=b c")
ROWS = [
    {"id": f"r{n}", "text": f"Text <{n}>.", "country": COUNTRIES[n % 4], "stars": n, "weight": n / 2, "tags": [n]}
    for n in range(40)
]
SCHEMA = {
    "type": "object",
    "properties": {
        "mood": {"type": "string", "enum": ["glad", "sad"]},
        "score": {"type": "integer"},
        "parts": {"type": "array", "items": {"type": "number"}, "maxItems": 2},
    },
    "required": ["mood", "score", "parts"],
    "additionalProperties": False,
}


@pytest.fixture
def source(tmp_path: Any) -> Any:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


@pytest.fixture
def enrich(connected: Any, task_instance: Any, tmp_path: Any, source: Any) -> Any:
    """Runs the operator; every call is a new try of the same task."""
    tries = iter(range(100))

    def execute(**arguments: Any) -> dict[str, Any]:
        settings = {
            "source": str(source),
            "id_column": "id",
            "keep_columns": ["country", "stars", "weight", "tags"],
            "prompt": "Judge {{ text }}",
            "models": ["amazon.nova-lite-v1:0"],
            "work_dir": str(tmp_path / "jobs"),
            "deferrable": False,
            "retry_config": RetryConfig(max_retries=1, retry_delay=0.0),
        } | arguments
        settings = {name: value for name, value in settings.items() if value is not None}
        task_instance.id = f"try-{next(tries)}"
        return BedrockParallelOperator(task_id="the_task", **settings).execute({"ti": task_instance})

    return execute
