"""`approve_above_usd`: a person is asked before a cent is spent; yes goes on, no fails with nothing spent."""

from __future__ import annotations

import json

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred
from airflow.sdk.execution_time import task_runner
from harness.endpoint import NOVA
from harness.task import TaskInstance

from airflow_provider_bedrock_llm.operators.parallel import BedrockParallelOperator

hitl = pytest.importorskip("airflow.providers.standard.operators.hitl")
Waiting = getattr(hitl, "TaskAwaitingInput", TaskDeferred)
"""How a task waits for a person; a trigger does before Airflow 3.3."""

YES = {"chosen_options": ["Approve"], "params_input": {}, "responded_by_user": {"id": "1", "name": "Ada"}}
NO = {**YES, "chosen_options": ["Reject"]}


class Supervisor:
    """What a worker's supervisor is asked to put before people."""

    def __init__(self):
        self.questions = []

    def send(self, msg):
        if hasattr(msg, "options"):
            self.questions.append(msg)


@pytest.fixture
def supervisor(monkeypatch):
    supervisor = Supervisor()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", supervisor, raising=False)
    return supervisor


@pytest.fixture
def make(tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"id": f"r{n}", "text": f"text {n}"}) + "\n" for n in range(5)))

    def make(**arguments):
        given = {"task_id": "the_task", "source": str(rows), "prompt": "Rate: {{ text }}", "id_column": "id"}
        given |= {"models": [NOVA], "work_dir": str(tmp_path / "jobs"), "deferrable": False}
        return BedrockParallelOperator(**given | arguments)

    return make


def wait_for_person(operator):
    context = {"ti": TaskInstance()}
    with pytest.raises(Waiting) as asked:
        operator.execute(context)
    assert asked.value.method_name == "execute_approved"
    return context


def calls(endpoint):
    return endpoint.control.stats().by_operation.get("Converse", 0)


def test_a_person_is_asked_with_the_estimate_and_nothing_is_spent(connected, make, supervisor):
    context = wait_for_person(make(approve_above_usd=0.0))
    question = supervisor.questions[0]
    assert (question.options, str(question.ti_id)) == (["Approve", "Reject"], context["ti"].id)
    assert "5 of 5 rows to ask" in question.body
    assert "text 1" not in question.model_dump_json()
    assert calls(connected) == 0


def test_yes_goes_on_and_is_remembered(connected, make, supervisor):
    context = wait_for_person(make(approve_above_usd=0.0))
    result = make(approve_above_usd=0.0).execute_approved(context, YES)
    assert result["counts"]["succeeded"] == 5
    assert calls(connected) == 5
    assert make(approve_above_usd=0.0).execute({"ti": TaskInstance()})["counts"]["succeeded"] == 5
    assert len(supervisor.questions) == 1


@pytest.mark.parametrize("event", [NO, {"error": "no answer", "error_type": "timeout"}])
def test_anything_but_yes_fails_the_task_with_nothing_spent(connected, make, supervisor, event):
    context = wait_for_person(make(approve_above_usd=0.0))
    with pytest.raises(AirflowFailException, match="nothing was spent"):
        make(approve_above_usd=0.0).execute_approved(context, event)
    assert calls(connected) == 0


def test_a_job_below_the_limit_asks_nobody(connected, make, supervisor):
    make(approve_above_usd=100.0).execute({"ti": TaskInstance()})
    assert supervisor.questions == []
