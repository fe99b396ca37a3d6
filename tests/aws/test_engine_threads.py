"""What only threads can get wrong: locks, lines, calls that cannot be cancelled."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

import pytest
from harness.engines import QUESTION
from harness.routes import make_plan

from airflow_provider_bedrock_llm.aws.converse import Engine
from airflow_provider_bedrock_llm.core.config import (
    LoadBalancingStrategy,
    ResponseValidationConfig,
    RetryConfig,
    ValidationResult,
)
from airflow_provider_bedrock_llm.core.conversation import ConversePolicy
from airflow_provider_bedrock_llm.core.errors import RequestTimeoutError
from airflow_provider_bedrock_llm.core.limiter import LimiterConfig, RouteBook
from airflow_provider_bedrock_llm.testing import FakeTransport, failure

WAIT_SECONDS = 20
where = ContextVar("where", default="nowhere")


def make_engine(respond, *, book=None, balance=None, regions=("us-east-1",), validation=None, **retry):
    policy = ConversePolicy(retry=RetryConfig(**{"retry_delay": 0, **retry}), validation=validation)
    return Engine(FakeTransport(respond), policy, make_plan(regions=regions, retry=policy.retry), book, balance)


def in_flight(engine):
    return [state.in_flight for state in engine.book.states.values()]


def test_a_full_route_is_waited_for_whichever_engine_asks():
    book = RouteBook(LimiterConfig(max_in_flight=2))
    lock, now, peak = threading.Lock(), [0], [0]

    def respond(wire):
        with lock:
            now[0] += 1
            peak[0] = max(peak[0], now[0])
        threading.Event().wait(0.001)
        with lock:
            now[0] -= 1
        return "x"

    engines = [make_engine(respond, book=book) for _ in range(2)]
    with ThreadPoolExecutor(8) as pool:
        responses = list(pool.map(lambda number: engines[number % 2].ask(QUESTION), range(60)))
    assert all(response.success for response in responses)
    assert peak == [2]
    assert in_flight(engines[0]) == in_flight(engines[1]) == [0]


def test_answers_are_judged_side_by_side():
    meeting = threading.Barrier(3, timeout=WAIT_SECONDS)

    def function(response):
        meeting.wait()
        return ValidationResult(True)

    engine = make_engine(lambda wire: "x", validation=ResponseValidationConfig(function))
    with ThreadPoolExecutor(3) as pool:
        assert all(response.success for response in pool.map(engine.ask, [QUESTION] * 3))


def test_a_validation_function_may_ask_the_same_engine():
    asked = []

    def function(response):
        if not asked:
            asked.append(1)
            with ThreadPoolExecutor(1) as pool:
                assert pool.submit(engine.ask, QUESTION).result(WAIT_SECONDS).success
        return ValidationResult(True)

    engine = make_engine(lambda wire: "x", validation=ResponseValidationConfig(function))
    assert engine.ask(QUESTION).success


def test_a_call_that_hangs_is_left_behind_at_the_deadline():
    going_on = threading.Event()

    def respond(wire):
        going_on.wait(WAIT_SECONDS)
        return "too late"

    engine = make_engine(respond, deadline_seconds=0.05, max_retries=5)
    response = engine.ask(QUESTION)
    going_on.set()
    assert isinstance(response.error, RequestTimeoutError)
    assert [attempt.fault for attempt in response.attempts] == ["deadline"]
    assert response.error.may_have_cost
    assert in_flight(engine) == [0]


def test_a_request_whose_deadline_comes_in_the_line_was_never_sent():
    book = RouteBook(LimiterConfig(max_in_flight=1))
    engine = make_engine(lambda wire: "x", book=book, deadline_seconds=0.05)
    held = engine.book.start(engine.plans.common.routes(["us-east-1"])[0], 0.0)
    response = engine.ask(QUESTION)
    assert isinstance(response.error, RequestTimeoutError)
    assert not response.error.may_have_cost
    engine.book.finish(held, None, 1.0)
    assert engine.ask(QUESTION).success


@pytest.mark.parametrize("deadline_seconds", [None, 30.0])
def test_a_bug_in_the_transport_comes_out_and_gives_the_place_back(deadline_seconds):
    def respond(wire):
        raise KeyError("a bug")

    engine = make_engine(respond, deadline_seconds=deadline_seconds)
    with pytest.raises(KeyError):
        engine.ask(QUESTION)
    assert in_flight(engine) == [0]


@pytest.mark.parametrize("deadline_seconds", [None, 30.0])
def test_a_call_sees_the_context_of_its_caller(deadline_seconds):
    seen = []
    engine = make_engine(lambda wire: seen.append(where.get()) or "x", deadline_seconds=deadline_seconds)
    token = where.set("here")
    engine.ask(QUESTION)
    where.reset(token)
    assert seen == ["here"]


def test_a_wave_of_expired_credentials_is_refreshed_once():
    wave = threading.Barrier(4, timeout=WAIT_SECONDS)
    calls = threading.local()

    def respond(wire):
        calls.count = getattr(calls, "count", 0) + 1
        if calls.count == 1:
            wave.wait()
            return failure("ExpiredTokenException", "", 403)
        return "x"

    engine = make_engine(respond)
    with ThreadPoolExecutor(4) as pool:
        assert all(response.success for response in pool.map(engine.ask, [QUESTION] * 4))
    assert engine._transport.refreshes == 1


def test_the_least_loaded_region_is_found_while_others_come_and_go():
    regions = [f"region-{number}" for number in range(6)]
    engine = make_engine(lambda wire: "x", regions=regions, balance=LoadBalancingStrategy.LEAST_LOADED)
    with ThreadPoolExecutor(8) as pool:
        assert all(response.success for response in pool.map(engine.ask, [QUESTION] * 300))
