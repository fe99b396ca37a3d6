"""The README's code does what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from harness.task import connect

README = Path(__file__).parents[2] / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


def test_the_shortest_dag_is_one():
    (block,) = [block for block in BLOCKS if "with DAG(" in block]
    names = {}
    exec(compile(block, "README", "exec"), names)
    (task,) = names["dag"].tasks
    assert task.task_id == "enrich"
    assert task.deferrable


def test_the_hooks_example_runs(endpoint, monkeypatch, capsys):
    connect(monkeypatch, extra={"endpoint_url": endpoint.url})
    (block,) = [block for block in BLOCKS if "hook.converse" in block]
    exec(compile(block, "README", "exec"), {})
    assert "us-east-1" in capsys.readouterr().out


@pytest.mark.parametrize("link", re.findall(r"\]\((?!http)([^)#]+)\)", README.read_text()))
def test_every_link_into_the_repository_leads_somewhere(link):
    assert (README.parent / link).exists()
