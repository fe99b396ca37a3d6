"""How long to wait before a retry."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_bedrock_llm.core.config import RetryConfig

__all__ = ["backoff_seconds"]


def backoff_seconds(retry: RetryConfig, retry_number: int, draw: float, hint_seconds: float | None = None) -> float:
    """Full jitter over an exponential ceiling, never shorter than what the server asked for.

    Many requests that failed together must not come back together, so the whole interval is drawn, not a part of it
    (AWS Architecture Blog, "Exponential Backoff And Jitter").

    Args:
        retry: `retry_delay`, `backoff_multiplier` and `max_retry_delay`.
        retry_number: 1 for the first retry.
        draw: a number in [0, 1).
        hint_seconds: the wait that the server asked for; it counts even above `max_retry_delay`.
    """
    try:
        growth = retry.backoff_multiplier ** (retry_number - 1)
    except OverflowError:
        growth = sys.float_info.max
    ceiling = min(retry.max_retry_delay, retry.retry_delay * growth)
    return max(draw * ceiling, hint_seconds or 0.0)
