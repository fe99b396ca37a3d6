"""Prompts, answers and secrets stay where they belong: a canary of each is planted, then searched for."""

import json
import textwrap

import pytest
from harness.airflow_processes import rows_with
from harness.canary_answers import ANSWER_CANARY, UNFIT_ANSWER_CANARY

from airflow_provider_bedrock_llm.local import LocalEndpoint

pytestmark = pytest.mark.processes

PROMPT_CANARY = "canary-in-a-prompt-91be"
SECRET_CANARY = "canary+in/a/secret/key+d2e4"
CANARIES = (PROMPT_CANARY, ANSWER_CANARY, UNFIT_ANSWER_CANARY, SECRET_CANARY)

DAG_FILE = """
    from airflow.sdk import DAG

    from airflow_provider_bedrock_llm.operators.parallel import BedrockParallelOperator

    NOTE = {{
        "type": "object",
        "properties": {{"note": {{"type": "string"}}}},
        "required": ["note"],
        "additionalProperties": False,
    }}

    with DAG("canaries", schedule=None):
        for task_id, deferrable in (("on_triggerer", True), ("on_worker", False)):
            BedrockParallelOperator(
                task_id=task_id,
                source={source!r},
                id_column="id",
                prompt="Note this: {{{{ text }}}}",
                output_schema=NOTE,
                keep_columns=["text"],
                models=["amazon.nova-lite-v1:0"],
                deferrable=deferrable,
            )
"""


def test_no_prompt_answer_or_secret_reaches_the_database_or_a_log(start_airflow, tmp_path):
    rows = [{"id": f"r{n}", "text": f"{PROMPT_CANARY} {'unfit' if n % 5 == 0 else n}"} for n in range(30)]
    source = tmp_path / "rows.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    dags = tmp_path / "dags"
    dags.mkdir()
    (dags / "canaries.py").write_text(textwrap.dedent(DAG_FILE).format(source=str(source)))

    with LocalEndpoint.spawn(port=0, answers="harness.canary_answers:answer") as endpoint:
        airflow = start_airflow(dags, endpoint.url, secret_key=SECRET_CANARY, database="postgresql")
        run = ("canaries", airflow.trigger_dag("canaries"))
        airflow.wait_for_run(*run)
    outputs = [path.read_text() for path in (tmp_path / "jobs").rglob("output.jsonl")]
    failed = [line for output in outputs for line in output.splitlines() if json.loads(line)["error"]]
    logs = {path: path.read_text(errors="replace") for path in airflow.task_logs() + airflow.process_logs()}

    assert len(outputs) == 2
    assert all(PROMPT_CANARY in output and ANSWER_CANARY in output for output in outputs), "nothing was planted"
    assert len(failed) == 12, "the answers that fit no schema did not fail: no error text was looked at"
    assert any("on_triggerer" in str(path) and ".trigger." in path.name for path in logs), "no trigger log was read"
    assert rows_with(airflow.database_url, run[1]), "the search finds nothing that is there"
    assert any(run[1] in text for text in logs.values()), "the search finds nothing that is there"
    assert rows_with(airflow.database_url, *CANARIES) == []
    assert [str(path) for path, text in logs.items() if any(canary in text for canary in CANARIES)] == []
