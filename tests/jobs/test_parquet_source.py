"""Parquet sources: typed and nested values, a few rows at a time."""

import io
import json
import uuid
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from airflow_provider_bedrock_llm.core.errors import SourceError
from airflow_provider_bedrock_llm.jobs.parquet_source import _rows_at_once, parquet_header, parquet_rows
from airflow_provider_bedrock_llm.jobs.record import BadRecord, Origin
from airflow_provider_bedrock_llm.jobs.record_reader import RecordReader
from airflow_provider_bedrock_llm.jobs.source import Source
from airflow_provider_bedrock_llm.jobs.storage import LocalLocation
from airflow_provider_bedrock_llm.jobs.template import PromptTemplate

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

ROWS = Origin("row")


def parquet(columns, **options):
    """The bytes of a file with these columns."""
    stream = io.BytesIO()
    table = columns if isinstance(columns, pa.Table) else pa.table(columns)
    pq.write_table(table, stream, **options)
    stream.seek(0)
    return stream


def rows_of(columns, **options):
    return list(parquet_rows(parquet(columns, **options), ROWS, "x.parquet"))


def fields_of(columns, **options):
    return [row.fields() for row in rows_of(columns, **options)]


def test_rows_come_in_order_over_row_groups_and_are_numbered():
    rows = rows_of({"n": list(range(5000))}, row_group_size=700)
    assert [row.fields()["n"] for row in rows] == list(range(5000))
    assert [row.line for row in rows] == list(range(1, 5001))
    assert rows[6].place == "row 7"


TYPED = {
    "when": (
        pa.array([datetime(2026, 1, 2, 3, 4, 5, 600000, UTC)], pa.timestamp("us", "UTC")),
        "2026-01-02T03:04:05.600000+00:00",
    ),
    "day": (pa.array([date(2026, 1, 2)]), "2026-01-02"),
    "price": (pa.array([Decimal("12.50")], pa.decimal128(10, 2)), 12.5),
    "big": (pa.array([Decimal(10**25)], pa.decimal128(38, 0)), 10**25),
    "bytes": (pa.array([b"\xff\x00"]), "/wA="),
    "lasts": (pa.array([timedelta(seconds=90)]), 90.0),
    "nanoseconds": (pa.array([1767323045123456789], pa.timestamp("ns")), "2026-01-02T03:04:05.123456"),
    "nested nanoseconds": (
        pa.array([[{"at": 1767323045123456789}]], pa.list_(pa.struct([("at", pa.timestamp("ns"))]))),
        [{"at": "2026-01-02T03:04:05.123456"}],
    ),
    "nothing": (pa.array([None], pa.string()), None),
    "not a number": (pa.array([float("nan")]), None),
    "list": (pa.array([["a", None]]), ["a", None]),
    "struct": (pa.array([{"a": {"b": [1]}}]), {"a": {"b": [1]}}),
    "map": (pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())), {"k": 1}),
    "empty map": (pa.array([[]], pa.map_(pa.string(), pa.int64())), {}),
    "dictionary": (pa.array(["x"]).dictionary_encode(), "x"),
    "large": (pa.array(["x"], pa.large_string()), "x"),
    "uuid": (pa.array([uuid.UUID(int=1).bytes], pa.uuid()), str(uuid.UUID(int=1))),
}


@pytest.mark.parametrize("name", TYPED)
def test_every_type_is_read_as_json_can_hold_it(name):
    array, expected = TYPED[name]
    (fields,) = fields_of({name: array})
    assert fields == {name: expected}
    assert json.loads(json.dumps(fields, allow_nan=False)) == fields


def test_a_row_that_python_cannot_hold_is_one_bad_row():
    times = pa.array([0, 2**62, 1], pa.timestamp("us"))
    first, bad, last = rows_of({"id": ["a", "b", "c"], "at": times})
    assert (first.fields()["id"], last.fields()["id"]) == ("a", "c")
    assert bad.problem is not None
    record = RecordReader(("id",), frozenset()).read(1, bad)
    assert isinstance(record, BadRecord)
    assert record.problem.startswith("row 2 is malformed: it holds a value that Python has no type for")


