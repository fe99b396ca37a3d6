"""Many requests at once: what starts, what stops, what is kept."""

import asyncio
import time
from dataclasses import replace

import pytest
from harness.engines import QUESTION, FakeClock
from harness.routes import make_plan

from airflow_provider_bedrock_llm.aws.converse import AsyncEngine
from airflow_provider_bedrock_llm.aws.parallel import ask_all
from airflow_provider_bedrock_llm.core.config import (
    FailureHandlingStrategy,
    LoadBalancingStrategy,
    ParallelProcessingConfig,
    RetryConfig,
)
from airflow_provider_bedrock_llm.core.conversation import ConversePolicy
from airflow_provider_bedrock_llm.core.errors import RequestTimeoutError
from airflow_provider_bedrock_llm.core.faults import Fault
from airflow_provider_bedrock_llm.core.limiter import LimiterConfig, RouteBook
from airflow_provider_bedrock_llm.core.response import BedrockResponse
from airflow_provider_bedrock_llm.testing import AsyncFakeTransport, failure, throttled

BAD = failure("ValidationException", "bad")


def numbered(count, **fields):
    return [
        replace(QUESTION, request_id=str(number), request_metadata={"n": str(number)}, **fields)
        for number in range(count)
    ]


def name_of(wire):
    return wire.params["requestMetadata"]["n"]


class Run:
    """ask_all over a fake transport, with everything written down."""

    def __init__(
        self,
        respond,
        *,
        regions=("us-east-1",),
        book=None,
        balance=None,
        config=None,
        places=None,
        real_time=False,
        **retry,
    ):
        self.transport = AsyncFakeTransport(respond)
        policy = ConversePolicy(retry=RetryConfig(**{"retry_delay": 0, **retry}))
        clock = FakeClock()
        times = {} if real_time else {"clock": clock, "sleep": clock.async_sleep}
        plan = make_plan(regions=regions, retry=policy.retry)
        self.stop = asyncio.Event()
        self.engine = AsyncEngine(
            self.transport, policy, plan, book, balance, places=places, draw=lambda: 0.5, stop=self.stop, **times
        )
        self.config = config or {}
        self.kept = {}
        self.batches_taken = 0
        self.on_response = self.keep

    def keep(self, request, response):
        self.kept[request.request_id] = response

    async def over(self, *batches):
        left = list(batches)

        async def next_batch():
            self.batches_taken += 1
            await asyncio.sleep(0)
            return left.pop(0) if left else []

        config = ParallelProcessingConfig(**{"max_concurrent_requests": 3, **self.config})
        return await ask_all(self.engine, next_batch, self.on_response, config, self.stop)

    @property
    def asked(self):
        return [name_of(wire) for wire in self.transport.requests]


async def until(condition):
    while not condition():  # noqa: ASYNC110 - what is awaited has no event
        await asyncio.sleep(0)


async def settle():
    """Whatever can go on does."""
    for _ in range(10):
        await asyncio.sleep(0)


class Gate:
    """Answers when told to, and knows how many wait."""

    def __init__(self):
        self.waiting = {}
        self.peak = 0

    async def __call__(self, wire):
        future = asyncio.get_running_loop().create_future()
        self.waiting[name_of(wire)] = future
        self.peak = max(self.peak, len(self.waiting))
        try:
            return await future
        finally:
            del self.waiting[name_of(wire)]

    async def until(self, count):
        await until(lambda: len(self.waiting) == count)

    def answer(self, name, outcome="an answer"):
        self.waiting[name].set_result(outcome)

    async def answer_all(self, run):
        while not run.done():
            for future in self.waiting.values():
                if not future.done():
                    future.set_result("an answer")
            await asyncio.sleep(0)


async def test_everything_is_asked_once_and_every_response_is_handed_over():
    run = Run(name_of)
    end = await run.over(numbered(10)[:4], numbered(10)[4:])
    assert sorted(run.asked, key=int) == [str(number) for number in range(10)]
    assert {name: response.get_content() for name, response in run.kept.items()} == {name: name for name in run.asked}
    assert (end.started, end.succeeded, end.failed, end.stopped_because) == (10, 10, 0, None)


async def test_requests_start_in_order():
    run = Run(lambda wire: "x")
    await run.over(numbered(20))
    assert run.asked == [str(number) for number in range(20)]


