"""Each day: ask AWS which models the account has, and fail when one that we use is about to end.

The answer stands in the Airflow Variable `bedrock_llm_model_catalog`, where all tasks find it. Let a failure of this
DAG reach somebody: sixty days are enough to try another model, and a day is not.
"""

from datetime import UTC, datetime

from airflow.sdk import DAG

from airflow_provider_bedrock_llm.operators.catalog import BedrockCatalogRefreshOperator

with DAG(
    dag_id="refresh_catalog",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["bedrock"],
    doc_md=__doc__,
):
    BedrockCatalogRefreshOperator(
        task_id="refresh",
        models=["Claude Haiku 4.5", "Nova Lite"],
        warn_days_before_eol=60,
        retries=2,
    )
