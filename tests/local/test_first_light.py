"""The endpoint answers a real client, refuses it, throttles it and counts it."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError
from harness.endpoint import HAIKU, say


def test_the_same_prompt_gets_the_same_answer(runtime):
    first = runtime.converse(modelId=HAIKU, messages=say("What is a nut?"))
    second = runtime.converse(modelId=HAIKU, messages=say("What is a nut?"))
    assert first["output"] == second["output"]
    assert first["usage"]["totalTokens"] == first["usage"]["inputTokens"] + first["usage"]["outputTokens"]


def test_throttling_ends_after_the_calls_it_was_set_for(endpoint, runtime):
    endpoint.control.throttle(2)
    for _ in range(2):
        with pytest.raises(ClientError) as caught:
            runtime.converse(modelId=HAIKU, messages=say("hello"))
        assert caught.value.response["Error"]["Code"] == "ThrottlingException"
    assert runtime.converse(modelId=HAIKU, messages=say("hello"))["stopReason"] == "end_turn"
    stats = endpoint.control.stats()
    assert stats.by_outcome == {"ThrottlingException": 2, "ok": 1}
