"""1,500 requests under quotas, over HTTP: this package beside boto3 in threads, in one run. Every figure is counted by
the endpoint, a process of its own, or by its client's results.
"""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

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
from airflow_provider_bedrock_llm.local.limits import Limit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CALLS, IN_FLIGHT, LATENCY_SECONDS = 1_500, 64, 0.2
CLAUDE, NOVA, REGION = "us.anthropic.claude-haiku-4-5-20251001-v1:0", "amazon.nova-lite-v1:0", "us-east-1"
KEYS = {"aws_access_key_id": "AKIDLOCALEXAMPLE", "aws_secret_access_key": "local"}
MESSAGES = [text_message("Is this review of a kettle good or bad? It boils water, slowly, and hums.")]
SETTINGS = {"maxTokens": 200}


@dataclass(frozen=True)
class Outcome:
    """What one client made of it."""

    answered: int
    seconds: float


def rate(per_second: float, burst: float = 50) -> Limit:
    """The account's quota on requests."""
    return Limit("requests_per_second", per_second, burst=burst)


def ours(url: str, models: Sequence[str], calls: int, in_flight: int) -> Outcome:
    """The package, as a hook or a trigger runs it."""

    def access(model: str, _region: str) -> Sequence[AccessOption]:
        return (AccessOption(model, AccessMethod.DIRECT),)

    async def run() -> Outcome:
        boto3_config = Boto3Config(max_pool_connections=in_flight)
        settings = ClientSettings(
            lambda: boto3.session.Session(**KEYS), boto3_config, endpoint_url=url, keys_first=True
        )
        transport = LeanTransport(settings)
        retry = RetryConfig(deadline_seconds=300.0)
        plan = RoutePlan([ModelChoice(model) for model in models], [REGION], retry, access)
        engine = AsyncEngine(transport, ConversePolicy(retry=retry), plan)
        batches = [[BedrockConverseRequest(MESSAGES, inference_config=SETTINGS) for _ in range(calls)]]

        async def next_batch() -> list[BedrockConverseRequest]:
            return batches.pop() if batches else []

        config = ParallelProcessingConfig(max_concurrent_requests=in_flight)
        started = time.perf_counter()
        try:
            end = await ask_all(engine, next_batch, lambda _request, _response: None, config)
        finally:
            await transport.close()
        return Outcome(end.succeeded, time.perf_counter() - started)

    return asyncio.run(run())


def boto3_threads(mode: str) -> Callable[[str, Sequence[str], int, int], Outcome]:
    """boto3 with so patient a retry mode as it has."""

    def run(url: str, models: Sequence[str], calls: int, in_flight: int) -> Outcome:
        retries: Any = {"mode": mode, "total_max_attempts": 10}
        config = Config(max_pool_connections=in_flight, retries=retries, read_timeout=600)
        client = boto3.session.Session(**KEYS).client("bedrock-runtime", REGION, endpoint_url=url, config=config)

        def ask(_: int) -> bool:
            try:
                client.converse(modelId=models[0], messages=MESSAGES, inferenceConfig=SETTINGS)
            except (ClientError, BotoCoreError):
                return False
            return True

        started = time.perf_counter()
        with ThreadPoolExecutor(in_flight) as pool:
            answered = sum(pool.map(ask, range(calls)))
        return Outcome(answered, time.perf_counter() - started)

    return run


def show(
    name: str,
    client: Callable[..., Outcome],
    limits: Sequence[Limit],
    *,
    models: Sequence[str] = (NOVA,),
    changes: Sequence[tuple[float, Limit]] = (),
    calls: int = CALLS,
    in_flight: int = IN_FLIGHT,
    dead: str | None = None,
) -> None:
    """Measure once, on a fresh endpoint, and print a line."""
    with LocalEndpoint.spawn() as endpoint:
        control = endpoint.control
        control.latency(LATENCY_SECONDS)
        control.limit(*limits)
        if dead:
            control.fail("unavailable", model=dead)
        timers = [threading.Timer(at, control.limit, [limit]) for at, limit in changes]
        for timer in timers:
            timer.start()
        outcome = client(endpoint.url, models, calls, in_flight)
        for timer in timers:
            timer.cancel()
        by_outcome = dict(control.stats().by_outcome)
    failed = sum(count for kind, count in by_outcome.items() if kind != "ok")
    print(f"{name:<44} {calls - outcome.answered:>6} {outcome.seconds:>8.1f} {failed:>9}  {by_outcome}", flush=True)


def main() -> None:
    """Print the table."""
    print(f"\n{CALLS:,} requests, {IN_FLIGHT} in flight, {LATENCY_SECONDS} s each")
    print(f"{'':<44} {'lost':>6} {'seconds':>8} {'failed':>9}")
    show("this package, 50/s (ideal 29.2 s)", ours, [rate(50)])
    show("boto3 standard, 10 attempts", boto3_threads("standard"), [rate(50)])
    show("boto3 adaptive, 10 attempts", boto3_threads("adaptive"), [rate(50)])
    changes = [(10.0, rate(25)), (20.0, rate(50)), (30.0, rate(100))]
    show("this package, 50 then 25 then 50 then 100/s", ours, [rate(50)], changes=changes)
    show("this package, 100,000 tokens a minute", ours, [Limit("tokens_per_minute", 100_000)], models=[CLAUDE])
    show("this package, first model dead", ours, [], models=[CLAUDE, NOVA], calls=500, in_flight=32, dead=CLAUDE)


if __name__ == "__main__":
    main()
