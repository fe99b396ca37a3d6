"""The page "Bedrock LLM" in Airflow: enrichment jobs, what they cost, the model catalog, connections."""
