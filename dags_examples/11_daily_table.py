"""Every day: the reviews of a table, judged, into Parquet and back into a table; only new and changed rows are paid.

With `reuse="task"` yesterday's answers count today, so a run costs what is new. It spends two dollars at most and lets
one row in a hundred be without an answer. Otherwise it fails, which calls `tell_someone`: there stands whatever wakes
you, such as a notifier of Slack or PagerDuty. When it succeeds, the asset's event carries counts, tokens and cost, and
whoever is scheduled on the asset starts with these in hand.

The connection `warehouse` leads to any database that has a DbApiHook, with the tables

    CREATE TABLE reviews (review_id TEXT PRIMARY KEY, text TEXT);
    CREATE TABLE review_moods (review_id TEXT PRIMARY KEY, text TEXT, mood TEXT, score INTEGER, cost_usd REAL);
"""

import logging
from datetime import datetime, timedelta
from tempfile import gettempdir

from airflow.sdk import DAG, Asset, Context, conf, task

from airflow_provider_bedrock_llm.operators.parallel import BedrockParallelOperator

LAKE = conf.get("bedrock_llm", "work_dir", fallback="") or f"{gettempdir()}/bedrock_llm"  # in earnest s3://
MOODS = Asset("review_moods")
MOOD = {
    "type": "object",
    "properties": {
        "mood": {"type": "string", "enum": ["glad", "neutral", "cross"]},
        "score": {"type": "integer", "minimum": -4, "maximum": 4},
    },
    "required": ["mood", "score"],
    "additionalProperties": False,
}

log = logging.getLogger(__name__)


def tell_someone(context: Context) -> None:
    instance = context["ti"]
    log.error("%s of %s failed: %s", instance.task_id, instance.run_id, context.get("exception"))


with DAG(
    dag_id="daily_table",
    schedule="@daily",
    start_date=datetime(2026, 1, 1),  # noqa: DTZ001 - Airflow takes it in its own time zone
    catchup=False,
    max_active_runs=1,
    tags=["bedrock"],
    doc_md=__doc__,
):
    BedrockParallelOperator(
        task_id="judge",
        sql="SELECT review_id, text FROM reviews",
        source_conn_id="warehouse",
        id_column="review_id",
        keep_columns=["text"],
        prompt="How does this customer feel, from -4 to 4?\n<review>{{ text }}</review>",
        output_schema=MOOD,
        output_uri=f"{LAKE}/review_moods.parquet",
        output_conn_id="warehouse",
        output_table="review_moods",
        dead_letter_uri=f"{LAKE}/review_moods_failed.jsonl",
        accept_failures=0.01,
        reuse="task",
        budget=2.00,
        models=["amazon.nova-lite-v1:0"],
        inference_config={"maxTokens": 100, "temperature": 0},
        retries=2,
        retry_delay=timedelta(minutes=5),
        on_failure_callback=tell_someone,
        outlets=[MOODS],
    )

with DAG(dag_id="after_daily_table", schedule=[MOODS], catchup=False, tags=["bedrock"]):

    @task
    def book(triggering_asset_events: dict) -> float:
        """What the judging has cost, of all runs since this DAG ran last."""
        extras = [event.extra for event in triggering_asset_events[MOODS]]
        for extra in extras:
            log.info("%s: %s", extra["output_uri"], extra["counts"])
        return sum(extra["known_cost_usd"] for extra in extras)

    book()
