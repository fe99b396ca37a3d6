"""A throttling on a route that serves others means to wait for one's turn, not to have failed."""

from harness.routes import make_routes

from airflow_provider_bedrock_llm.core.config import RetryConfig
from airflow_provider_bedrock_llm.core.failover import Call, Failover, GiveUp, Reason, Wait
from airflow_provider_bedrock_llm.core.faults import Fault


def throttled(failover, times, **how):
    progress, step = failover.begin(0.0)
    for _ in range(times):
        progress, step = failover.failed(progress, Fault.THROTTLED, 1.0, 0.5, is_serving=True, **how)
    return progress, step


def test_it_uses_no_retry_and_needs_no_backoff():
    progress, step = throttled(Failover(make_routes(1), RetryConfig(max_retries=3)), 30)
    assert isinstance(step, Call)
    assert (progress.retries, progress.turned_away) == (0, 30)


def test_it_ends_all_the_same_and_with_no_retries_allowed_at_once():
    _, step = throttled(Failover(make_routes(1), RetryConfig(max_retries=3, retry_delay=0)), 34)
    assert step == GiveUp(Reason.RETRIES, Fault.THROTTLED)
    _, step = throttled(Failover(make_routes(1), RetryConfig(max_retries=0)), 1)
    assert step == GiveUp(Reason.RETRIES, Fault.THROTTLED)


def test_deadline_and_the_cap_on_attempts_hold():
    _, step = throttled(Failover(make_routes(1), RetryConfig(deadline_seconds=0.5)), 1)
    assert step == GiveUp(Reason.DEADLINE, Fault.THROTTLED)
    _, step = throttled(Failover(make_routes(1), RetryConfig(max_attempts_total=1)), 1)
    assert step == GiveUp(Reason.ATTEMPTS, Fault.THROTTLED)


def test_another_route_is_taken_where_it_would_not_wait():
    routes = make_routes(2)
    _, step = throttled(Failover(routes, RetryConfig()), 1)
    assert step == Call(routes[1], 2)
    _, step = throttled(Failover(routes, RetryConfig()), 1, is_resting=lambda route: route is routes[1])
    assert step == Call(routes[0], 2)


def test_the_wait_that_the_server_asked_for_is_kept():
    _, step = throttled(Failover(make_routes(1), RetryConfig()), 1, hint_seconds=7.0)
    assert step == Wait(7.0)
