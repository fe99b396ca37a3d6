"""Many requests at once over a fake transport, with everything written down."""

import asyncio
from dataclasses import replace

from harness.engines import QUESTION, FakeClock
from harness.routes import make_plan

from airflow_provider_bedrock_llm.aws.converse import AsyncEngine
from airflow_provider_bedrock_llm.aws.parallel import ask_all
from airflow_provider_bedrock_llm.core.config import ParallelProcessingConfig, RetryConfig
from airflow_provider_bedrock_llm.core.conversation import ConversePolicy
from airflow_provider_bedrock_llm.testing import AsyncFakeTransport


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
        validation=None,
        real_time=False,
        **retry,
    ):
        self.transport = AsyncFakeTransport(respond)
        policy = ConversePolicy(retry=RetryConfig(**{"retry_delay": 0, **retry}), validation=validation)
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
