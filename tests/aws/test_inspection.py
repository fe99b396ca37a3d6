"""Guardrails and token counts have the engine's retries, and go where they must."""

from harness.routes import make_plan

from airflow_provider_bedrock_llm.aws.converse import Engine
from airflow_provider_bedrock_llm.aws.dialect import DialectTransport
from airflow_provider_bedrock_llm.core.config import RetryConfig
from airflow_provider_bedrock_llm.core.conversation import ConversePolicy
from airflow_provider_bedrock_llm.core.inspection import (
    CountTokensDialect,
    GuardrailDialect,
    GuardrailResult,
    guardrail_request,
)
from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest, text_message
from airflow_provider_bedrock_llm.testing import FakeTransport, throttled

QUICK = RetryConfig(max_retries=1, retry_delay=0.0)


def ask(dialect, request, model, *outcomes):
    given = iter(outcomes)
    transport = FakeTransport(lambda _request: next(given))
    engine = Engine(DialectTransport(transport, dialect), ConversePolicy(retry=QUICK), make_plan([model], retry=QUICK))
    return engine.ask(request), transport


def test_a_throttled_guardrail_is_asked_again():
    reply = {
        "action": "GUARDRAIL_INTERVENED",
        "actionReason": "masked",
        "outputs": [{"text": "***"}],
        "assessments": [{"topicPolicy": {}}],
        "usage": {"topicPolicyUnits": 2},
    }
    request = guardrail_request(["a", "b"], "gr-1", "4", "OUTPUT", full=True)
    response, transport = ask(GuardrailDialect(), request, "gr-1", throttled(), reply)
    first, second = transport.requests
    assert first == second
    assert (first.operation, first.region) == ("apply_guardrail", "us-east-1")
    assert first.params == {
        "guardrailIdentifier": "gr-1",
        "guardrailVersion": "4",
        "source": "OUTPUT",
        "outputScope": "FULL",
        "content": [{"text": {"text": "a"}}, {"text": {"text": "b"}}],
    }
    result = GuardrailResult.from_wire(response.response_data, response.region_used)
    assert result == GuardrailResult(
        True, ("***",), ({"topicPolicy": {}},), {"topicPolicyUnits": 2}, "masked", "us-east-1"
    )
    assert response.usage.total_tokens == 0


def test_what_does_not_count_is_not_sent_to_be_counted():
    request = BedrockConverseRequest(
        [text_message("a")],
        system=[{"text": "s"}],
        inference_config={"maxTokens": 3},
        additional_model_request_fields={"top_k": 1},
        request_metadata={"a": "b"},
    )
    response, transport = ask(CountTokensDialect("base"), request, "eu.base", throttled(), {"inputTokens": 12})
    assert response.response_data == {"inputTokens": 12}
    sent = transport.requests[-1]
    assert sent.operation == "count_tokens"
    assert sent.params == {
        "modelId": "base",
        "input": {
            "converse": {
                "messages": [text_message("a")],
                "system": [{"text": "s"}],
                "additionalModelRequestFields": {"top_k": 1},
            }
        },
    }
