"""Faults by script: what a client sees, and which calls they befall."""

from __future__ import annotations

import contextlib

import aiohttp
import botocore.eventstream
import pytest
import urllib3
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    EventStreamError,
    ReadTimeoutError,
)
from harness.endpoint import HAIKU, KEYS, NOVA, make_client, say

from airflow_provider_bedrock_llm.local import ErrorReply
from airflow_provider_bedrock_llm.local.faults import FaultBook, FaultRule, Suspect


def suspect(text="", model=NOVA, region="us-east-1", operation="Converse", metadata=None):
    return Suspect(operation, model, model, region, "AKID", metadata or {}, lambda: text)


def fired(rule, calls, *, times=None):
    book = FaultBook()
    book.add([rule], now=0.0)
    return [book.decide(call, times[place] if times else 0.0) is not None for place, call in enumerate(calls)]


def test_first_and_after_choose_a_run_of_calls():
    assert fired(FaultRule(error="internal", after=1, first=2), [suspect()] * 5) == [False, True, True, False, False]


def test_every_takes_each_nth_call():
    assert fired(FaultRule(error="internal", every=3), [suspect()] * 6) == [False, False, True] * 2


def test_seconds_end_a_rule():
    assert fired(FaultRule(error="internal", seconds=10), [suspect()] * 3, times=[0, 9.9, 10]) == [True, True, False]


def test_probability_repeats_with_its_seed():
    rule = FaultRule(error="internal", probability=0.5, seed=7)
    first = fired(rule, [suspect()] * 200)
    assert first == fired(rule, [suspect()] * 200)
    assert 70 < sum(first) < 130


@pytest.mark.parametrize(
    ("matcher", "fits", "misses"),
    [
        ({"model": "amazon.*"}, suspect(), suspect(model=HAIKU)),
        ({"region": "us-*"}, suspect(), suspect(region="eu-west-1")),
        ({"operation": "ConverseStream"}, suspect(operation="ConverseStream"), suspect()),
        ({"text": "needle"}, suspect("a needle"), suspect("hay")),
        ({"metadata": {"record": "7"}}, suspect(metadata={"record": "7"}), suspect(metadata={"record": "8"})),
    ],
)
def test_a_rule_befalls_only_what_it_names(matcher, fits, misses):
    assert fired(FaultRule(error="internal", **matcher), [fits, misses, fits]) == [True, False, True]


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"action": "explode"}, "action='explode'"),
        ({"error": "no_such"}, "error='no_such'"),
        ({"error": "internal", "every": 0}, "every=0"),
        ({"error": "internal", "probability": 2}, "probability=2"),
        ({}, "error=None"),
    ],
)
def test_a_rule_that_makes_no_sense_names_the_setting(wrong, text):
    with pytest.raises(ValueError, match=text):
        FaultRule(**wrong)


def test_the_control_address_refuses_an_unknown_part_of_a_rule(endpoint):
    with pytest.raises(ValueError, match="'modell' is not part of a fault rule"):
        endpoint.control.fail("internal", modell="x")


def test_an_own_error_can_be_given(endpoint, runtime):
    endpoint.control.fail(ErrorReply("ConflictException", 409, "Twice.", extra_headers={"Retry-After": "7"}))
    with pytest.raises(ClientError) as caught:
        runtime.converse(modelId=NOVA, messages=say("x"))
    assert caught.value.response["Error"] == {"Code": "ConflictException", "Message": "Twice."}
    assert caught.value.response["ResponseMetadata"]["HTTPHeaders"]["retry-after"] == "7"


def test_a_cut_connection_closes_without_an_answer(endpoint, runtime):
    endpoint.control.fail(action="cut", first=1)
    with pytest.raises(ConnectionClosedError):
        runtime.converse(modelId=NOVA, messages=say("x"))
    assert endpoint.control.stats().by_outcome == {"cut": 1}
    assert runtime.converse(modelId=NOVA, messages=say("x"))["stopReason"] == "end_turn"


def test_boto3_takes_half_an_answer_for_an_empty_one(endpoint, runtime):
    endpoint.control.fail(action="cut_reply")
    reply = runtime.converse(modelId=NOVA, messages=say("x"))
    assert list(reply) == ["ResponseMetadata"]
    assert endpoint.control.stats().by_outcome == {"cut_reply": 1}


