"""Apache Airflow provider for LLM work on Amazon Bedrock."""

__version__ = "0.1.0"
