"""Calls in parallel through the package, a bare aiobotocore loop, and boto3 in a thread pool, in one run.

The endpoint is a process of its own. Each round measures the three one after the other, so that whatever else the
machine does meets all of them; each opens its connections in a warm-up first. The table shows medians over the rounds.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from botocore.config import Config

from airflow_provider_bedrock_llm.aws.clients import ClientSettings
from airflow_provider_bedrock_llm.aws.converse import AsyncEngine
from airflow_provider_bedrock_llm.aws.lean_transport import LeanTransport
from airflow_provider_bedrock_llm.aws.parallel import ask_all
from airflow_provider_bedrock_llm.core.access import AccessMethod, AccessOption
from airflow_provider_bedrock_llm.core.config import Boto3Config, ParallelProcessingConfig, RetryConfig
from airflow_provider_bedrock_llm.core.conversation import ConversePolicy
from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest, text_message
from airflow_provider_bedrock_llm.core.routes import ModelChoice, RoutePlan
from airflow_provider_bedrock_llm.local import LocalEndpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
MODEL, REGION = "amazon.nova-lite-v1:0", "us-east-1"
KEYS = {"aws_access_key_id": "AKIDLOCALEXAMPLE", "aws_secret_access_key": "local"}
MESSAGES = [text_message("Is this review of a kettle good or bad? It boils water, slowly, and hums.")]
SETTINGS = {"maxTokens": 60}
IDEAL_SHARE, CPU_FACTOR = 0.95, 1.3


@dataclass(frozen=True)
class Load:
    """So many calls, so many of them at once, each taking so long at the endpoint."""

    in_flight: int
    latency_seconds: float

    @property
    def calls(self) -> int:
        """A few seconds of work."""
        return 20 * self.in_flight if self.latency_seconds else 2_000

    @property
    def warm_up_calls(self) -> int:
        """Enough to open every connection, and for a pace that begins carefully to have opened."""
        return self.calls // 2

    @property
    def ideal_per_second(self) -> float:
        """What no client can exceed."""
        return self.in_flight / self.latency_seconds if self.latency_seconds else float("inf")


@dataclass(frozen=True)
class Figures:
    """One measurement."""

    per_second: float
    cpu_ms: float


LOADS = [Load(50, 0.0), Load(200, 0.0), Load(50, 0.2), Load(200, 0.2)]


@contextmanager
def measured(calls: int, into: list[Figures]) -> Iterator[None]:
    """Wall time and CPU time of this process, over so many calls."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    cpu_ms = (time.process_time() - cpu) * 1000 / calls
    into.append(Figures(calls / (time.perf_counter() - wall), cpu_ms))


def ours(url: str, load: Load, into: list[Figures]) -> None:
    """The package: engine, limits, fan-out, responses."""

    def access(model: str, _region: str) -> Sequence[AccessOption]:
        return (AccessOption(model, AccessMethod.DIRECT),)

    async def run() -> None:
        boto3_config = Boto3Config(max_pool_connections=load.in_flight)
        settings = ClientSettings(
            lambda: boto3.session.Session(**KEYS), boto3_config, endpoint_url=url, keys_first=True
        )
        transport = LeanTransport(settings)
        retry = RetryConfig(deadline_seconds=300.0)
        plan = RoutePlan([ModelChoice(MODEL)], [REGION], retry, access)
        engine = AsyncEngine(transport, ConversePolicy(retry=retry), plan)
        config = ParallelProcessingConfig(max_concurrent_requests=load.in_flight)

        async def ask(calls: int) -> None:
            left = calls

            async def next_batch() -> list[BedrockConverseRequest]:
                nonlocal left
                size = min(left, 2 * load.in_flight)
                left -= size
                return [BedrockConverseRequest(MESSAGES, inference_config=SETTINGS) for _ in range(size)]

            end = await ask_all(engine, next_batch, lambda _request, _response: None, config)
            assert end.succeeded == calls

        try:
            await ask(load.warm_up_calls)
            with measured(load.calls, into):
                await ask(load.calls)
        finally:
            await transport.close()

    asyncio.run(run())


