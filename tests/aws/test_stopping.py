"""A stop ends what waits, and nothing else: what is done, and a cancellation from outside, keep their meaning."""

import asyncio

import pytest

from airflow_provider_bedrock_llm.aws.stopping import NotSentError, raise_if_stopped, until_stop


async def waits(stop, seconds=600):
    async with until_stop(stop):
        await asyncio.sleep(seconds)
    return "waited"


async def test_a_stop_ends_the_wait_and_the_task_goes_on():
    stop = asyncio.Event()

    async def work():
        with pytest.raises(NotSentError):
            await waits(stop)
        await asyncio.sleep(0)
        return asyncio.current_task().cancelling()

    working = asyncio.create_task(work())
    await asyncio.sleep(0)
    stop.set()
    assert await working == 0


async def test_a_stop_that_came_before_ends_the_wait_too():
    stop = asyncio.Event()
    stop.set()
    with pytest.raises(NotSentError):
        await waits(stop)


async def test_a_stop_after_the_wait_disturbs_nothing():
    stop = asyncio.Event()
    assert await waits(stop, 0) == "waited"
    stop.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert asyncio.current_task().cancelling() == 0


@pytest.mark.parametrize("with_stop", [False, True])
async def test_a_cancellation_from_outside_stays_one(with_stop):
    stop = asyncio.Event()
    waiting = asyncio.create_task(waits(stop))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting.cancel()
    if with_stop:
        stop.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_without_a_stop_everything_waits_as_it_is():
    assert await waits(None, 0) == "waited"
    raise_if_stopped(None)
