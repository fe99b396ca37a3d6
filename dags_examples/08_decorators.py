"""Python functions that say what is asked: one prompt with `@task.bedrock`, many with `@task.bedrock_parallel`.

What a function returns is sent as it is, never rendered. The parallel task is a job that loses no paid answer; its XCom
holds the output's URI and counts, and the last task reads the rows from there.
"""

import json

from airflow.sdk import DAG, ObjectStoragePath, task

MODELS = ["amazon.nova-lite-v1:0"]
TICKETS = [
    {"id": "t1", "text": "My order arrived broken."},
    {"id": "t2", "text": "Thank you, all is well!"},
    {"id": "t3", "text": "Where is the invoice?"},
]
TOPIC = {
    "type": "object",
    "properties": {"topic": {"type": "string", "enum": ["delivery", "billing", "praise", "other"]}},
    "required": ["topic"],
    "additionalProperties": False,
}

with DAG(dag_id="decorators", schedule=None, tags=["bedrock"], doc_md=__doc__):

    @task.bedrock(models=MODELS, inference_config={"maxTokens": 200})
    def greet(name: str) -> str:
        """The prompt; the task's result is the answer."""
        return f"Write one friendly sentence to {name}."

    @task.bedrock_parallel(models=MODELS, prompt="What is it about? {{ text }}", id_column="id", output_schema=TOPIC)
    def classify() -> list[dict]:
        """The records; the prompt of the decorator is rendered with each."""
        return TICKETS

    @task
    def topics(summary: dict) -> dict:
        """Read the job's output."""
        with ObjectStoragePath(summary["output_uri"]).open() as lines:
            return {row["id"]: row["answer"]["topic"] for row in map(json.loads, lines)}

    greet("Ada")
    topics(classify())
