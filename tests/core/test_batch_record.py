"""A request as a record of a batch job, and an outcome as a response: checked and priced as a call would be."""

from __future__ import annotations

import json

import pytest

from airflow_provider_bedrock_llm.core.batch_record import BatchDialogue
from airflow_provider_bedrock_llm.core.policy import ConversePolicy
from airflow_provider_bedrock_llm.core.pricing import Prices, TokenPrices, with_batch_rates
from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest, text_message
from airflow_provider_bedrock_llm.core.routes import ModelChoice, Route
from airflow_provider_bedrock_llm.core.schema import OutputSchema

MODEL = "amazon.nova-lite-v1:0"
ROUTE = Route(MODEL, MODEL, "us-east-1", "direct", ModelChoice(MODEL))
SCHEMA = {"type": "object", "properties": {"stars": {"type": "integer"}}, "required": ["stars"]}
LIST_PRICE = Prices(TokenPrices(input=2.0, output=4.0))


def dialogue(prices=LIST_PRICE, **policy):
    return BatchDialogue(ConversePolicy(prices_for=lambda *_: prices, **policy), ROUTE)


def output(text, **more):
    return {
        "modelOutput": {
            "output": {"message": {"role": "assistant", "content": [{"text": text}]}},
            "stopReason": "end_turn",
            "usage": {"inputTokens": 1_000_000, "outputTokens": 500_000},
            **more,
        }
    }


def test_a_record_has_no_model_no_tags_and_no_tier():
    request = BedrockConverseRequest(
        [text_message("hello")],
        inference_config={"maxTokens": 9},
        request_metadata={"dag": "d"},
        service_tier={"type": "flex"},
    )
    assert dialogue().model_input(request) == {
        "messages": [text_message("hello")],
        "inferenceConfig": {"maxTokens": 9},
    }


def test_blobs_are_base64():
    image = {"image": {"format": "png", "source": {"bytes": b"\x89PNG"}}}
    given = dialogue().model_input(BedrockConverseRequest([{"role": "user", "content": [image]}]))
    assert json.loads(json.dumps(given))["messages"][0]["content"][0]["image"]["source"]["bytes"] == "iVBORw=="


def test_a_schema_is_native_structured_output_or_the_record_is_not_for_batch():
    request = BedrockConverseRequest([text_message("hello")])
    native = dialogue(schema=OutputSchema(SCHEMA), takes_output_config=lambda _: True).model_input(request)
    assert "textFormat" in native["outputConfig"]
    assert dialogue(schema=OutputSchema(SCHEMA)).model_input(request) is None


def test_tools_are_not_for_batch():
    tools = {"tools": [{"toolSpec": {"name": "t", "inputSchema": {"json": {"type": "object"}}}}]}
    assert dialogue().model_input(BedrockConverseRequest([text_message("hello")], tool_config=tools)) is None


def test_an_answer_costs_half_where_the_catalog_has_no_batch_price():
    response = dialogue().response(output("fine"))
    assert (response.success, response.get_content()) == (True, "fine")
    assert response.cost_usd == pytest.approx((2.0 + 2.0) / 2)


def test_the_catalogs_batch_price_comes_first():
    prices = Prices(LIST_PRICE.on_demand, {"batch": TokenPrices(input=0.5, output=1.0)})
    assert dialogue(prices).response(output("fine")).cost_usd == pytest.approx(1.0)
    assert with_batch_rates(prices) is prices


@pytest.mark.parametrize("prices", [None, Prices()])
def test_an_unknown_price_stays_unknown(prices):
    assert dialogue(prices).response(output("fine")).cost_usd is None


def test_an_answer_that_breaks_the_schema_is_paid_and_is_no_answer():
    checked = dialogue(schema=OutputSchema(SCHEMA), takes_output_config=lambda _: True)
    assert checked.response(output('{"stars": 4}')).structured_output == {"stars": 4}
    broken = checked.response(output('{"stars": "many"}'))
    assert (broken.success, broken.attempts[0].fault, len(broken.attempts)) == (False, "invalid_answer", 1)
    assert broken.cost_usd == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        ({"errorCode": 400, "errorMessage": "no"}, "bad_input"),
        ({"errorCode": 429, "errorMessage": "Too many requests"}, "throttled"),
        ({"errorCode": 500, "errorMessage": "oops"}, "overloaded"),
        ({"errorCode": "ThrottlingException"}, "throttled"),
        ({}, "unknown"),
        ("a text", "unknown"),
    ],
)
def test_an_error_is_a_failure_of_one_attempt_at_no_cost(error, fault):
    response = dialogue().response({"error": error})
    assert (response.success, [attempt.fault for attempt in response.attempts]) == (False, [fault])
    assert not response.cost_usd


def test_a_line_with_neither_is_a_failure():
    assert not dialogue().response({"recordId": "R1"}).success
    assert not dialogue().response({"modelOutput": {}}).success
