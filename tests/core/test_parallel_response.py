"""What came of many requests: in order, counted from attempts, and joined with a later run over what was left."""

import pytest

from airflow_provider_bedrock_llm.core.errors import ConfigurationError, RetryExhaustedError
from airflow_provider_bedrock_llm.core.parallel_response import ParallelResponse
from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest, text_message
from airflow_provider_bedrock_llm.core.response import BedrockResponse, RequestAttempt, Usage
from airflow_provider_bedrock_llm.core.retry_stats import RetryStats

REQUESTS = {name: BedrockConverseRequest([text_message(name)], request_id=name) for name in "abc"}


def called(fault=None, region="r1", **details):
    return RequestAttempt("m", "m-1", region, "direct", 0.1, fault=fault, usage=Usage(1, 1), **details)


def answered(*before, cost_usd=1.0, features=()):
    return BedrockResponse(
        success=True,
        attempts=(*before, called()),
        total_duration_ms=10.0,
        cost_usd=cost_usd,
        features_disabled=tuple(features),
    )


def failed(fault="throttled", cost_usd=0.5, **details):
    return BedrockResponse(
        success=False,
        attempts=(called(fault, **details),),
        total_duration_ms=5.0,
        cost_usd=cost_usd,
        warnings=("w",),
        error=RetryExhaustedError("It failed. Try later."),
    )


def test_responses_stand_in_the_order_of_their_requests():
    response = ParallelResponse.of(REQUESTS, {"c": answered(), "a": answered()}, 20.0, "somebody stopped it")
    assert list(response.request_responses) == ["a", "c"]
    assert response.not_started == ("b",)
    assert not response.success
    assert response.get_success_rate() == pytest.approx(2 / 3)


def test_everything_without_an_answer_is_asked_again_in_order():
    response = ParallelResponse.of(REQUESTS, {"b": answered(), "c": failed()}, 20.0)
    assert list(response.requests_without_answer()) == ["a", "c"]


def test_a_response_that_came_without_its_requests_says_so():
    with pytest.raises(ConfigurationError, match="'a'"):
        ParallelResponse(False, {"a": failed()}, (), 1.0).requests_without_answer()


def test_a_merged_response_has_what_both_runs_took():
    first = ParallelResponse.of(REQUESTS, {"a": answered(), "b": failed()}, 20.0, "stopped")
    second = ParallelResponse.of(
        {name: REQUESTS[name] for name in "bc"}, {"b": answered(called("overloaded")), "c": failed()}, 30.0
    )
    whole = first.merge(second)
    assert list(whole.request_responses) == ["a", "b", "c"]
    assert whole.request_responses["a"] is first.request_responses["a"]
    again = whole.request_responses["b"]
    assert [attempt.fault for attempt in again.attempts] == ["throttled", "overloaded", None]
    assert (again.success, again.cost_usd, again.total_duration_ms, again.warnings) == (True, 1.5, 15.0, ("w",))
    assert (whole.success, whole.total_duration_ms, whole.stopped_because) == (False, 50.0, None)
    assert list(whole.requests_without_answer()) == ["c"]


def test_a_cost_that_one_run_does_not_know_is_not_known():
    first = ParallelResponse.of(REQUESTS, {"a": failed(cost_usd=None)}, 1.0)
    second = ParallelResponse.of({"a": REQUESTS["a"]}, {"a": answered()}, 1.0)
    assert first.merge(second).request_responses["a"].cost_usd is None


def test_statistics_are_counted_from_attempts():
    stats = RetryStats()
    stats.add(answered(called("throttled"), called("throttled", "r2"), features=["cachePoint"]))
    stats.add(failed("read_timeout", may_have_cost=True))
    stats.add(BedrockResponse(success=False))
    assert stats.to_dict() == {
        "requests": 3,
        "succeeded": 1,
        "failed": 2,
        "calls": 4,
        "retries": 2,
        "throttled": 2,
        "unanswered_but_perhaps_billed": 1,
        "faults": {"throttled": 2, "read_timeout": 1},
        "features_disabled": {"cachePoint": 1},
        "routes": {
            "m-1 in r1": {"calls": 3, "succeeded": 1, "throttled": 1},
            "m-1 in r2": {"calls": 1, "succeeded": 0, "throttled": 1},
        },
    }
