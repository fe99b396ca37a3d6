"""Data for training a router: every query to every candidate, and how good, fast and dear each answer was.

The queries times the candidates are the rows of one job: killed and run again it pays only for what is missing, and
a candidate that is added later pays for its own rows alone.
"""

from pathlib import Path
from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_bedrock_llm.operators.parallel import BedrockParallelOperator

DATA = Path(__file__).parent / "data"
CANDIDATES = DATA / "candidates_nova.json"


def exact_match(row: dict) -> float:
    """How good an answer is: here, whether it holds the expected word."""
    return float(row["expected"].casefold() in row["answer"].casefold())


with DAG(dag_id="router_training_data", schedule=None, tags=["bedrock"], doc_md=__doc__):

    @task
    def expand(ti: Any = None) -> str:
        """Each query once per candidate."""
        import json  # noqa: PLC0415

        from airflow_provider_bedrock_llm.jobs.training_data import expand_queries  # noqa: PLC0415
        from airflow_provider_bedrock_llm.operators.job_description import work_dir_of  # noqa: PLC0415

        target = f"{work_dir_of(None)}/{ti.dag_id}/{ti.run_id}/queries.jsonl"
        return expand_queries(str(DATA / "router_queries.jsonl"), list(json.loads(CANDIDATES.read_text())), target)

    ask = BedrockParallelOperator(
        task_id="ask",
        source=expand(),
        prompt="{{ query }}",
        id_column=["id", "candidate"],
        keep_columns=["query", "expected"],
        candidates=str(CANDIDATES),
        routing={"strategy": "fixed", "failover": False},
        override_columns={"model": "candidate"},
        inference_config={"maxTokens": 50, "temperature": 0},
    )

    @task
    def score(job: dict) -> dict:
        """The rows that a router is trained with, beside the job's output."""
        from airflow_provider_bedrock_llm.jobs.training_data import write_training_rows  # noqa: PLC0415

        target = job["output_uri"].rpartition("/")[0] + "/training.jsonl"
        return {"training_uri": target, **write_training_rows(job["output_uri"], exact_match, target)}

    score(ask.output)
