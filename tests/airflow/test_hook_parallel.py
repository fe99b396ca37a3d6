"""Many requests at once: as they come, in order of priority, each in its own time, and what failed asked again."""

from __future__ import annotations

import pytest

from airflow_provider_bedrock_llm.core.config import (
    FailureHandlingStrategy,
    LoadBalancingStrategy,
    ParallelProcessingConfig,
    RetryConfig,
)
from airflow_provider_bedrock_llm.core.errors import ConfigurationError, ParallelExecutionError, RequestTimeoutError
from airflow_provider_bedrock_llm.core.parallel_response import ParallelResponse
from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest, text_message
from airflow_provider_bedrock_llm.hooks.bedrock_llm import BedrockLLMHook

NOVA = "amazon.nova-lite-v1:0"
QUICK = RetryConfig(max_retries=1, retry_delay=0.0)
ANSWER_COMES_AFTER_SECONDS = 15
STOPS = FailureHandlingStrategy.STOP_ON_FIRST_FAILURE


def ask(name, **fields):
    return BedrockConverseRequest(
        [text_message(f"Say {name}.")], request_id=name, request_metadata={"record": name}, **fields
    )


def make_hook(**parallel):
    return BedrockLLMHook(
        models=[NOVA], retry_config=QUICK, parallel_config=ParallelProcessingConfig(**parallel) if parallel else None
    )


def names(count):
    return [f"n{number}" for number in range(count)]


def test_responses_are_given_out_as_they_come_and_not_in_order(connected):
    connected.control.fail(action="slow", delay_seconds=0.5, metadata={"record": "n0"})
    came = []
    response = make_hook().converse_parallel(
        [ask(name) for name in names(4)], on_response=lambda request, _: came.append(request.request_id)
    )
    assert sorted(came) == names(4)
    assert came[-1] == "n0"
    assert list(response.request_responses) == names(4)


def test_a_callback_that_fails_stops_the_run_and_loses_no_answer(connected):
    def on_response(request, _):
        if request.request_id == "n2":
            raise OSError("the disk is full")

    with pytest.raises(ParallelExecutionError, match="on_response raised OSError") as caught:
        make_hook(max_concurrent_requests=1).converse_parallel([ask(name) for name in names(5)], on_response)
    assert isinstance(caught.value.__cause__, OSError)
    assert list(caught.value.response.get_successful_responses()) == ["n0", "n1", "n2"]
    assert caught.value.response.not_started == ("n3", "n4")
    assert connected.control.stats().calls == 3


def test_what_failed_is_asked_again_and_what_was_answered_is_not_paid_twice(connected):
    connected.control.fail("input_too_long", metadata={"record": "n1"})
    hook = make_hook()
    first = hook.converse_parallel([ask(name) for name in names(3)])
    assert first.failed_requests == ["n1"]
    connected.control.heal()
    second = hook.retry_failed_requests(first)
    assert second.success
    assert list(second.request_responses) == names(3)
    assert connected.control.calls_by("record") == {"n0": 1, "n1": 2, "n2": 1}
    assert [attempt.fault for attempt in second.request_responses["n1"].attempts] == ["context_too_long", None]
    assert second.request_responses["n0"] is first.request_responses["n0"]
    assert second.parallel_execution_stats.successful_requests == 3


def test_what_never_started_is_asked_as_well_and_a_second_failure_keeps_everything(connected):
    connected.control.fail("input_too_long", metadata={"record": "n1"})
    hook = make_hook(max_concurrent_requests=1, failure_handling_strategy=STOPS)
    with pytest.raises(ParallelExecutionError, match="retry_failed_requests") as caught:
        hook.converse_parallel([ask(name) for name in names(4)])
    assert caught.value.response.not_started == ("n2", "n3")
    with pytest.raises(ParallelExecutionError) as again:
        hook.retry_failed_requests(caught.value.response)
    assert list(again.value.response.get_successful_responses()) == ["n0"]
    connected.control.heal()
    whole = hook.retry_failed_requests(again.value.response)
    assert whole.success
    assert list(whole.request_responses) == names(4)
    assert connected.control.calls_by("record") == {"n0": 1, "n1": 3, "n2": 1, "n3": 1}


