"""3,708 product reviews in three mapped tasks side by side: one folder of Parquet, partitioned by the answer.

Each task has its share of the rows, of the concurrency and of the quota, and a part of its own in the folder, which
`_SUCCESS-0000-of-0003` and so on declare whole. What failed lies in dead-letter files, one per shard.

To keep long jobs off the triggerers of other work: `queue="bedrock"` on the operator, `[triggerer] queues_enabled`, and
triggerers (and, with Celery, workers) that are started with `--queues bedrock`.
"""

import csv
from pathlib import Path
from tempfile import gettempdir

from airflow.sdk import DAG, conf, task

from airflow_provider_bedrock_llm.core.config import ParallelProcessingConfig
from airflow_provider_bedrock_llm.jobs.shard import plan_shards
from airflow_provider_bedrock_llm.operators.parallel import BedrockParallelOperator

REVIEWS = Path(__file__).parent / "data" / "amazon_reviews.csv"
LAKE = conf.get("bedrock_llm", "work_dir", fallback="") or f"{gettempdir()}/bedrock_llm"  # in earnest s3://

MOOD = {
    "type": "object",
    "properties": {
        "mood": {"type": "string", "enum": ["glad", "neutral", "cross"]},
        "score": {"type": "integer", "minimum": -4, "maximum": 4},
    },
    "required": ["mood", "score"],
    "additionalProperties": False,
}

with DAG(dag_id="shards_to_parquet", schedule=None, tags=["bedrock"], doc_md=__doc__):

    @task
    def plan() -> list[dict]:
        with REVIEWS.open(newline="") as file:
            return plan_shards(sum(1 for _ in csv.DictReader(file)), rows_per_shard=1500)

    BedrockParallelOperator.partial(
        task_id="enrich",
        source=str(REVIEWS),
        id_column="review_id",
        keep_columns=["text"],
        prompt="How does this customer feel, from -4 to 4?\n<review>{{ text }}</review>",
        output_schema=MOOD,
        output_uri=f"{LAKE}/reviews_by_mood",
        output_format="parquet",
        partition_by="mood",
        dead_letter_uri=f"{LAKE}/reviews_that_failed.jsonl",
        accept_failures=0.005,
        models=["amazon.nova-lite-v1:0"],
        inference_config={"maxTokens": 100, "temperature": 0},
        parallel_config=ParallelProcessingConfig(max_concurrent_requests=60),
    ).expand(shard=plan())
