"""The control address: counts, the call log, latency, reset, and what it refuses."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError
from harness.endpoint import HAIKU, NOVA, make_client, say

from airflow_provider_bedrock_llm.local import Latency, LocalEndpoint
from airflow_provider_bedrock_llm.local.latency import LatencyClock


def test_calls_are_counted_by_operation_model_region_and_outcome(endpoint, runtime, bedrock):
    usage = runtime.converse(modelId=NOVA, messages=say("x"))["usage"]
    with pytest.raises(ClientError):
        runtime.converse(modelId="no.such-model", messages=say("x"))
    bedrock.list_foundation_models()
    stats = endpoint.control.stats()
    assert stats.calls == 3
    assert stats.by_operation == {"Converse": 2, "ListFoundationModels": 1}
    assert stats.by_outcome == {"ok": 2, "ValidationException": 1}
    assert stats.by_region == {"us-east-1": 3}
    assert (stats.input_tokens, stats.output_tokens) == (usage["inputTokens"], usage["outputTokens"])
    assert {"operation": "Converse", "model": NOVA, "region": "us-east-1", "outcome": "ok", "calls": 1} in stats.detail


def test_calls_are_counted_by_a_record_id_in_their_metadata(endpoint, runtime):
    for record in ("a", "b", "a"):
        runtime.converse(modelId=NOVA, messages=say("x"), requestMetadata={"record": record, "run": "r"})
    assert endpoint.control.calls_by("record") == {"a": 2, "b": 1}
    assert endpoint.control.calls_by("run") == {"r": 3}


def test_the_call_log_has_no_prompt_and_bodies_are_kept_only_when_asked(endpoint, runtime):
    runtime.converse(modelId=NOVA, messages=say("canary"))
    assert endpoint.control.bodies() == []
    (entry,) = endpoint.control.calls()
    assert (entry["operation"], entry["outcome"], entry["status"]) == ("Converse", "ok", 200)
    assert "canary" not in json.dumps(entry)
    endpoint.control.keep_bodies(2)
    for text in ("one", "two", "three"):
        runtime.converse(modelId=NOVA, messages=say(text))
    assert [one["body"]["messages"][0]["content"][0]["text"] for one in endpoint.control.bodies()] == ["two", "three"]


def test_the_peak_of_calls_in_flight_is_kept(endpoint):
    endpoint.control.latency(0.3)
    clients = [make_client(endpoint) for _ in range(3)]
    threads = [threading.Thread(target=one.converse, kwargs={"modelId": NOVA, "messages": say("x")}) for one in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for client in clients:
        client.close()
    stats = endpoint.control.stats()
    assert (stats.in_flight, stats.peak_in_flight) == (0, 3)


def test_reset_forgets_faults_limits_latency_models_and_counts(endpoint, runtime):
    endpoint.control.throttle()
    endpoint.control.latency(60)
    endpoint.control.models([], replace=True)
    endpoint.control.reset()
    assert runtime.converse(modelId=HAIKU, messages=say("x"))["metrics"]["latencyMs"] < 30_000
    assert endpoint.control.stats().calls == 1


def test_rules_are_dropped_by_name(endpoint, runtime):
    endpoint.control.fail("internal", name="a")
    endpoint.control.fail("overloaded", name="b")
    endpoint.control.heal("a")
    with pytest.raises(runtime.exceptions.ServiceUnavailableException):
        runtime.converse(modelId=NOVA, messages=say("x"))
    assert endpoint.control.fired() == [{"name": "b", "action": "error", "seen": 1, "fired": 1}]
    endpoint.control.heal()
    assert runtime.converse(modelId=NOVA, messages=say("x"))["stopReason"] == "end_turn"


def test_what_makes_no_sense_is_refused_in_words(endpoint):
    with pytest.raises(ValueError, match="error='no_such' is not a known Bedrock reply"):
        endpoint.control.fail("no_such")
    with pytest.raises(ValueError, match="kind='sometimes'"):
        endpoint.control.latency(1, kind="sometimes")


def test_an_endpoint_says_which_port_is_taken(endpoint):
    port = int(endpoint.url.rpartition(":")[2])
    with pytest.raises(OSError, match="address already in use"):
        LocalEndpoint(port=port)


@pytest.mark.parametrize("kind", ["uniform", "lognormal"])
def test_drawn_latencies_repeat_with_their_seed(kind):
    latency = Latency(kind=kind, seconds=1.0, high_seconds=3.0, sigma=0.5, seed=5)
    draws = [clock.draw() for clock in (LatencyClock(latency), LatencyClock(latency)) for _ in range(200)]
    assert draws[:200] == draws[200:]
    assert len(set(draws)) == 200
    middle = sorted(draws[:200])[100]
    assert {"uniform": 1.6 < middle < 2.4, "lognormal": 0.8 < middle < 1.25}[kind]


@pytest.mark.parametrize(
    "wrong", [{"kind": "x"}, {"seconds": -1}, {"kind": "uniform", "seconds": 2}, {"kind": "lognormal"}]
)
def test_a_latency_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match=r"kind=|seconds="):
        Latency(**wrong)


def test_errors_can_be_listed(endpoint):
    with urllib.request.urlopen(f"{endpoint.url}/_local/errors") as response:
        assert "too_many_tokens" in json.loads(response.read())


def test_a_call_that_outlives_a_reset_is_in_no_count(endpoint, runtime):
    endpoint.control.latency(0.5)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(runtime.converse, modelId=NOVA, messages=say("Hello."))
        while not endpoint.control.stats().in_flight:
            time.sleep(0.01)
        endpoint.control.reset()
        call.result()
    stats = endpoint.control.stats()
    assert (stats.calls, stats.in_flight, stats.peak_in_flight) == (0, 0, 0)
