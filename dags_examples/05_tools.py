"""A model that uses Python functions: it asks for them, the task runs them, the model answers from their results.

A function's type hints become the schema of its input, and its docstring tells the model what it is good for. Limits on
turns and cost end a model that does not come to an end by itself. The functions run on the worker, with its rights:
give a model only what it may do with any input at all.
"""

from typing import Annotated

from airflow.sdk import DAG, task
from pydantic import Field

from airflow_provider_bedrock_llm.core.request import text_message
from airflow_provider_bedrock_llm.hooks.bedrock_llm import BedrockLLMHook

STOCK = {"teapot": 12, "kettle": 0}


def in_stock(product: Annotated[str, Field(description="the product's name in the singular, lower case")]) -> int:
    """How many pieces of a product are in stock."""
    return STOCK[product]  # what it raises is told to the model


with DAG(dag_id="tools", schedule=None, tags=["bedrock"], doc_md=__doc__):

    @task
    def answer(question: str) -> dict:
        """Ask with a tool at hand."""
        hook = BedrockLLMHook(models=["us.anthropic.claude-haiku-4-5-20251001-v1:0"])
        run = hook.converse_with_tools(
            [text_message(question)],
            tools=[in_stock],
            tool_choice={"any": {}},
            max_turns=5,
            max_cost_usd=0.05,
            system=[{"text": "You answer customers of a shop for kitchenware. Look into the stock first."}],
            inference_config={"maxTokens": 300},
        )
        return {"answer": run.response.get_content(), "tool_calls": len(run.calls), "cost_usd": run.cost_usd}

    answer("Do you have teapots?")
