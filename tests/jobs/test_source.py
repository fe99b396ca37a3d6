"""Sources: streamed, and every fault told by its line."""

import gzip
import json
from pathlib import Path

import pytest

from airflow_provider_bedrock_llm.core.errors import SourceError
from airflow_provider_bedrock_llm.jobs.record import BadRecord, Record
from airflow_provider_bedrock_llm.jobs.record_reader import RecordReader
from airflow_provider_bedrock_llm.jobs.source import Source
from airflow_provider_bedrock_llm.jobs.source_files import format_of
from airflow_provider_bedrock_llm.jobs.storage import LocalLocation

REVIEWS = Path(__file__).parents[2] / "dags_examples" / "data" / "amazon_reviews.csv"


def source_of(tmp_path, data, name="rows.jsonl", **options):
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return Source(LocalLocation(path, "source"), format_of(name) or "jsonl", **options)


def records_of(source, id_columns=("id",), columns=frozenset()):
    reader = RecordReader(id_columns, frozenset(columns))
    return [reader.read(index, row) for index, row in enumerate(source.rows())]


def problems_of(source, **options):
    return [(record.line, record.cause) for record in records_of(source, **options) if isinstance(record, BadRecord)]


def test_jsonl_rows_keep_their_order_and_their_lines(tmp_path):
    source = source_of(tmp_path, '{"id": "a", "n": 1}\n\n{"id": 7}\n')

    assert records_of(source) == [Record(0, "a", {"id": "a", "n": 1}, 1), Record(1, "7", {"id": 7}, 3)]


def test_a_last_line_without_newline_counts(tmp_path):
    assert len(records_of(source_of(tmp_path, '{"id": 1}\n{"id": 2}'))) == 2


def test_csv_fields_may_hold_delimiters_quotes_and_newlines(tmp_path):
    source = source_of(tmp_path, 'id,text\n1,"a, ""b""\nc"\n2,d\n', "rows.csv")

    assert [record.fields["text"] for record in records_of(source)] == ['a, "b"\nc', "d"]
    assert [record.line for record in records_of(source)] == [3, 4]


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path):
    assert records_of(source_of(tmp_path, "\ufeffid\n1\n", "rows.csv"))[0].id == "1"
    assert records_of(source_of(tmp_path, '\ufeff{"id": 1}\n'))[0].id == "1"


@pytest.mark.parametrize("name", ["rows.jsonl.gz", "rows.csv.gz"])
def test_gzip_is_told_by_the_name(tmp_path, name):
    text = "id\n1\n" if "csv" in name else '{"id": 1}\n'

    assert [record.id for record in records_of(source_of(tmp_path, gzip.compress(text.encode()), name))] == ["1"]


def test_a_damaged_gzip_file_is_a_source_error(tmp_path):
    packed = gzip.compress(b'{"id": 1}\n' * 1000)

    with pytest.raises(SourceError, match="cannot be read"):
        records_of(source_of(tmp_path, packed[: len(packed) // 2], "rows.jsonl.gz"))


def test_the_real_reviews_are_3708_records_with_distinct_ids():
    records = records_of(Source(LocalLocation(REVIEWS, "source"), "csv"), ("review_id",), {"text"})

    assert len(records) == len({record.id for record in records}) == 3708
    assert not any(isinstance(record, BadRecord) for record in records)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"id": 1', "Expecting"),
        (b"[1]", "list"),
        (b"\xff\xfe", "UTF-8"),
        (b"not json", "Expecting value"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_a_malformed_jsonl_line_is_named_and_the_next_one_is_read(tmp_path, line, said):
    bad, good = records_of(source_of(tmp_path, line + b'\n{"id": 2}\n'))

    assert (bad.line, bad.cause, good.id) == (1, "malformed", "2")
    assert said in bad.problem


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"1,a,b", "it has 3 columns, and the header 2"),
        (b"1", "it has 1 columns"),
        (b'1,"a"b', "expected after"),
        (b"1,\xff", "UTF-8"),
    ],
)
def test_a_malformed_csv_line_is_named_and_the_next_one_is_read(tmp_path, line, said):
    bad, good = records_of(source_of(tmp_path, b"id,text\n" + line + b"\n2,ok\n", "rows.csv"))

    assert (bad.line, bad.cause, good.id) == (2, "malformed", "2")
    assert said in bad.problem


def test_a_quote_that_never_closes_does_not_swallow_the_rest_in_silence(tmp_path):
    assert problems_of(source_of(tmp_path, 'id,text\n1,"open\n2,b\n', "rows.csv")) == [(3, "malformed")]


def test_a_missing_id_is_named(tmp_path):
    text = '{"n": 1}\n{"id": null}\n{"id": ""}\n{"id": true}\n{"id": [1]}\n{"id": 0}\n'

    assert problems_of(source_of(tmp_path, text)) == [(line, "missing_id") for line in range(1, 6)]


def test_a_missing_column_is_named_with_its_line(tmp_path):
    _, bad = records_of(source_of(tmp_path, '{"id": 1, "text": ""}\n{"id": 2}\n'), columns={"text"})

    assert bad.problem == "line 2 lacks 'text', which the template needs"
    assert bad.id == "2"


def test_an_id_of_several_columns_cannot_be_confused(tmp_path):
    text = '{"a": "x,y", "b": "z"}\n{"a": "x", "b": "y,z"}\n'
    first, second = records_of(source_of(tmp_path, text), ("a", "b"))

    assert json.loads(first.id) == ["x,y", "z"]
    assert first.id != second.id


def test_rows_without_id_columns_are_named_by_content_and_repeats_are_numbered(tmp_path):
    source = source_of(tmp_path, '{"t": 1}\n{"t": 2}\n{"t": 1}\n{"t": 1}\n')
    ids = [record.id for record in records_of(source, ())]

    assert len(set(ids)) == 4
    assert ids[2:] == [f"{ids[0]}-2", f"{ids[0]}-3"]
    assert ids == [record.id for record in records_of(source, ())]


def test_a_missing_file_says_what_to_check(tmp_path):
    source = Source(LocalLocation(tmp_path / "none.csv", "source"), "csv")

    for read in (lambda: records_of(source), source.fingerprint, source.header):
        with pytest.raises(SourceError, match=r"none\.csv' does not exist\. Check `source`"):
            read()


def test_a_header_that_repeats_a_column_is_refused(tmp_path):
    with pytest.raises(SourceError, match="'text' twice"):
        records_of(source_of(tmp_path, "id,text,text\n1,2,3\n", "rows.csv"))


def test_the_fingerprint_changes_with_the_file(tmp_path):
    source = source_of(tmp_path, '{"id": 1}\n')
    before = source.fingerprint()
    source_of(tmp_path, '{"id": 1}\n{"id": 2}\n')

    assert before != source.fingerprint()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.CSV", "csv"),
        ("s3://b/a.tsv.gz", "csv"),
        ("a.ndjson", "jsonl"),
        ("a.parquet", "parquet"),
        ("a.txt", None),
        ("a", None),
    ],
)
def test_the_format_is_told_by_the_name(name, expected):
    assert format_of(name) == expected
