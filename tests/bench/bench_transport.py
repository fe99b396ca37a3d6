"""The two transports for event loops beside each other: CPU time a call, and calls a second.

The endpoint is a process of its own. The transports take turns within each round, so that whatever else the machine
does meets both; the table shows medians over the rounds. Run it quickly with `--rounds 1 --calls 500`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import time
from typing import TYPE_CHECKING, NamedTuple

import boto3
from harness.async_transports import ASYNC_TRANSPORTS, open_transport

from airflow_provider_bedrock_llm.aws.clients import ClientSettings
from airflow_provider_bedrock_llm.core.config import Boto3Config
from airflow_provider_bedrock_llm.core.request import text_message
from airflow_provider_bedrock_llm.core.transport import Reply, WireRequest
from airflow_provider_bedrock_llm.local import LocalEndpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

KEYS = {"aws_access_key_id": "AKIDLOCALEXAMPLE", "aws_secret_access_key": "local"}
REVIEW = "Is this review of a kettle good or bad? It boils water, slowly, and hums."
REQUEST = WireRequest(
    "converse",
    "us-east-1",
    {
        "modelId": "amazon.nova-lite-v1:0",
        "messages": [text_message(REVIEW)],
        "inferenceConfig": {"maxTokens": 60},
        "requestMetadata": {"dag": "reviews", "task": "rate", "run": "manual"},
    },
)
CPU_SHARE = 2 / 3


class Load(NamedTuple):
    """So many calls at once, each taking so long at the endpoint."""

    in_flight: int
    latency_seconds: float


class Figures(NamedTuple):
    """One measurement."""

    per_second: float
    cpu_ms: float


LOADS = (Load(50, 0.0), Load(200, 0.0), Load(50, 0.2), Load(200, 0.2))


async def measure(name: str, url: str, load: Load, calls: int) -> Figures:
    """One transport under one load, warmed up first."""
    settings = ClientSettings(
        lambda: boto3.session.Session(**KEYS),
        Boto3Config(max_pool_connections=load.in_flight),
        endpoint_url=url,
        keys_first=True,
    )
    transport = open_transport(name, settings)

    async def work(left: Iterator[int]) -> None:
        for _ in left:
            outcome = await transport.send(REQUEST)
            assert isinstance(outcome, Reply), outcome

    async def ask(count: int) -> None:
        left = iter(range(count))
        await asyncio.gather(*(work(left) for _ in range(load.in_flight)))

    try:
        await ask(2 * load.in_flight)
        wall, cpu = time.perf_counter(), time.process_time()
        await ask(calls)
        return Figures(calls / (time.perf_counter() - wall), (time.process_time() - cpu) * 1000 / calls)
    finally:
        await transport.close()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=4_000)
    size = parser.parse_args()
    print(
        f"\nTransports: medians of {size.rounds} rounds of {size.calls} calls, load {os.getloadavg()[0]:.1f} at start"
    )
    print(f"{'in flight':>9} {'latency':>8}  {'transport':<12} {'calls/s':>8} {'CPU ms':>7} {'CPU x':>6}")
    shares = []
    with LocalEndpoint.spawn() as endpoint:
        for load in LOADS:
            endpoint.control.latency(load.latency_seconds)
            taken: dict[str, list[Figures]] = {name: [] for name in ASYNC_TRANSPORTS}
            for _ in range(size.rounds):
                for name, figures in taken.items():
                    figures.append(asyncio.run(measure(name, endpoint.url, load, size.calls)))
            cpu_ms = {name: statistics.median(one.cpu_ms for one in figures) for name, figures in taken.items()}
            slowest = max(cpu_ms.values())
            shares.append(cpu_ms["lean"] / slowest)
            for name, figures in taken.items():
                rate = statistics.median(one.per_second for one in figures)
                at = f"{load.in_flight:>9} {load.latency_seconds * 1000:>5.0f} ms"
                print(f"{at}  {name:<12} {rate:>8.0f} {cpu_ms[name]:>7.3f} {cpu_ms[name] / slowest:>6.2f}")
    print(f"The lean one takes at most {max(shares):.2f} of aiobotocore's CPU time (aim: at most {CPU_SHARE:.2f}).")


if __name__ == "__main__":
    main()
