"""One prompt to one model. The answer is the task's XCom; tokens, model, region and cost are further XComs."""

from airflow.sdk import DAG

from airflow_provider_bedrock_llm.operators.converse import BedrockConverseOperator

with DAG(dag_id="one_prompt", schedule=None, tags=["bedrock"], doc_md=__doc__):
    BedrockConverseOperator(
        task_id="ask",
        prompt="In one sentence: what is Apache Airflow good for?",
        models=["amazon.nova-lite-v1:0"],
        inference_config={"maxTokens": 200, "temperature": 0},
    )
