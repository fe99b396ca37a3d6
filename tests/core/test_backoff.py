"""Waits are drawn from the whole interval, capped, and never shorter than what the server asked for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_bedrock_llm.core.backoff import backoff_seconds
from airflow_provider_bedrock_llm.core.config import RetryConfig

draws = st.floats(0, 1, exclude_max=True)
retries = st.builds(
    RetryConfig,
    retry_delay=st.floats(0, 1e6),
    backoff_multiplier=st.floats(1, 1e12),
    max_retry_delay=st.floats(0, 1e6),
)


@pytest.mark.parametrize(("number", "ceiling"), [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (8, 60), (10_000, 60)])
def test_the_ceiling_doubles_up_to_the_longest_wait(number, ceiling):
    assert backoff_seconds(RetryConfig(), number, 0.5) == ceiling / 2


def test_the_whole_interval_is_drawn():
    assert backoff_seconds(RetryConfig(), 4, 0.0) == 0
    assert backoff_seconds(RetryConfig(), 4, 0.999) == pytest.approx(8, rel=0.01)


def test_a_hint_of_the_server_counts_even_above_the_longest_wait():
    assert backoff_seconds(RetryConfig(max_retry_delay=2), 1, 0.5, 90) == 90
    assert backoff_seconds(RetryConfig(retry_delay=10), 1, 0.5, 2) == 5


@given(retries, st.integers(1, 10**9), draws)
def test_a_wait_is_finite_and_within_its_limits(retry, number, draw):
    assert 0 <= backoff_seconds(retry, number, draw) <= retry.max_retry_delay


@given(retries, st.integers(1, 200), draws)
def test_the_ceiling_never_shrinks(retry, number, draw):
    assert backoff_seconds(retry, number, draw) <= backoff_seconds(retry, number + 1, draw)


@given(retries, st.integers(1, 200), draws, st.floats(0, 1e6))
def test_a_hint_is_never_undercut(retry, number, draw, hint):
    assert backoff_seconds(retry, number, draw, hint) >= hint
