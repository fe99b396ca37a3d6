"""What comes back: content blocks in and out, settings obeyed, own functions, guardrails, reasoning."""

from __future__ import annotations

import base64
import json

import pytest
from harness.endpoint import HAIKU, NOVA, make_client, say

from airflow_provider_bedrock_llm.local import Answer, LocalEndpoint, Refused, preset
from airflow_provider_bedrock_llm.local.answers import load_answerer

PNG = base64.b64decode("iVBORw0KGgo=") + b"rest"
TOOL = {
    "toolSpec": {
        "name": "rate",
        "inputSchema": {"json": {"type": "object", "properties": {"stars": {"type": "integer"}}}},
    }
}
BLOCKS_IN = [
    {"image": {"format": "png", "source": {"bytes": PNG}}},
    {"document": {"format": "txt", "name": "notes", "source": {"bytes": b"plain"}}},
    {"document": {"format": "md", "name": "notes", "source": {"text": "plain"}}},
    {"video": {"format": "mp4", "source": {"bytes": b"film"}}},
    {"video": {"format": "mp4", "source": {"s3Location": {"uri": "s3://bucket/film.mp4"}}}},
    {"guardContent": {"text": {"text": "guarded"}}},
    {"cachePoint": {"type": "default"}},
    {"searchResult": {"source": "s", "title": "t", "content": [{"text": "x"}]}},
]


@pytest.mark.parametrize("block", BLOCKS_IN, ids=lambda block: next(iter(block)))
def test_each_content_block_is_taken(runtime, block):
    reply = runtime.converse(modelId=NOVA, messages=[{"role": "user", "content": [{"text": "see"}, block]}])
    assert reply["stopReason"] == "end_turn"


def test_a_tool_conversation_goes_round(runtime):
    config = {"tools": [TOOL], "toolChoice": {"tool": {"name": "rate"}}}
    asked = runtime.converse(modelId=NOVA, messages=say("Great phone"), toolConfig=config)
    assert asked["stopReason"] == "tool_use"
    use = asked["output"]["message"]["content"][0]["toolUse"]
    assert use["name"] == "rate"
    assert isinstance(use["input"]["stars"], int)
    assert use["toolUseId"].startswith("tooluse_")
    result = {"toolResult": {"toolUseId": use["toolUseId"], "content": [{"json": {"done": True}}]}}
    messages = [*say("Great phone"), asked["output"]["message"], {"role": "user", "content": [result]}]
    free = {"tools": [TOOL]}
    assert runtime.converse(modelId=NOVA, messages=messages, toolConfig=free)["stopReason"] == "end_turn"
    with pytest.raises(runtime.exceptions.ValidationException, match="Expected toolResult blocks at"):
        runtime.converse(modelId=NOVA, messages=[*messages[:2], *say("never mind")], toolConfig=free)


def test_any_tool_means_the_first(runtime):
    config = {"tools": [TOOL], "toolChoice": {"any": {}}}
    assert runtime.converse(modelId=NOVA, messages=say("x"), toolConfig=config)["stopReason"] == "tool_use"


def test_an_output_schema_shapes_the_text(runtime):
    schema = {
        "type": "object",
        "properties": {"sentiment": {"enum": ["positive", "negative"]}, "score": {"type": "number"}},
        "required": ["sentiment", "score"],
        "additionalProperties": False,
    }
    structure = {"jsonSchema": {"schema": json.dumps(schema), "name": "review"}}
    config = {"textFormat": {"type": "json_schema", "structure": structure}}
    reply = runtime.converse(modelId=HAIKU, messages=say("I love it"), outputConfig=config)
    assert reply["stopReason"] == "end_turn"
    value = json.loads(reply["output"]["message"]["content"][0]["text"])
    assert value["sentiment"] == "positive"
    assert value["score"] > 0


@pytest.mark.parametrize(("text", "label"), [("Awful, it broke", "negative"), ("Love it", "positive")])
def test_a_question_about_sentiment_gets_one_word(runtime, text, label):
    system = [{"text": "Give the sentiment: positive, negative or neutral."}]
    reply = runtime.converse(modelId=NOVA, messages=say(text), system=system)
    assert reply["output"]["message"]["content"] == [{"text": label}]


def test_max_tokens_cut_an_answer_short(runtime):
    reply = runtime.converse(modelId=NOVA, messages=say("x"), inferenceConfig={"maxTokens": 2})
    assert (reply["stopReason"], reply["usage"]["outputTokens"]) == ("max_tokens", 2)
    assert len(reply["output"]["message"]["content"][0]["text"]) == 8


def test_a_stop_sequence_ends_an_answer(runtime):
    reply = runtime.converse(modelId=NOVA, messages=say("x"), inferenceConfig={"stopSequences": ["words"]})
    assert reply["stopReason"] == "stop_sequence"
    assert reply["output"]["message"]["content"] == [{"text": "You wrote 1 "}]


def test_tier_latency_and_extra_fields_are_echoed_where_asked_for(runtime):
    plain = runtime.converse(modelId=NOVA, messages=say("x"))
    assert not {"serviceTier", "performanceConfig", "additionalModelResponseFields", "trace"} & plain.keys()
    reply = runtime.converse(
        modelId=NOVA,
        messages=say("x"),
        serviceTier={"type": "flex"},
        performanceConfig={"latency": "optimized"},
        additionalModelResponseFieldPaths=["/stop_sequence"],
    )
    assert reply["serviceTier"] == {"type": "flex"}
    assert reply["performanceConfig"] == {"latency": "optimized"}
    assert reply["additionalModelResponseFields"] == {"stop_sequence": None}