async def test_responses_come_as_they_are_ready_and_not_in_order():
    gate = Gate()
    run = Run(gate)
    going = asyncio.create_task(run.over(numbered(3)))
    for name in ("2", "0", "1"):
        await until(lambda name=name: name in gate.waiting)
        gate.answer(name)
    await going
    assert list(run.kept) == ["2", "0", "1"]


async def test_no_more_than_allowed_are_under_way_and_no_fewer():
    gate = Gate()
    run = Run(gate, config={"max_concurrent_requests": 5})
    going = asyncio.create_task(run.over(numbered(20)))
    await gate.until(5)
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(gate.waiting) == 5
    await gate.answer_all(going)
    assert gate.peak == 5


async def test_batches_are_fetched_as_they_are_needed():
    gate = Gate()
    run = Run(gate, config={"max_concurrent_requests": 2})
    going = asyncio.create_task(run.over(*[[request] for request in numbered(10)]))
    await gate.until(2)
    for _ in range(20):
        await asyncio.sleep(0)
    assert run.batches_taken == 2
    await gate.answer_all(going)
    assert run.batches_taken == 11


async def test_nothing_to_ask_is_no_trouble():
    end = await Run(lambda wire: "x").over()
    assert end.started == 0


async def test_priority_decides_who_starts_first_among_those_that_wait():
    requests = [
        replace(request, priority=priority) for request, priority in zip(numbered(5), (0, 2, 1, 2, 0), strict=True)
    ]
    run = Run(lambda wire: "x", config={"max_concurrent_requests": 1})
    await run.over(requests)
    assert run.asked == ["1", "3", "2", "0", "4"]
    run = Run(lambda wire: "x", config={"max_concurrent_requests": 1, "enable_request_prioritization": False})
    await run.over(requests)
    assert run.asked == ["0", "1", "2", "3", "4"]


async def test_failures_do_not_stop_those_who_go_on():
    run = Run(lambda wire: BAD if int(name_of(wire)) % 2 else "x")
    end = await run.over(numbered(10))
    assert (end.succeeded, end.failed) == (5, 5)
    assert [name for name, response in run.kept.items() if not response.success] == ["1", "3", "5", "7", "9"]
    assert all(response.attempts for response in run.kept.values())


async def test_the_first_failure_stops_what_has_not_started_and_keeps_what_has():
    gate = Gate()
    run = Run(gate, config={"failure_handling_strategy": FailureHandlingStrategy.STOP_ON_FIRST_FAILURE})
    going = asyncio.create_task(run.over(numbered(20)))
    await gate.until(3)
    gate.answer("1", BAD)
    await gate.until(2)
    gate.answer("0")
    gate.answer("2")
    end = await going
    assert run.asked == ["0", "1", "2"]
    assert {name: response.success for name, response in run.kept.items()} == {"1": False, "0": True, "2": True}
    assert "stop_on_first_failure" in end.stopped_because


async def test_a_share_of_failures_stops_what_has_not_started():
    config = {
        "failure_handling_strategy": FailureHandlingStrategy.STOP_ON_THRESHOLD,
        "failure_threshold": 0.5,
        "failure_threshold_minimum": 4,
        "max_concurrent_requests": 1,
    }
    run = Run(lambda wire: BAD, config=config)
    end = await run.over(numbered(20))
    assert end.started == end.failed == len(run.kept) == 4


async def test_a_stop_lets_nothing_start_and_awaits_what_is_under_way():
    gate = Gate()
    run = Run(gate)
    going = asyncio.create_task(run.over(numbered(20)))
    await gate.until(3)
    run.stop.set()
    for name in list(gate.waiting):
        gate.answer(name)
    end = await going
    assert len(run.asked) == len(run.kept) == 3
    assert end.stopped_because == "a stop was asked for"


async def test_a_stop_ends_requests_that_wait_for_their_next_attempt_and_counts_them_as_not_asked():
    run = Run(lambda wire: throttled(), real_time=True, retry_delay=600, max_retries=3)
    going = asyncio.create_task(run.over(numbered(3)))
    await until(lambda: len(run.asked) == 3)
    run.stop.set()
    end = await going
    assert len(run.asked) == 3
    assert run.kept == {}
    assert (end.started, end.failed, end.stopped_because) == (0, 0, "a stop was asked for")


async def test_a_stop_ends_requests_that_wait_for_a_turn_on_the_route():
    gate = Gate()
    book = RouteBook(LimiterConfig(max_in_flight=1))
    run = Run(gate, book=book)
    going = asyncio.create_task(run.over(numbered(3)))
    await gate.until(1)
    run.stop.set()
    gate.answer("0")
    end = await going
    assert run.asked == list(run.kept) == ["0"]
    assert end.stopped_because == "a stop was asked for"


