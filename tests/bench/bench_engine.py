"""The engine in simulated time, through what regions, quotas and models do to it. Nothing sleeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.quota import Quota
from harness.simulation import answer, refusal, simulate

if TYPE_CHECKING:
    import random

    from harness.simulation import World

    from airflow_provider_bedrock_llm.core.routes import Route

EAST, WEST = "us-east-1", "us-west-2"


def outage(route: Route, now: float, rng: random.Random) -> Any:
    """One of two regions is away for twenty minutes."""
    is_away = route.region == EAST and 60 < now < 1_260
    return refusal("ServiceUnavailableException", 503) if is_away else answer(1.0)


def storm() -> World:
    """A quota of half the rate that is asked for."""
    quota = Quota(160, burst=160)
    return lambda _route, now, _rng: (
        answer(0.2) if quota.admits(now, 1) else refusal("ThrottlingException", 429, "Too many requests")
    )


def slow(route: Route, now: float, rng: random.Random) -> Any:
    """One of two regions takes ten times as long."""
    return answer(5.0 if route.region == EAST else 0.5)


def flaky(route: Route, now: float, rng: random.Random) -> Any:
    """One call in twenty fails."""
    return refusal("ModelErrorException", 424) if rng.random() < 0.05 else answer(0.5)


def used_up(route: Route, now: float, rng: random.Random) -> Any:
    """The tokens of the day end in one of two regions."""
    is_out = route.region == EAST and now > 10
    return refusal("ThrottlingException", 429, "Too many tokens per day") if is_out else answer(0.5)


def main() -> None:
    """Print the table."""
    print(f"\n{'simulated':<32} {'requests':>8} {'done':>7} {'calls':>7} {'failed':>7} {'seconds':>8}")
    worlds: list[tuple[str, World, int, int]] = [
        ("region away for 20 minutes", outage, 45_000, 32),
        ("throttled at half the demand", storm(), 6_000, 64),
        ("one slow region", slow, 2_000, 64),
        ("5 % of calls fail", flaky, 2_000, 64),
        ("daily quota in one region", used_up, 20_000, 64),
    ]
    for name, world, requests, in_flight in worlds:
        regions = (EAST,) if name.startswith("throttled") else (EAST, WEST)
        report = simulate(world, requests=requests, in_flight=in_flight, regions=regions)
        calls, failed = sum(report.calls.values()), sum(report.failed_calls.values())
        done = report.succeeded / requests
        print(f"{name:<32} {requests:>8,} {done:>7.2%} {calls:>7,} {failed:>7,} {report.seconds:>8.1f}")


if __name__ == "__main__":
    main()
