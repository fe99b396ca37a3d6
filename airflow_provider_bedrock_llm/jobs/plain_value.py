"""Values of typed sources (Parquet, SQL) as JSON and Jinja can take them."""

from __future__ import annotations

import base64
import math
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

__all__ = ["plain_value"]

_AS_THEY_ARE = frozenset({str, int, bool, type(None)})
_EXACT_DIGITS = 15
"""So many decimal digits survive in a floating-point number."""


def plain_value(value: Any) -> Any:
    """The value as text, number, boolean, None, list or dict.

    Dates and times become ISO 8601 text; durations seconds; bytes base64 text; UUIDs text; NaN None. A decimal becomes
    an integer where it has no decimal places, a float where that holds all of its digits (15), and else text. Keys of a
    map become text.

    Raises:
        ValueError: it is of another type; the text names the type, not the value.
    """
    kind = type(value)
    if kind in _AS_THEY_ARE:
        return value
    if kind is float:
        return _number(value)
    if isinstance(value, (list, tuple)):
        return [plain_value(item) for item in value]
    if isinstance(value, dict):
        return {str(plain_value(key)): plain_value(item) for key, item in value.items()}
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return _decimal(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(value).decode()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, UUID):
        return str(value)
    raise ValueError(f"a value of type {kind.__name__}")


def _number(value: float) -> float | str | None:
    """JSON has neither NaN nor infinity."""
    if math.isfinite(value):
        return value
    return None if math.isnan(value) else str(value)


def _decimal(value: Decimal) -> int | float | str | None:
    if not value.is_finite():
        return _number(float(value))
    _, digits, exponent = value.as_tuple()
    if isinstance(exponent, int) and exponent >= 0:
        return int(value)
    return float(value) if len(digits) <= _EXACT_DIGITS else str(value)