def bare_aiobotocore(url: str, load: Load, into: list[Figures]) -> None:
    """One client, one task per call in flight, nothing else."""

    async def run() -> None:
        config = AioConfig(
            max_pool_connections=load.in_flight, retries={"mode": "standard", "total_max_attempts": 1}, read_timeout=600
        )
        session = AioSession()
        async with session.create_client("bedrock-runtime", REGION, endpoint_url=url, config=config, **KEYS) as client:

            async def work(left: Iterator[int]) -> None:
                for _ in left:
                    await client.converse(modelId=MODEL, messages=MESSAGES, inferenceConfig=SETTINGS)

            async def ask(calls: int) -> None:
                left = iter(range(calls))
                await asyncio.gather(*(work(left) for _ in range(load.in_flight)))

            await ask(load.warm_up_calls)
            with measured(load.calls, into):
                await ask(load.calls)

    asyncio.run(run())


def boto3_in_threads(url: str, load: Load, into: list[Figures]) -> None:
    """One client, one thread per call in flight."""
    config = Config(
        max_pool_connections=load.in_flight, retries={"mode": "standard", "total_max_attempts": 1}, read_timeout=600
    )
    client = boto3.session.Session(**KEYS).client("bedrock-runtime", REGION, endpoint_url=url, config=config)

    def ask(pool: ThreadPoolExecutor, calls: int) -> None:
        waiting = [
            pool.submit(client.converse, modelId=MODEL, messages=MESSAGES, inferenceConfig=SETTINGS)
            for _ in range(calls)
        ]
        for one in waiting:
            one.result()

    with ThreadPoolExecutor(load.in_flight) as pool:
        ask(pool, load.warm_up_calls)
        with measured(load.calls, into):
            ask(pool, load.calls)
    client.close()


CLIENTS: dict[str, Callable[[str, Load, list[Figures]], None]] = {
    "this package": ours,
    "bare aiobotocore": bare_aiobotocore,
    "boto3 in threads": boto3_in_threads,
}


def measure(endpoint: Any, load: Load) -> dict[str, Figures]:
    """Medians over the rounds."""
    endpoint.control.latency(load.latency_seconds)
    taken: dict[str, list[Figures]] = {name: [] for name in CLIENTS}
    for _ in range(ROUNDS):
        for name, client in CLIENTS.items():
            client(endpoint.url, load, taken[name])
    return {
        name: Figures(
            statistics.median(one.per_second for one in figures), statistics.median(one.cpu_ms for one in figures)
        )
        for name, figures in taken.items()
    }


def main() -> None:
    """Print the table."""
    cores, busy = os.cpu_count(), os.getloadavg()[0]
    print(f"\nCalls in parallel: medians of {ROUNDS} rounds, {cores} cores, load {busy:.1f} at the start")
    print(f"{'in flight':>9} {'latency':>8}  {'client':<17} {'calls/s':>8} {'CPU ms':>7} {'of ideal':>9} {'CPU x':>6}")
    found: dict[Load, dict[str, Figures]] = {}
    with LocalEndpoint.spawn() as endpoint:
        for load in LOADS:
            found[load] = measure(endpoint, load)
            bare = found[load]["bare aiobotocore"].cpu_ms
            at = f"{load.in_flight:>9} {load.latency_seconds * 1000:>5.0f} ms"
            for name, one in found[load].items():
                share = f"{one.per_second / load.ideal_per_second:9.3f}" if load.latency_seconds else f"{'-':>9}"
                print(f"{at}  {name:<17} {one.per_second:>8.0f} {one.cpu_ms:>7.3f} {share} {one.cpu_ms / bare:>6.2f}")
    hardest = LOADS[-1]
    mine, bare = found[hardest]["this package"], found[hardest]["bare aiobotocore"].cpu_ms
    print(
        f"At {hardest.in_flight} in flight and {hardest.latency_seconds * 1000:.0f} ms: "
        f"{mine.per_second / hardest.ideal_per_second:.3f} of the ideal (aim: at least {IDEAL_SHARE}), "
        f"{mine.cpu_ms / bare:.2f} times the CPU of bare aiobotocore (aim: at most {CPU_FACTOR})."
    )


if __name__ == "__main__":
    main()
