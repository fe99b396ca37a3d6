"""The loop comes back to others, however many requests start or end together."""

import asyncio
import time

import pytest
from harness.parallel_run import Gate, Run, numbered, settle, until

from airflow_provider_bedrock_llm.aws.parallel import ask_all
from airflow_provider_bedrock_llm.core.config import (
    ParallelProcessingConfig,
    ResponseValidationConfig,
    ValidationResult,
)
from airflow_provider_bedrock_llm.core.response import BedrockResponse

AT_ONCE = 100


class Witness:
    """Counts the rounds of the loop, and says in which ones a piece of work was done."""

    def __init__(self):
        self.rounds = 0
        self.worked_in = []

    async def count(self):
        while True:
            self.rounds += 1
            await asyncio.sleep(0)

    def work(self):
        time.sleep(0.002)
        self.worked_in.append(self.rounds)


async def test_many_requests_that_could_start_at_once_start_in_several_rounds():
    witness, release, batches = Witness(), asyncio.Event(), [numbered(2 * AT_ONCE)]

    class Engine:
        async def ask(self, request):
            if int(request.request_id) < AT_ONCE:
                await release.wait()
            else:
                witness.work()
            return BedrockResponse(success=True)

    async def next_batch():
        return batches.pop() if batches else []

    config = ParallelProcessingConfig(max_concurrent_requests=AT_ONCE)
    asking = asyncio.create_task(ask_all(Engine(), next_batch, lambda _request, _response: None, config))
    await settle()
    counting = asyncio.create_task(witness.count())
    await until(lambda: witness.rounds > 2 * AT_ONCE)
    release.set()
    await asking
    counting.cancel()
    assert len(witness.worked_in) == AT_ONCE
    assert len(set(witness.worked_in)) > 5


async def test_answers_that_come_together_are_judged_in_several_rounds():
    witness, gate = Witness(), Gate()

    def judge(_response):
        witness.work()
        return ValidationResult(success=True)

    validation = ResponseValidationConfig(response_validation_function=judge)
    run = Run(gate, validation=validation, config={"max_concurrent_requests": AT_ONCE})
    going = asyncio.create_task(run.over(numbered(AT_ONCE)))
    await gate.until(AT_ONCE)
    counting = asyncio.create_task(witness.count())
    await until(lambda: witness.rounds > 2 * AT_ONCE)
    await gate.answer_all(going)
    counting.cancel()
    assert len(run.kept) == len(witness.worked_in) == AT_ONCE
    assert len(set(witness.worked_in)) > 5


async def test_an_answer_that_waits_for_its_round_counts_even_if_nobody_wants_it_any_more():
    gate = Gate()
    run = Run(gate)
    asking = asyncio.create_task(run.engine.ask(*numbered(1)))
    await gate.until(1)
    time.sleep(0.02)  # noqa: ASYNC251 - the round is long already
    gate.answer("0")
    await until(lambda: not gate.waiting)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    (state,) = run.engine.book.states.values()
    assert (state.calls, state.succeeded, state.in_flight) == (1, 1, 0)
