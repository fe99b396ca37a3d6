"""Places: on a route, and under the cap of a process. Who waits for one, who gets it, who gives it back."""

import asyncio

import pytest
from harness.engines import QUESTION
from harness.parallel_run import Gate, Run, numbered, settle, until

from airflow_provider_bedrock_llm.core.errors import RequestTimeoutError
from airflow_provider_bedrock_llm.core.faults import Fault
from airflow_provider_bedrock_llm.core.limiter import LimiterConfig, RouteBook
from airflow_provider_bedrock_llm.testing import failure, throttled

BAD = failure("ValidationException", "bad")


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