def test_thinking_comes_before_the_text(runtime):
    fields = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
    reply = runtime.converse(modelId=HAIKU, messages=say("x"), additionalModelRequestFields=fields)
    kinds = [next(iter(block)) for block in reply["output"]["message"]["content"]]
    assert kinds == ["reasoningContent", "text"]


def test_a_guardrail_stops_input_and_output(endpoint, runtime):
    endpoint.control.guardrail("gr1", ["secret"], version="1")
    config = {"guardrailIdentifier": "gr1", "guardrailVersion": "1", "trace": "enabled"}
    blocked = runtime.converse(modelId=NOVA, messages=say("a SECRET"), guardrailConfig=config)
    assert blocked["stopReason"] == "guardrail_intervened"
    assert blocked["trace"]["guardrail"]["inputAssessment"]["gr1"]["wordPolicy"]["customWords"][0]["match"] == "secret"
    assert runtime.converse(modelId=NOVA, messages=say("fine"), guardrailConfig=config)["stopReason"] == "end_turn"
    content = [{"text": {"text": "the secret"}}]
    applied = runtime.apply_guardrail(guardrailIdentifier="gr1", guardrailVersion="1", source="OUTPUT", content=content)
    assert applied["action"] == "GUARDRAIL_INTERVENED"
    with pytest.raises(runtime.exceptions.ValidationException):
        runtime.converse(modelId=NOVA, messages=say("x"), guardrailConfig={**config, "guardrailVersion": "2"})


BLOCKS_OUT = (
    {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}},
    {"reasoningContent": {"redactedContent": base64.b64encode(b"hidden").decode()}},
    {"text": "told"},
    {
        "citationsContent": {
            "content": [{"text": "cited"}],
            "citations": [{"title": "t", "location": {"web": {"url": "u"}}}],
        }
    },
    {"image": {"format": "png", "source": {"bytes": base64.b64encode(PNG).decode()}}},
    {"toolUse": {"toolUseId": "t1", "name": "web", "input": {"q": 1}, "type": "server_tool_use"}},
    {"toolResult": {"toolUseId": "t1", "content": [{"json": {"ok": True}}], "type": "web_result"}},
)


async def answer_on_demand(call):
    """Answers as the prompt asks."""
    replies = {
        "blocks": Answer(content=BLOCKS_OUT, stop_reason="end_turn"),
        "dict": {"stars": 5},
        "tokens": Answer("x", input_tokens=11, output_tokens=22),
    }
    if call.text == "refuse":
        raise Refused(preset("overloaded"))
    if call.text == "break":
        raise RuntimeError("out of order")
    return replies.get(call.text, f"{call.model_id} {call.region} {call.metadata.get('record')} {call.system}")


@pytest.fixture(scope="module")
def own_client():
    with LocalEndpoint(answerer=answer_on_demand, tls_port=None) as endpoint:
        client = make_client(endpoint)
        yield client
        client.close()


def test_an_own_function_answers(own_client):
    reply = own_client.converse(
        modelId=NOVA, messages=say("who"), system=[{"text": "sys"}], requestMetadata={"record": "7"}
    )
    assert reply["output"]["message"]["content"] == [{"text": f"{NOVA} us-east-1 7 sys"}]


def test_every_content_block_can_be_answered_with(own_client):
    content = own_client.converse(modelId=NOVA, messages=say("blocks"))["output"]["message"]["content"]
    assert [next(iter(block)) for block in content] == [next(iter(block)) for block in BLOCKS_OUT]
    assert content[1]["reasoningContent"]["redactedContent"] == b"hidden"


def test_every_content_block_can_be_streamed(own_client):
    events = list(own_client.converse_stream(modelId=NOVA, messages=say("blocks"))["stream"])
    starts = {one["contentBlockStart"]["contentBlockIndex"] for one in events if "contentBlockStart" in one}
    assert starts == {4, 5, 6}
    deltas = [one["contentBlockDelta"] for one in events if "contentBlockDelta" in one]
    assert {one["contentBlockIndex"] for one in deltas} == set(range(7))
    assert {"citation": {"title": "t", "location": {"web": {"url": "u"}}}} in [one["delta"] for one in deltas]


def test_a_dict_is_json_or_the_input_of_the_forced_tool(own_client):
    text = own_client.converse(modelId=NOVA, messages=say("dict"))["output"]["message"]["content"][0]["text"]
    assert json.loads(text) == {"stars": 5}
    config = {"tools": [TOOL], "toolChoice": {"any": {}}}
    forced = own_client.converse(modelId=NOVA, messages=say("dict"), toolConfig=config)
    assert forced["output"]["message"]["content"][0]["toolUse"]["input"] == {"stars": 5}


def test_an_own_function_can_say_the_tokens(own_client):
    assert own_client.converse(modelId=NOVA, messages=say("tokens"))["usage"]["totalTokens"] == 33


def test_an_own_function_can_refuse(own_client):
    with pytest.raises(own_client.exceptions.ServiceUnavailableException):
        own_client.converse(modelId=NOVA, messages=say("refuse"))


def test_an_own_function_that_fails_is_a_model_error(own_client):
    with pytest.raises(own_client.exceptions.ModelErrorException, match="RuntimeError: out of order"):
        own_client.converse(modelId=NOVA, messages=say("break"))


def test_a_function_is_found_by_its_name():
    assert load_answerer("json:dumps") is json.dumps
    for wrong in ("json", "json:no_such"):
        with pytest.raises(ValueError, match="answers="):
            load_answerer(wrong)
