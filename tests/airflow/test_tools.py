"""Tools through the hook, against the local endpoint, which refuses what Bedrock would refuse."""

import pytest
from airflow.providers.common.compat.sdk import AirflowSkipException
from harness.task import connect
from pydantic import BaseModel

from airflow_provider_bedrock_llm.core.config import ResponseValidationConfig, ValidationResult
from airflow_provider_bedrock_llm.core.request import text_message
from airflow_provider_bedrock_llm.hooks.bedrock_llm import BedrockLLMHook
from airflow_provider_bedrock_llm.local import LocalEndpoint
from airflow_provider_bedrock_llm.local.answers import Answer

HAIKU = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
QUESTION = [text_message("What's the weather in New York?")]


class Weather(BaseModel):
    celsius: int
    sky: str


def get_weather(location: str) -> dict:
    """Get weather information for a location."""
    if location == "Atlantis":
        raise AirflowSkipException("It has sunk.")
    return {"celsius": 21, "sky": "clear"}


def meteorologist(call):
    """Asks for the weather, then says it; in the form that is required, if any."""
    results = [
        block["toolResult"] for message in call.messages for block in message["content"] if "toolResult" in block
    ]
    if call.output_schema is not None or call.forced_tool is not None:
        return {"celsius": 21, "sky": "clear"} if results else {"location": "New York"}
    if not results:
        place = "Atlantis" if "Atlantis" in call.prompt else "New York"
        use = {"toolUseId": "tooluse_1", "name": "get_weather", "input": {"location": place}, "type": "tool_use"}
        return Answer(content=[{"text": "I will look."}, {"toolUse": use}])
    return f"It has {results[-1]['content'][0]['json']['celsius']} degrees."


@pytest.fixture(scope="module")
def weather_station():
    with LocalEndpoint(answerer=meteorologist, tls_port=None, keep_bodies=10) as endpoint:
        yield endpoint


@pytest.fixture
def hook(weather_station, monkeypatch):
    weather_station.control.reset()
    connect(monkeypatch, extra={"endpoint_url": weather_station.url, "region_name": "us-east-1"})
    return lambda **settings: BedrockLLMHook(models=[HAIKU], **settings)


# Seed 002, "Tool Use Configuration".
SEED_TOOL_CONFIG = {
    "tools": [
        {
            "toolSpec": {
                "name": "get_weather",
                "description": "Get weather information for a location",
                "inputSchema": {
                    "json": {
                        "type": "object",
                        "properties": {
                            "location": {"type": "string", "description": "The location to get weather for"}
                        },
                        "required": ["location"],
                    }
                },
            }
        }
    ]
}


def test_the_example_of_seed_002(hook):
    response = hook().converse(messages=QUESTION, tool_config=SEED_TOOL_CONFIG)
    # The seed's own way to the tool use, and the typed one.
    content = response.response_data.get("output", {}).get("message", {}).get("content", [])
    (found,) = [block["toolUse"] for block in content if "toolUse" in block]
    (use,) = response.get_tool_uses()
    assert (use.name, use.input) == (found["name"], found["input"]) == ("get_weather", {"location": "New York"})
    assert response.has_tool_use()
    assert response.get_stop_reason() == "tool_use"


def test_a_round_trip_with_a_function(hook):
    run = hook().converse_with_tools(QUESTION, [get_weather])
    assert run.response.get_content() == "It has 21 degrees."
    assert [call.name for call in run.calls] == ["get_weather"]
    assert run.turns == 2
    assert run.cost_usd > 0
    assert run.usage.output_tokens > 0


def test_a_schema_is_asked_for_at_the_end(hook):
    run = hook(output_schema=Weather).converse_with_tools(QUESTION, [get_weather])
    assert run.response.structured_output == Weather(celsius=21, sky="clear")
    assert run.turns == 3
    assert run.messages[-1]["role"] == "assistant"


def test_a_validation_function_sees_answers_only(hook):
    seen = []

    def validate(response):
        seen.append(response.get_content())
        return ValidationResult(success=True)

    hook(response_validation_config=ResponseValidationConfig(validate)).converse_with_tools(QUESTION, [get_weather])
    assert seen == ["It has 21 degrees."]


def test_a_tool_can_skip_the_task(hook):
    with pytest.raises(AirflowSkipException, match="sunk"):
        hook().converse_with_tools([text_message("And in Atlantis?")], [get_weather])