async def test_a_stop_ends_requests_that_wait_for_a_place_among_all_jobs_of_the_process():
    gate = Gate()
    run = Run(gate, places=asyncio.Semaphore(1))
    going = asyncio.create_task(run.over(numbered(3)))
    await gate.until(1)
    run.stop.set()
    gate.answer("0")
    await going
    assert run.asked == list(run.kept) == ["0"]


async def test_a_turn_that_comes_with_the_stop_goes_to_the_next_in_line():
    gate = Gate()
    book = RouteBook(LimiterConfig(max_in_flight=1))
    stopped, other = Run(gate, book=book), Run(gate, book=book)
    going = asyncio.create_task(stopped.over(numbered(2)))
    await gate.until(1)
    others = asyncio.create_task(other.over([replace(one, request_metadata={"n": "other"}) for one in numbered(1)]))
    await until(lambda: any(len(line.waiting) == 2 for line in book.waiters.values()))
    gate.answer("0")
    stopped.stop.set()
    await going
    await gate.until(1)
    gate.answer("other")
    await others
    assert stopped.asked == ["0"]
    assert other.asked == ["other"]


async def test_a_stop_after_the_last_answer_is_no_stop():
    run = Run(lambda wire: "x")
    run.on_response = lambda request, response: (run.keep(request, response), run.stop.set())
    end = await run.over(numbered(1))
    assert end.succeeded == 1
    assert end.stopped_because is None


async def test_what_breaks_while_a_response_is_handled_is_raised_after_the_rest_was_kept():
    gate = Gate()
    run = Run(gate)

    def on_response(request, response):
        run.keep(request, response)
        if request.request_id == "1":
            raise OSError("disk full")

    run.on_response = on_response
    going = asyncio.create_task(run.over(numbered(20)))
    await gate.until(3)
    gate.answer("1")
    await gate.until(2)
    gate.answer("0")
    gate.answer("2")
    with pytest.raises(OSError, match="disk full"):
        await going
    assert sorted(run.kept) == ["0", "1", "2"]
    assert len(run.asked) == 3


async def test_what_breaks_in_the_source_is_raised_after_the_rest_was_kept():
    run = Run(lambda wire: "x")
    calls = []

    async def next_batch():
        calls.append(1)
        if len(calls) > 1:
            raise ValueError("line 7 is malformed")
        return numbered(2)

    with pytest.raises(ValueError, match="line 7"):
        await ask_all(run.engine, next_batch, run.keep, ParallelProcessingConfig(max_concurrent_requests=3))
    assert sorted(run.kept) == ["0", "1"]


async def test_a_cancellation_ends_every_call_and_gives_every_place_back():
    gate = Gate()
    run = Run(gate)
    going = asyncio.create_task(run.over(numbered(20)))
    await gate.until(3)
    going.cancel()
    with pytest.raises(asyncio.CancelledError):
        await going
    assert gate.waiting == {}
    assert [state.in_flight for state in run.engine.book.states.values()] == [0]
    assert run.kept == {}


async def test_a_request_that_takes_too_long_ends_alone_and_at_its_time():
    gate = Gate()
    run = Run(gate, real_time=True, deadline_seconds=0.2)
    going = asyncio.create_task(run.over(numbered(4)))
    await gate.until(3)
    gate.answer("0")
    gate.answer("2")
    await until(lambda: "3" in gate.waiting)
    gate.answer("3")
    end = await going
    assert {name: response.success for name, response in run.kept.items()} == {
        "0": True,
        "2": True,
        "3": True,
        "1": False,
    }
    assert isinstance(run.kept["1"].error, RequestTimeoutError)
    assert [attempt.fault for attempt in run.kept["1"].attempts] == ["deadline"]
    assert (end.succeeded, end.failed) == (3, 1)


@pytest.mark.parametrize("balance", [LoadBalancingStrategy.ROUND_ROBIN, LoadBalancingStrategy.LEAST_LOADED])
async def test_requests_really_go_where_the_load_balancing_says(balance):
    gate = Gate()
    regions = ("us-east-1", "us-west-2", "eu-west-1")
    run = Run(gate, regions=regions, balance=balance, config={"max_concurrent_requests": 30})
    going = asyncio.create_task(run.over(numbered(30)))
    await gate.until(30)
    went = [wire.region for wire in run.transport.requests]
    assert {region: went.count(region) for region in regions} == dict.fromkeys(regions, 10)
    assert [state.in_flight for state in run.engine.book.states.values()] == [10, 10, 10]
    await gate.answer_all(going)