def test_nothing_is_asked_where_everything_was_answered(connected):
    hook = make_hook()
    response = hook.converse_parallel([ask("n0")])
    assert hook.retry_failed_requests(response) is response
    assert connected.control.stats().calls == 1


def test_a_response_without_its_requests_cannot_be_retried_and_says_why():
    bare = ParallelResponse(False, {}, ("n0",), 1.0)
    with pytest.raises(ConfigurationError, match="does not hold the request 'n0'"):
        BedrockLLMHook(models=[NOVA]).retry_failed_requests(bare)


def test_a_request_that_takes_too_long_ends_alone_and_at_its_time(connected):
    connected.control.fail(action="slow", delay_seconds=ANSWER_COMES_AFTER_SECONDS, metadata={"record": "n1"})
    response = make_hook(request_timeout_seconds=3.0).converse_parallel([ask(name) for name in names(4)])
    assert response.failed_requests == ["n1"]
    late = response.request_responses["n1"]
    assert isinstance(late.error, RequestTimeoutError)
    assert "3 seconds" in late.error.message
    assert response.total_duration_ms < ANSWER_COMES_AFTER_SECONDS * 1000
    assert connected.control.calls_by("record") == dict.fromkeys(names(4), 1)


@pytest.mark.parametrize("is_on", [True, False])
def test_what_is_urgent_starts_first_where_that_is_wanted(connected, is_on):
    hook = make_hook(max_concurrent_requests=1, enable_request_prioritization=is_on)
    came = []
    requests = [ask("low", priority=1), ask("first"), ask("high", priority=9), ask("second")]
    hook.converse_parallel(requests, on_response=lambda request, _: came.append(request.request_id))
    assert came == (["high", "low", "first", "second"] if is_on else ["low", "first", "high", "second"])


def test_least_loaded_gives_a_slow_region_less(connected):
    connected.control.fail(action="slow", delay_seconds=1.0, region="us-east-1")
    hook = BedrockLLMHook(
        models=[NOVA],
        regions=["us-east-1", "us-west-2", "eu-west-1"],
        parallel_config=ParallelProcessingConfig(
            max_concurrent_requests=6, load_balancing_strategy=LoadBalancingStrategy.LEAST_LOADED
        ),
    )
    response = hook.converse_parallel([ask(name) for name in names(90)])
    calls = connected.control.stats().by_region
    assert response.success
    assert response.parallel_execution_stats.region_distribution == calls
    assert calls["us-east-1"] <= 10
    assert min(calls["us-west-2"], calls["eu-west-1"]) >= 25


async def test_a_running_loop_is_not_blocked_but_told_what_to_await(connected):
    hook = make_hook()
    with pytest.raises(ConfigurationError, match="converse_parallel_async"):
        hook.converse_parallel([ask("n0")])
    await hook.prefetch()
    assert (await hook.converse_parallel_async([ask("n0")])).success


def test_statistics_are_counted_over_all_verbs_from_what_really_happened(connected):
    hook = BedrockLLMHook(models=[NOVA], regions=["us-east-1", "us-west-2"], retry_config=QUICK)
    connected.control.throttle(1, region="us-east-1")
    hook.converse([text_message("One.")])
    assert "".join(hook.converse_stream([text_message("Two.")]))
    connected.control.fail("input_too_long", metadata={"record": "bad"})
    hook.converse_parallel([ask("good"), ask("bad")])
    stats = hook.get_retry_stats()
    seen = connected.control.stats()
    assert stats["calls"] == seen.calls == 5
    assert {name: stats[name] for name in ("requests", "succeeded", "failed", "retries", "throttled")} == {
        "requests": 4,
        "succeeded": 3,
        "failed": 1,
        "retries": 1,
        "throttled": 1,
    }
    assert stats["faults"] == {"throttled": 1, "context_too_long": 1}
    by_region = {route.rpartition(" ")[2]: count["calls"] for route, count in stats["routes"].items()}
    assert by_region == seen.by_region
