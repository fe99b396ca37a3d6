"""An invoice in prose becomes a validated record: the answer fits a pydantic class, or the model is asked again.

Where the model has structured output of its own, that is used; where not, a forced tool. The XCom is a plain dict.
"""

from airflow.sdk import DAG, task
from pydantic import BaseModel, Field

from airflow_provider_bedrock_llm.operators.converse import BedrockConverseOperator

INVOICE = """Acme Tools, invoice 2041, 3 November 2026.
2 hammers at 12.50, 1 box of nails at 4.00. Total 29.00 EUR, payable within 14 days."""


class Item(BaseModel):
    """One line of an invoice."""

    name: str
    quantity: int = Field(ge=0)
    unit_price: float


class Invoice(BaseModel):
    """What accounting needs to know."""

    number: str
    currency: str = Field(description="ISO 4217 code, such as EUR")
    total: float
    items: list[Item]


with DAG(dag_id="structured_extraction", schedule=None, tags=["bedrock"], doc_md=__doc__):
    extract = BedrockConverseOperator(
        task_id="extract",
        system="You read invoices. Take every value from the text.",
        prompt=f"Extract this invoice.\n<invoice>{INVOICE}</invoice>",
        output_schema=Invoice,
        models=["amazon.nova-lite-v1:0"],
        inference_config={"maxTokens": 500, "temperature": 0},
    )

    @task
    def book(invoice: dict) -> float:
        """Stands for what uses the record: each value has its type."""
        return sum(item["quantity"] * item["unit_price"] for item in invoice["items"])

    book(extract.output)
