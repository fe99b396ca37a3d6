"""A stream's bytes are shaped as AWS was recorded to send them."""

from __future__ import annotations

import json
import urllib.request

import pytest
from botocore.eventstream import EventStreamBuffer
from harness.endpoint import HAIKU, NOVA, say

TOOL = {
    "toolSpec": {"name": "rate", "inputSchema": {"json": {"type": "object", "properties": {"a": {"type": "string"}}}}}
}


@pytest.fixture
def frames(endpoint):
    def read(model, body):
        scope = "Credential=AKID/20261120/us-east-1/bedrock/aws4_request, SignedHeaders=host, Signature=" + "0" * 64
        headers = {"Authorization": f"AWS4-HMAC-SHA256 {scope}"}
        request = urllib.request.Request(
            f"{endpoint.url}/model/{model}/converse-stream", json.dumps(body).encode(), headers
        )
        with urllib.request.urlopen(request) as response:
            assert response.headers["Content-Type"] == "application/vnd.amazon.eventstream"
            buffer = EventStreamBuffer()
            buffer.add_data(response.read())
        return [(one.headers, json.loads(one.payload)) for one in buffer]

    return read


def test_events_come_in_order_with_padding_and_usage_last(frames):
    found = frames(NOVA, {"messages": say("one two three four five six")})
    kinds = [headers[":event-type"] for headers, _ in found]
    assert kinds[0] == "messageStart"
    assert set(kinds[1:-3]) == {"contentBlockDelta"}
    assert kinds[-3:] == ["contentBlockStop", "messageStop", "metadata"]
    assert all(headers[":message-type"] == "event" for headers, _ in found)
    assert all(headers[":content-type"] == "application/json" for headers, _ in found)
    assert all("abcdefghijklmnopqrstuvwxyz".startswith(payload["p"][:26]) for _, payload in found)
    assert len({payload["p"] for _, payload in found}) > 1
    assert found[-1][1]["usage"]["serverToolUsage"] == {}


def test_the_pieces_of_a_stream_make_the_answer_of_a_call(runtime):
    whole = runtime.converse(modelId=NOVA, messages=say("one two three"))
    events = list(runtime.converse_stream(modelId=NOVA, messages=say("one two three"))["stream"])
    text = "".join(one["contentBlockDelta"]["delta"]["text"] for one in events if "contentBlockDelta" in one)
    assert text == whole["output"]["message"]["content"][0]["text"]
    assert events[-1]["metadata"]["usage"] == whole["usage"]


def test_a_tool_use_starts_with_its_name_and_streams_its_input(runtime):
    config = {"tools": [TOOL], "toolChoice": {"any": {}}}
    events = list(runtime.converse_stream(modelId=HAIKU, messages=say("one two"), toolConfig=config)["stream"])
    start = next(one["contentBlockStart"] for one in events if "contentBlockStart" in one)
    assert start["start"]["toolUse"]["name"] == "rate"
    pieces = [one["contentBlockDelta"]["delta"]["toolUse"]["input"] for one in events if "contentBlockDelta" in one]
    assert json.loads("".join(pieces)) == {"a": "one two"}
    assert {"messageStop": {"stopReason": "tool_use"}} in events