async def test_a_throttled_route_is_asked_at_its_pace_and_every_request_is_answered():
    gate = Gate()
    run = Run(gate, config={"max_concurrent_requests": 16}, max_retries=1, real_time=True)
    going = asyncio.create_task(run.over(numbered(60)))
    await gate.until(16)
    for name in list(gate.waiting):
        gate.answer(name, throttled())
    await until(lambda: not gate.waiting)
    for _ in range(50):
        await asyncio.sleep(0)
    assert len(gate.waiting) < 16
    await gate.answer_all(going)
    assert [response.success for response in run.kept.values()] == [True] * 60


async def test_who_waits_for_a_place_gets_it_before_who_comes_later():
    gate = Gate()
    run = Run(gate, book=RouteBook(LimiterConfig(max_in_flight=1)), config={"max_concurrent_requests": 4})
    going = asyncio.create_task(run.over(numbered(12)))
    for _ in range(12):
        await gate.until(1)
        gate.answer(next(iter(gate.waiting)))
        await gate.until(0)
    await going
    assert run.asked == [str(number) for number in range(12)]


async def test_engines_that_share_a_book_share_its_places():
    book = RouteBook(LimiterConfig(max_in_flight=1))
    gate = Gate()
    first, second = Run(gate, book=book), Run(gate, book=book)
    one = asyncio.create_task(first.over(numbered(1)))
    await gate.until(1)
    other = asyncio.create_task(second.over(numbered(3)[2:]))
    for _ in range(20):
        await asyncio.sleep(0)
    assert list(gate.waiting) == ["0"]
    gate.answer("0")
    await one
    await until(lambda: "2" in gate.waiting)
    gate.answer("2")
    await other
    assert second.kept["2"].success


async def test_a_place_that_comes_too_late_for_one_goes_to_the_next():
    gate = Gate()
    run = Run(gate, book=RouteBook(LimiterConfig(max_in_flight=1)))
    first, second, third = (asyncio.create_task(run.engine.ask(request)) for request in numbered(3))
    await gate.until(1)
    for _ in range(5):
        await asyncio.sleep(0)
    gate.answer("0")
    await until(first.done)
    second.cancel()  # it has been called up and has not started yet, or just did
    with pytest.raises(asyncio.CancelledError):
        await second
    await until(lambda: "2" in gate.waiting)
    gate.answer("2")
    assert (await third).success


async def test_a_request_that_is_cancelled_in_line_as_a_place_comes_does_no_harm():
    gate = Gate()
    run = Run(gate, book=RouteBook(LimiterConfig(max_in_flight=1)))
    first, second, third = (asyncio.create_task(run.engine.ask(request)) for request in numbered(3))
    await gate.until(1)
    await asyncio.sleep(0)
    gate.answer("0")
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    await until(lambda: "2" in gate.waiting)
    gate.answer("2")
    assert (await first).success
    assert (await third).success


async def test_whoever_gives_up_waiting_leaves_the_line_in_order():
    gate = Gate()
    run = Run(gate, book=RouteBook(LimiterConfig(max_in_flight=1)), real_time=True, deadline_seconds=0.1)
    held = run.engine.book.start(run.engine.plans.common.routes(["us-east-1"])[0], 0.0)
    response = await run.engine.ask(numbered(1)[0])
    assert isinstance(response.error, RequestTimeoutError)
    assert response.attempts == ()
    assert not response.error.may_have_cost
    run.engine.book.finish(held, None, 1.0)
    going = asyncio.create_task(run.engine.ask(numbered(2)[1]))
    await gate.until(1)
    gate.answer("1")
    assert (await going).success


async def test_engines_that_share_a_cap_have_no_more_calls_in_flight_than_it_allows():
    places, gate = asyncio.Semaphore(3), Gate()
    runs = [Run(gate, places=places) for _ in range(2)]
    going = [asyncio.create_task(run.over(numbered(10)[at::2])) for at, run in enumerate(runs)]
    for left in range(10, 0, -1):
        await gate.until(min(3, left))
        await settle()
        assert len(gate.waiting) == min(3, left)
        gate.answer(next(iter(gate.waiting)))
        await settle()
    await asyncio.gather(*going)
    assert sum(response.success for run in runs for response in run.kept.values()) == 10
    assert not places.locked()