def test_a_hang_lasts_until_the_client_leaves(endpoint):
    client = make_client(endpoint, read_timeout=0.3)
    endpoint.control.fail(action="hang", first=1)
    with pytest.raises(ReadTimeoutError):
        client.converse(modelId=NOVA, messages=say("x"))
    assert client.converse(modelId=NOVA, messages=say("x"))["stopReason"] == "end_turn"
    client.close()
    stats = endpoint.control.stats()
    assert stats.by_outcome == {"hang": 1, "ok": 1}
    assert stats.in_flight == 0


def test_a_slow_call_says_how_long_it_took(endpoint, runtime):
    endpoint.control.fail(action="slow", delay_seconds=0.2)
    assert runtime.converse(modelId=NOVA, messages=say("x"))["metrics"]["latencyMs"] >= 199


def test_the_catalog_can_fail_too(endpoint, bedrock):
    endpoint.control.fail("denied_by_policy", operation="ListInferenceProfiles")
    assert bedrock.list_foundation_models()["modelSummaries"]
    with pytest.raises(bedrock.exceptions.AccessDeniedException):
        bedrock.list_inference_profiles()


def texts_until_fault(runtime):
    stream = runtime.converse_stream(modelId=NOVA, messages=say("one two three"))["stream"]
    with contextlib.closing(stream):
        for event in stream:
            yield next(iter(event))


def test_an_exception_in_a_stream_has_a_code_in_camel_case(endpoint, runtime):
    endpoint.control.fail("too_many_tokens", action="stream_error", after_events=2)
    stream = texts_until_fault(runtime)
    assert [next(stream), next(stream)] == ["messageStart", "contentBlockDelta"]
    with pytest.raises(EventStreamError) as caught:
        next(stream)
    assert caught.value.response["Error"] == {
        "Code": "throttlingException",
        "Message": "Too many tokens, please wait before trying again.",
    }
    assert endpoint.control.stats().by_outcome == {"stream_error:throttlingException": 1}


def test_a_stream_can_end_cleanly_without_message_stop(endpoint, runtime):
    endpoint.control.fail(action="stream_end", after_events=2)
    assert list(texts_until_fault(runtime)) == ["messageStart", "contentBlockDelta"]


def test_a_stream_can_be_cut(endpoint, runtime):
    endpoint.control.fail(action="cut_reply", after_events=1)
    stream = texts_until_fault(runtime)
    assert next(stream) == "messageStart"
    with pytest.raises(urllib3.exceptions.ProtocolError):
        next(stream)


def test_a_frame_can_have_a_wrong_checksum(endpoint, runtime):
    endpoint.control.fail(action="stream_bad_crc", after_events=1)
    stream = texts_until_fault(runtime)
    assert next(stream) == "messageStart"
    with pytest.raises(botocore.eventstream.ChecksumMismatch):
        next(stream)


def test_a_stream_can_stall(endpoint):
    client = make_client(endpoint, read_timeout=0.3)
    endpoint.control.fail(action="stream_stall", after_events=1)
    stream = texts_until_fault(client)
    assert next(stream) == "messageStart"
    with pytest.raises(urllib3.exceptions.ReadTimeoutError):
        next(stream)
    client.close()


async def test_aiobotocore_sees_stream_faults_in_its_own_way(endpoint):
    config = AioConfig(retries={"mode": "standard", "total_max_attempts": 1})
    arguments = {"region_name": "us-east-1", "endpoint_url": endpoint.url, "config": config, **KEYS}
    async with get_session().create_client("bedrock-runtime", **arguments) as client:
        for action, expected in (("stream_error", EventStreamError), ("cut_reply", aiohttp.ClientPayloadError)):
            endpoint.control.reset()
            endpoint.control.fail("internal" if action == "stream_error" else None, action=action, after_events=1)
            reply = await client.converse_stream(modelId=NOVA, messages=say("one two three"))
            with pytest.raises(expected):
                _ = [event async for event in reply["stream"]]
            reply["stream"].close()
