"""How many requests run at once, and when the rest is left alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_bedrock_llm.core.config import FailureHandlingStrategy, ParallelProcessingConfig
from airflow_provider_bedrock_llm.core.errors import (
    AuthenticationError,
    ConfigurationError,
    LLMManagerError,
    ModelAccessError,
    QuotaExhaustedError,
    RequestValidationError,
    RetryExhaustedError,
)
from airflow_provider_bedrock_llm.core.fanout import Fanout

BAD = RequestValidationError("bad")


def fanout(policy=FailureHandlingStrategy.CONTINUE_ON_FAILURE, **config):
    return Fanout(ParallelProcessingConfig(failure_handling_strategy=policy, **config))


def play(run, story):
    """G for an answer, B for a failure."""
    for event in story:
        run.start()
        run.finish(None if event == "G" else BAD)
    return run


def test_no_more_than_allowed_run_at_once():
    run = fanout(max_concurrent_requests=2)
    run.start()
    assert run.may_start
    run.start()
    assert not run.may_start
    assert run.in_flight == 2
    run.finish()
    assert run.may_start


def test_failures_change_nothing_where_the_policy_goes_on():
    run = play(fanout(), "B" * 500)
    assert run.may_start
    assert (run.started, run.succeeded, run.failed, run.in_flight) == (500, 0, 500, 0)


def test_the_first_failure_stops_the_rest_where_the_policy_says_so():
    run = play(fanout(FailureHandlingStrategy.STOP_ON_FIRST_FAILURE), "GGB")
    assert not run.may_start
    assert "stop_on_first_failure" in run.stopped_because


def test_a_share_of_failures_above_the_threshold_stops_the_rest():
    run = fanout(FailureHandlingStrategy.STOP_ON_THRESHOLD, failure_threshold=0.5, failure_threshold_minimum=4)
    assert play(run, "GGBB").may_start
    assert not play(run, "B").may_start
    assert run.stopped_because == "3 of 5 requests failed, more than failure_threshold=0.5"


def test_few_failures_at_the_start_mean_nothing():
    run = fanout(FailureHandlingStrategy.STOP_ON_THRESHOLD, failure_threshold=0.1, failure_threshold_minimum=20)
    assert play(run, "B" * 19).may_start
    assert not play(run, "B").may_start


def test_a_threshold_of_one_never_stops_and_of_zero_stops_at_the_first_after_the_minimum():
    never = fanout(FailureHandlingStrategy.STOP_ON_THRESHOLD, failure_threshold=1.0, failure_threshold_minimum=1)
    assert play(never, "B" * 50).may_start
    strict = fanout(FailureHandlingStrategy.STOP_ON_THRESHOLD, failure_threshold=0.0, failure_threshold_minimum=1)
    assert play(strict, "G" * 50).may_start
    assert not play(strict, "B").may_start


def test_what_is_under_way_is_counted_after_the_stop():
    run = fanout(FailureHandlingStrategy.STOP_ON_FIRST_FAILURE, max_concurrent_requests=3)
    for _ in range(3):
        run.start()
    run.finish(BAD)
    run.finish()
    run.finish()
    assert (run.succeeded, run.failed, run.in_flight) == (2, 1, 0)


def test_a_request_that_was_not_sent_counts_as_never_started_and_nothing_follows_it():
    run = fanout()
    run.start()
    run.start()
    run.withdraw("a stop was asked for")
    run.finish()
    assert (run.started, run.succeeded, run.failed, run.in_flight) == (1, 1, 0, 0)
    assert run.stopped_because == "a stop was asked for"


def test_the_first_reason_to_stop_stays():
    run = fanout()
    run.stop("first")
    run.stop("second")
    assert run.stopped_because == "first"


@pytest.mark.parametrize("kind", [AuthenticationError, ConfigurationError, ModelAccessError, QuotaExhaustedError])
def test_a_cause_that_all_share_stops_even_those_who_would_go_on(kind):
    run = fanout()
    for _ in range(20):
        assert run.may_start
        run.start()
        run.finish(kind("no access"))
    assert not run.may_start
    assert "no access" in run.stopped_because


@pytest.mark.parametrize("between", [None, BAD, RetryExhaustedError("busy")])
def test_anything_else_in_between_shows_that_not_all_share_the_cause(between):
    run = fanout()
    for event in [*[AuthenticationError("x")] * 19, between, *[AuthenticationError("x")] * 19]:
        run.start()
        run.finish(event)
    assert run.may_start


@given(
    st.lists(st.sampled_from(["start", None, BAD, LLMManagerError("x")]), max_size=80),
    st.sampled_from(FailureHandlingStrategy),
    st.integers(1, 5),
)
def test_counts_always_add_up(story, policy, most):
    run = fanout(policy, max_concurrent_requests=most)
    for event in story:
        if event == "start":
            if run.may_start:
                run.start()
        elif run.in_flight:
            run.finish(event)
        assert 0 <= run.in_flight <= most
        assert run.started == run.succeeded + run.failed + run.in_flight
        assert not (run.stopped_because and run.may_start)