async def test_who_waits_for_the_cap_until_its_deadline_was_never_sent():
    places = asyncio.Semaphore(1)
    await places.acquire()
    run = Run(lambda _: "x", places=places, real_time=True, deadline_seconds=0.05)
    response = await run.engine.ask(QUESTION)
    assert isinstance(response.error, RequestTimeoutError)
    assert response.attempts == ()
    assert not response.error.may_have_cost
    places.release()
    assert (await run.engine.ask(QUESTION)).success
    assert [(state.in_flight, state.calls) for state in run.engine.book.states.values()] == [(0, 1)]


async def test_who_waits_for_the_cap_holds_no_place_on_its_route():
    places, gate = asyncio.Semaphore(1), Gate()
    await places.acquire()
    book = RouteBook(LimiterConfig(max_in_flight=1))
    capped, free = Run(gate, places=places, book=book), Run(gate, book=book)
    waiting = asyncio.create_task(capped.engine.ask(numbered(1)[0]))
    await settle()
    going = asyncio.create_task(free.engine.ask(numbered(2)[1]))
    await gate.until(1)
    places.release()  # its turn for the cap, but not on the route
    await settle()
    assert list(gate.waiting) == ["1"]
    assert not places.locked()
    gate.answer("1")
    assert (await going).success
    await gate.until(1)
    gate.answer("0")
    assert (await waiting).success


async def test_whatever_ends_a_call_gives_its_place_under_the_cap_back():
    def respond(wire):
        raise KeyError("a bug")

    places = asyncio.Semaphore(2)
    with pytest.raises(KeyError):
        await Run(respond, places=places).engine.ask(QUESTION)
    gate = Gate()
    cancelled = asyncio.create_task(Run(gate, places=places).engine.ask(numbered(1)[0]))
    await gate.until(1)
    cancelled.cancel()
    await asyncio.wait({cancelled})
    for _ in range(2):
        assert not places.locked()
        await places.acquire()


async def test_a_dead_region_costs_the_first_wave_and_no_more():
    def respond(wire):
        return failure("ServiceUnavailableException", "down", 503) if wire.region == "us-east-1" else "x"

    run = Run(respond, regions=("us-east-1", "us-west-2"))
    await run.over(numbered(200))
    assert all(response.success for response in run.kept.values())
    assert [wire.region for wire in run.transport.requests].count("us-east-1") <= 3 + 3
    (dead,) = [state for (_, region), state in run.engine.book.states.items() if region == "us-east-1"]
    assert dead.failed == dead.calls


async def test_an_engine_that_breaks_gives_its_place_back():
    def respond(wire):
        raise KeyError("a bug")

    run = Run(respond)
    with pytest.raises(KeyError):
        await run.over(numbered(5))
    assert [state.in_flight for state in run.engine.book.states.values()] == [0]


async def test_every_fault_gives_its_place_back():
    faults = [throttled(), BAD, failure("InternalServerException", "", 500), failure("ExpiredTokenException", "", 403)]
    for fault in faults:
        run = Run(lambda wire, fault=fault: fault, max_retries=2)
        await run.over(numbered(9))
        assert [state.in_flight for state in run.engine.book.states.values()] == [0]
    assert Fault.THROTTLED.is_capacity


async def test_the_loop_sees_to_others_while_many_requests_start_at_once():
    rounds, rounds_at_start = 0, []
    release = asyncio.Event()

    async def count_rounds():
        nonlocal rounds
        while True:
            rounds += 1
            await asyncio.sleep(0)

    class Engine:
        async def ask(self, request):
            if int(request.request_id) < 100:
                await release.wait()
            else:
                make_and_sign()
                rounds_at_start.append(rounds)
            return BedrockResponse(success=True)

    def make_and_sign():
        time.sleep(0.002)

    batches = [numbered(200)]

    async def next_batch():
        return batches.pop() if batches else []

    config = ParallelProcessingConfig(max_concurrent_requests=100)
    asking = asyncio.create_task(ask_all(Engine(), next_batch, lambda _request, _response: None, config))
    await settle()
    counting = asyncio.create_task(count_rounds())
    await until(lambda: rounds > 200)
    release.set()
    await asking
    counting.cancel()

    assert len(rounds_at_start) == 100
    assert len(set(rounds_at_start)) > 5
