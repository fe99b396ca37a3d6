"""A chart and a PDF in the prompt: what they are is read from their bytes, and Bedrock's limits are checked here.

Files come from a path, or from any storage that ObjectStoragePath reaches (`s3://...`); the bytes go straight to
Bedrock and never through XCom.
"""

from pathlib import Path

from airflow.sdk import DAG, ObjectStoragePath, task

from airflow_provider_bedrock_llm.core.messages import create_user_message

DATA = Path(__file__).parent / "data"
CHART = DATA / "units_sold.png"
REPORT = ObjectStoragePath((DATA / "third_quarter.pdf").as_uri())

MODELS = ["amazon.nova-lite-v1:0"]
NUMBERS = {
    "type": "object",
    "properties": {
        "units_2025": {"type": "array", "items": {"type": "integer"}, "minItems": 4, "maxItems": 4},
        "units_2026": {"type": "array", "items": {"type": "integer"}, "minItems": 4, "maxItems": 4},
    },
    "required": ["units_2025", "units_2026"],
    "additionalProperties": False,
}

with DAG(dag_id="images_and_documents", schedule=None, tags=["bedrock"], doc_md=__doc__):

    @task.bedrock(models=MODELS, output_schema=NUMBERS, inference_config={"maxTokens": 200, "temperature": 0})
    def read_chart() -> list[dict]:
        """Numbers from an image: the task's result is a dict that fits the schema."""
        message = create_user_message().add_local_image(CHART)
        return [message.add_text("Read the units sold in each quarter from this chart.").build()]

    @task.bedrock(models=MODELS, inference_config={"maxTokens": 300})
    def explain(numbers: dict) -> list[dict]:
        """A document, the image and what was read from it."""
        message = create_user_message().add_local_document(REPORT, name="Report").add_local_image(CHART)
        question = f"The chart says {numbers}. Which quarter went down, and what does the report say why?"
        return [message.add_text(question).build()]

    explain(read_chart())
