"""Several files as one source, compressed or not, on disk and on S3."""

import gzip
import json

import pytest

from airflow_provider_bedrock_llm.core.errors import ConfigurationError, SourceError
from airflow_provider_bedrock_llm.jobs.record_reader import RecordReader
from airflow_provider_bedrock_llm.jobs.source import Source
from airflow_provider_bedrock_llm.jobs.source_files import may_name_several
from airflow_provider_bedrock_llm.jobs.storage import LocalLocation


def lines(*ids):
    return "".join(json.dumps({"id": name}) + "\n" for name in ids).encode()


def csv_of(*ids, header="id"):
    return "\n".join([header, *ids, ""]).encode()


@pytest.fixture
def folder(tmp_path):
    def fill(**files):
        for name, data in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return tmp_path

    return lambda files: fill(**files)


def source_at(path, **options):
    return Source(LocalLocation(path, "source"), **options)


def ids_of(source):
    reader = RecordReader(("id",), frozenset())
    return [reader.read(index, row).id for index, row in enumerate(source.rows())]


def test_a_pattern_and_a_folder_mean_their_files_by_name(folder):
    place = folder({"b.jsonl": lines("b1"), "a.jsonl": lines("a1", "a2"), "c.jsonl.gz": gzip.compress(lines("c1"))})
    assert ids_of(source_at(place)) == ["a1", "a2", "b1", "c1"]
    assert ids_of(source_at(place / "*.jsonl")) == ["a1", "a2", "b1"]
    assert ids_of(source_at(place / "[bc].*")) == ["b1", "c1"]


def test_what_stands_beside_the_data_is_no_data(folder):
    files = {
        "part-0.csv": csv_of("1"),
        "_SUCCESS": b"",
        ".part-0.csv.crc": b"x",
        "_old.csv": csv_of("9"),
        "notes.md": b"#",
    }
    assert ids_of(source_at(folder(files))) == ["1"]


def test_folders_below_are_read_where_a_pattern_names_them(folder):
    place = folder({"day=1/part.csv": csv_of("1"), "day=2/part.csv": csv_of("2"), "top.csv": csv_of("0")})
    assert ids_of(source_at(place)) == ["0"]
    assert ids_of(source_at(place / "**" / "*.csv")) == ["1", "2", "0"]


def test_a_folder_that_is_called_like_a_file_is_a_folder(folder):
    place = folder({"rows.csv/part-00000": csv_of("1"), "rows.csv/part-00001": csv_of("2")})
    assert ids_of(source_at(place / "rows.csv")) == ["1", "2"]


def test_a_name_with_brackets_that_exists_means_itself(folder):
    assert ids_of(source_at(folder({"rows[1].csv": csv_of("1"), "rows1.csv": csv_of("9")}) / "rows[1].csv")) == ["1"]


def test_the_format_can_be_said_for_files_whose_names_do_not_tell(folder):
    place = folder({"part-0": lines("1"), "part-1": lines("2")})
    assert ids_of(source_at(place, format="jsonl")) == ["1", "2"]
    with pytest.raises(SourceError, match=r"names no file with rows .*set `source_format`"):
        ids_of(source_at(place))


def test_files_of_different_formats_are_refused(folder):
    place = folder({"a.csv": csv_of("1"), "b.jsonl": lines("2")})
    with pytest.raises(SourceError, match=r"differ in format, as '.*a\.csv' and '.*b\.jsonl' do\. Give a pattern"):
        ids_of(source_at(place))


@pytest.mark.parametrize("pattern", ["none/*.csv", "*.csv"])
def test_a_pattern_that_matches_nothing_says_so(folder, pattern):
    with pytest.raises(SourceError, match="names no file with rows"):
        ids_of(source_at(folder({"a.jsonl": b""}) / pattern))


def test_a_file_whose_name_does_not_tell_its_format_is_refused(folder):
    with pytest.raises(SourceError, match=r"'.*rows' does not tell its format\. Set source_format"):
        ids_of(source_at(folder({"rows": b"x"}) / "rows"))


