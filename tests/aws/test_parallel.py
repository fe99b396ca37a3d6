"""Many requests at once: what starts, what stops, what is kept."""

import asyncio
from dataclasses import replace

import pytest
from harness.parallel_run import Gate, Run, name_of, numbered, until

from airflow_provider_bedrock_llm.aws.parallel import ask_all
from airflow_provider_bedrock_llm.core.config import (
    FailureHandlingStrategy,
    LoadBalancingStrategy,
    ParallelProcessingConfig,
)
from airflow_provider_bedrock_llm.core.errors import RequestTimeoutError
from airflow_provider_bedrock_llm.core.limiter import LimiterConfig, RouteBook
from airflow_provider_bedrock_llm.testing import failure, throttled

BAD = failure("ValidationException", "bad")


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
