"""3,708 product reviews through one prompt: a validated row for each, in the order of the file.

Kill the worker, the triggerer or the scheduler while it runs: the job goes on where it was, and no paid answer is lost.
The output lies in the job's folder, output.jsonl; the task's XCom says where, with the counts, tokens and cost.
"""

from pathlib import Path

from airflow.sdk import DAG

from airflow_provider_bedrock_llm.core.config import ParallelProcessingConfig
from airflow_provider_bedrock_llm.operators.parallel import BedrockParallelOperator

REVIEWS = Path(__file__).parent / "data" / "amazon_reviews.csv"

SENTIMENT = {
    "type": "object",
    "properties": {
        "sentiment": {"type": "string", "enum": ["negative", "neutral", "positive"]},
        "score": {"type": "number", "minimum": -4, "maximum": 4},
        "is_complaint": {"type": "boolean"},
    },
    "required": ["sentiment", "score", "is_complaint"],
    "additionalProperties": False,
}

with DAG(dag_id="enrich_reviews", schedule=None, tags=["bedrock"], doc_md=__doc__):
    BedrockParallelOperator(
        task_id="enrich",
        source=str(REVIEWS),
        id_column="review_id",
        system="You judge snippets of product reviews. Judge only what the snippet says.",
        prompt="How does this customer feel about the product, from -4 (very bad) to 4 (very good)?\n"
        "<review>{{ text }}</review>",
        output_schema=SENTIMENT,
        keep_columns=["text", "human_sentiment"],
        models=["amazon.nova-lite-v1:0"],
        inference_config={"maxTokens": 200, "temperature": 0},
        parallel_config=ParallelProcessingConfig(max_concurrent_requests=50),
    )