def test_a_fault_is_told_by_its_line_and_its_file(folder):
    place = folder({"part-01.jsonl": lines("1", "2"), "part-02.jsonl": lines("3") + b"{broken\n"})
    *_, bad = source_at(place).rows()
    assert RecordReader(("id",), frozenset()).read(3, bad).problem.startswith("line 2 of part-02.jsonl is malformed")


def test_files_of_one_name_in_several_folders_are_told_apart(folder):
    place = folder({"a/part.jsonl": b"{\n", "b/part.jsonl": b"{\n"})
    assert [row.place for row in source_at(place / "*" / "*.jsonl").rows()] == [
        f"line 1 of {place / name / 'part.jsonl'}" for name in "ab"
    ]


def test_csv_files_must_have_one_header(folder):
    place = folder({"a.csv": csv_of("1,x", header="id,text"), "b.csv": csv_of("y,2", header="text,id")})
    with pytest.raises(SourceError, match=r"header of '.*b\.csv' is not that of the first file: it has text, id"):
        ids_of(source_at(place))


def test_tab_separated_files_are_told_by_the_name_file_by_file(folder):
    place = folder({"a.csv": csv_of("1,x", header="id,text"), "b.tsv": csv_of("2\tx", header="id\ttext")})
    assert ids_of(source_at(place)) == ["1", "2"]


def test_the_fingerprint_changes_when_a_file_changes_comes_or_goes(folder):
    place = folder({"a.csv": csv_of("1"), "b.csv": csv_of("2")})
    seen = [source_at(place).fingerprint()]
    assert source_at(place).fingerprint() == seen[0]
    folder({"b.csv": csv_of("2", "3")})
    seen.append(source_at(place).fingerprint())
    folder({"c.csv": csv_of("4")})
    seen.append(source_at(place).fingerprint())
    (place / "b.csv").rename(place / "d.csv")
    seen.append(source_at(place).fingerprint())
    assert len(set(seen)) == 4


@pytest.mark.parametrize(
    ("uri", "expected"),
    [("s3://b/in", True), ("s3://b/in/", True), ("/x/*.txt", True), ("/x/a.txt", False), ("a.b/c", True)],
)
def test_only_folders_and_patterns_may_leave_the_format_open(uri, expected):
    assert may_name_several(uri) is expected


class TestZstandard:
    @pytest.fixture
    def compress(self):
        pa = pytest.importorskip("pyarrow")

        def compressed(data):
            sink = pa.BufferOutputStream()
            with pa.CompressedOutputStream(sink, "zstd") as stream:
                stream.write(data)
            return sink.getvalue().to_pybytes()

        return compressed

    @pytest.mark.parametrize("name", ["rows.jsonl.zst", "rows.jsonl.zstd", "ROWS.JSONL.ZST"])
    def test_it_is_told_by_the_name(self, folder, compress, name):
        data = lines(*(f"row-{number}" for number in range(20_000)))
        assert ids_of(source_at(folder({name: compress(data)}) / name))[-1] == "row-19999"

    def test_a_file_of_several_frames_is_read_to_its_end(self, folder, compress):
        place = folder({"rows.csv.zst": compress(csv_of("1")) + compress(b"2\n")})
        assert ids_of(source_at(place)) == ["1", "2"]

    def test_a_damaged_file_is_a_source_error(self, folder, compress):
        packed = compress(lines(*map(str, range(5000))))
        with pytest.raises(SourceError, match="cannot be read"):
            ids_of(source_at(folder({"rows.jsonl.zst": packed[: len(packed) // 2]})))


def test_without_pyarrow_the_error_names_the_extra(folder, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    for name, files in (("a.parquet", {"a.parquet": b""}), ("b.csv.zst", {"b.csv.zst": b""})):
        with pytest.raises(ConfigurationError, match=r"pip install 'airflow-provider-bedrock-llm\[parquet\]'"):
            ids_of(source_at(folder(files) / name))
