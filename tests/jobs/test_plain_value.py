"""Values of typed sources become what JSON and Jinja can take."""

import json
import uuid
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import pytest

from airflow_provider_bedrock_llm.jobs.plain_value import plain_value

VALUES = [
    ("text", "text"),
    (7, 7),
    (True, True),
    (None, None),
    (1.5, 1.5),
    (float("nan"), None),
    (float("-inf"), "-inf"),
    (Decimal("12.50"), 12.5),
    (Decimal(12345678901234567890), 12345678901234567890),
    (Decimal("1E+3"), 1000),
    (Decimal("0.1234567890123456789"), "0.1234567890123456789"),
    (Decimal("NaN"), None),
    (date(2026, 11, 21), "2026-11-21"),
    (datetime(2026, 11, 21, 9, 30), "2026-11-21T09:30:00"),  # noqa: DTZ001 - columns without a zone exist
    (datetime(2026, 11, 21, 9, 30, tzinfo=UTC), "2026-11-21T09:30:00+00:00"),
    (time(9, 30), "09:30:00"),
    (timedelta(minutes=1, milliseconds=500), 60.5),
    (b"\xff\x00", "/wA="),
    (memoryview(b"abc"), "YWJj"),
    (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    ([Decimal(1), (b"a",)], [1, ["YQ=="]]),
    ({"a": {1: date(2026, 1, 2)}}, {"a": {"1": "2026-01-02"}}),
]


@pytest.mark.parametrize(
    ("value", "plain"), VALUES, ids=[f"{type(value).__name__}-{number}" for number, (value, _) in enumerate(VALUES)]
)
def test_every_type_has_a_plain_form_that_json_gives_back(value, plain):
    found = plain_value(value)
    assert found == plain
    assert type(found) is type(plain)
    assert json.loads(json.dumps(found, allow_nan=False)) == plain


@pytest.mark.parametrize("value", [object(), 1j, {"deep": [{1, 2}]}], ids=["object", "complex", "set"])
def test_other_types_are_refused_by_their_name_and_not_their_value(value):
    with pytest.raises(ValueError, match=r"a value of type (object|complex|set)$"):
        plain_value(value)
