"""The engine gets through outages, storms and slow regions: every request that could succeed does."""

from harness.quota import Quota
from harness.simulation import answer, refusal, simulate

EAST, WEST = "us-east-1", "us-west-2"


def test_a_regional_outage_of_twenty_minutes_costs_under_one_percent_of_calls_and_no_request():
    def world(route, now, rng):
        if route.region == EAST and 60 < now < 1_260:
            return refusal("ServiceUnavailableException", 503)
        return answer(1.0)

    report = simulate(world, requests=45_000, in_flight=32, regions=(EAST, WEST))
    assert report.succeeded == 45_000
    assert sum(report.failed_calls.values()) < 0.01 * 45_000
    assert report.calls[EAST] > 2_500


def test_a_quota_of_half_the_demand_loses_nothing_and_is_used():
    quota = Quota(160, burst=160)

    def world(route, now, rng):
        return answer(0.2) if quota.admits(now, 1) else refusal("ThrottlingException", 429, "Too many requests")

    report = simulate(world, requests=6_000)
    assert report.succeeded == 6_000
    assert report.seconds < 1.04 * (6_000 - 160) / 160
    assert sum(report.failed_calls.values()) < 20


def test_a_model_that_fails_in_one_call_of_twenty_loses_no_request():
    def world(route, now, rng):
        return refusal("ModelErrorException", 424) if rng.random() < 0.05 else answer(0.5)

    report = simulate(world, requests=2_000, regions=(EAST, WEST))
    assert report.succeeded == 2_000
    assert sum(report.calls.values()) < 1.1 * 2_000


def test_a_daily_quota_is_met_by_a_first_wave_and_a_probe_now_and_then():
    def world(route, now, rng):
        if route.region == EAST and now > 10:
            return refusal("ThrottlingException", 429, "Too many tokens per day")
        return answer(0.5)

    report = simulate(world, requests=20_000, regions=(EAST, WEST))
    assert report.succeeded == 20_000
    assert sum(report.failed_calls.values()) < 64 + 5
