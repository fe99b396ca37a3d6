"""A route's pace is learned from its throttling alone, and followed when the quota changes."""

import pytest
from harness.quota import Quota, drive
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_bedrock_llm.core.pacer import CALLS, TOKENS, Pacer, tokens_per_minute


def test_a_first_burst_starts_at_once():
    pacer = Pacer(CALLS)
    for _ in range(30):
        assert pacer.wait_seconds(0.0, 1) == 0
        pacer.claim(0.0, 1)
    assert 0 < pacer.wait_seconds(0.0, 1) < 0.01


def test_a_route_that_never_throttles_is_soon_not_paced_to_speak_of():
    pacer, now = Pacer(CALLS), 0.0
    for _ in range(1_000):
        now += pacer.wait_seconds(now, 1)
        pacer.claim(now, 1)
    assert now < 3
    assert pacer.per_second > 900


def test_tokens_are_not_paced_before_the_first_throttling():
    pacer = Pacer(TOKENS)
    for _ in range(1_000):
        assert pacer.wait_seconds(0.0, 5_000) == 0
        pacer.claim(0.0, 5_000)


def test_a_known_quota_on_tokens_is_kept_from_the_start():
    pacer = Pacer(tokens_per_minute(60_000))
    for _ in range(60):
        assert pacer.wait_seconds(0.0, 1_000) == 0
        pacer.claim(0.0, 1_000)
    assert pacer.wait_seconds(0.0, 1_000) == pytest.approx(1.0)
    pacer.settle(0.0, 400)
    assert pacer.wait_seconds(0.0, 1_000) == pytest.approx(0.6)


def test_a_wave_of_throttling_counts_once():
    pacer = Pacer(CALLS)
    for _ in range(30):
        pacer.claim(0.0, 1)
    pacer.throttled(0.1, 0.0, 1)
    rate = pacer.rate
    for _ in range(20):
        pacer.throttled(0.11, 0.0, 1)
    assert pacer.rate == rate


@pytest.mark.parametrize("per_second", [50, 200])
def test_a_quota_on_calls_is_found_and_used_with_few_throttled(per_second):
    run = drive(Pacer(CALLS), Quota(per_second, burst=per_second), calls=60 * per_second)
    assert run.answered == 60 * per_second
    assert run.seconds < 59 * 1.03
    assert run.throttled <= 16


def test_a_quota_on_tokens_is_used_to_95_percent_with_under_2_percent_throttled():
    run = drive(Pacer(TOKENS), Quota(1_000, burst=60_000), calls=1_200, reserves=1_100, uses=300)
    after = [at for at in run.throttled_at if at > 60]
    assert run.answered == 1_200
    assert (1_200 * 300) / (60_000 + 1_000 * run.seconds) >= 0.95
    assert len(after) <= 0.02 * sum(at > 60 for at in run.answered_at)


def test_a_quota_that_halves_is_followed_at_once_and_one_that_doubles_within_seconds():
    quota = Quota(50, burst=50)
    run = drive(Pacer(CALLS), quota, calls=2_500, changes=[(10, 25), (20, 50), (30, 100)])
    ideal = 30 + (2_500 - 50 - 500 - 250 - 500) / 100
    assert run.throttled <= 20
    assert run.seconds < ideal * 1.25


claims = st.lists(
    st.tuples(st.sampled_from(["claim", "settle", "throttled"]), st.floats(0, 100), st.floats(0, 10)), max_size=80
)


@given(claims, st.sampled_from([CALLS, TOKENS, tokens_per_minute(6_000)]))
def test_whatever_happens_the_pace_stays_above_nothing_and_every_wait_ends(story, shape):
    pacer, now, under_way = Pacer(shape), 0.0, []
    for what, amount, seconds in story:
        now += seconds
        if what == "claim":
            pacer.claim(now, amount)
            under_way.append((now, amount))
        elif under_way and what == "settle":
            pacer.settle(now, under_way.pop()[1] / 2)
        elif under_way:
            at, claimed = under_way.pop()
            pacer.throttled(now, at, claimed)
        assert pacer.per_second > 0
        wait = pacer.wait_seconds(now, 1.0)
        assert 0 <= wait < float("inf")