def test_a_template_loops_over_what_is_nested():
    items = [[{"name": "lamp", "tags": ["new"]}, {"name": "bulb", "tags": []}]]
    (fields,) = fields_of({"items": items, "sizes": pa.array([[("s", 1)]], pa.map_(pa.string(), pa.int64()))})
    loops = (
        "{% for item in items %}{{ loop.index }}. {{ item.name }}{{ item.tags | join }}\n{% endfor %}"
        "{% for size, count in sizes.items() %}{{ size }}={{ count }}{% endfor %} {{ items | tojson }}"
    )
    template = PromptTemplate(loops, "prompt_template")
    assert template.render(fields) == (
        '1. lampnew\n2. bulb\ns=1 [{"name": "lamp", "tags": ["new"]}, {"name": "bulb", "tags": []}]'
    )


def test_ids_of_one_and_of_several_columns_and_of_the_content_hold():
    columns = {"a": [1, 1, 2], "b": [Decimal("1.5"), Decimal("2.5"), Decimal("1.5")], "day": [date(2026, 1, 1)] * 3}
    rows = rows_of(columns)
    by = {
        ids: [RecordReader(ids, frozenset()).read(0, row).id for row in rows] for ids in [("a",), ("a", "b"), ("day",)]
    }
    assert by["a",] == ["1", "1", "2"]
    assert by["a", "b"] == ['["1","1.5"]', '["1","2.5"]', '["2","1.5"]']
    assert by["day",] == ["2026-01-01"] * 3
    reader = RecordReader((), frozenset())
    twice = [reader.read(0, row).id for row in [*rows, *rows_of(columns)]]
    assert len(set(twice)) == 6
    assert twice[3:] == [f"{name}-2" for name in twice[:3]]


def test_equal_rows_have_equal_text_and_different_ones_do_not():
    one, two = rows_of({"a": [1, 1], "b": [["x"], ["y"]]})
    assert one.text != two.text
    assert one.text == rows_of({"a": [1], "b": [["x"]]})[0].text


def test_the_header_names_the_columns():
    assert parquet_header(parquet({"a": [1], "b": [2]}), "x.parquet") == ["a", "b"]


def test_a_column_that_comes_twice_is_refused():
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    with pytest.raises(SourceError, match="names the column 'a' twice"):
        parquet_header(parquet(table), "x.parquet")


@pytest.mark.parametrize("data", [b"", b"id,text\n1,a\n", b"PAR1 and no more"])
def test_what_is_no_parquet_file_is_said_to_be_none(data):
    with pytest.raises(SourceError, match=r"'x\.parquet' cannot be read as Parquet"):
        list(parquet_rows(io.BytesIO(data), ROWS, "x.parquet"))


def test_a_file_that_is_damaged_in_the_middle_is_a_source_error(tmp_path):
    data = bytearray(parquet({"text": [f"text {n}" * 20 for n in range(3000)]}, row_group_size=1000).getvalue())
    middle = len(data) // 2
    data[middle - 2000 : middle + 2000] = bytes(4000)
    (tmp_path / "x.parquet").write_bytes(data)
    with pytest.raises(SourceError, match="cannot be read"):
        list(Source(LocalLocation(tmp_path / "x.parquet", "source")).rows())


def test_wide_rows_are_read_a_few_at_a_time():
    narrow = pq.ParquetFile(parquet({"n": list(range(5000))})).metadata
    images = pq.ParquetFile(parquet({"image": [bytes(2**21)] * 9}, compression="NONE", use_dictionary=False)).metadata
    assert _rows_at_once(narrow) == 1024
    assert _rows_at_once(images) == 3
    assert _rows_at_once(pq.ParquetFile(parquet(pa.table({"n": pa.array([], pa.int64())}))).metadata) > 0
