"""Vectors: for a few texts in one task, and for every review of a file, one JSON line each, ready for a vector store.

The file is a job as in 02_enrich_reviews: killed and run again, it pays only for what is missing. Cohere takes 96 texts
in one call, so its rows share calls.
"""

from pathlib import Path

from airflow.sdk import DAG

from airflow_provider_bedrock_llm.operators.embed import BedrockEmbedOperator

REVIEWS = Path(__file__).parent / "data" / "amazon_reviews.csv"

with DAG(dag_id="embeddings", schedule=None, tags=["bedrock"], doc_md=__doc__):
    BedrockEmbedOperator(
        task_id="embed_a_few",
        texts=["The battery lasts two days.", "It broke after a week."],
        model="amazon.titan-embed-text-v2:0",
        dimensions=256,
    )
    BedrockEmbedOperator(
        task_id="embed_reviews",
        source=str(REVIEWS),
        id_column="review_id",
        text="{{ text }}",
        keep_columns=["text"],
        model="cohere.embed-multilingual-v3",
        input_type="search_document",
        truncate="END",
    )
