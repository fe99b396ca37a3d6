"""Storage: files appear whole or not at all."""

import io

import pytest

from airflow_provider_bedrock_llm.core.errors import ConfigurationError, OutputError
from airflow_provider_bedrock_llm.jobs.storage import LocalLocation, ObjectLocation, absolute_uri, open_location

fsspec = pytest.importorskip("fsspec")
pytest.importorskip("s3fs")
moto_server = pytest.importorskip("moto.server")


@pytest.fixture(scope="module")
def s3():
    server = moto_server.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    fs = fsspec.filesystem("s3", key="k", secret="s", endpoint_url=f"http://{host}:{port}", skip_instance_cache=True)
    fs.mkdir("places")
    yield fs
    server.stop()


@pytest.fixture(params=["local", "s3"])
def place(request, tmp_path):
    if request.param == "local":
        return LocalLocation(tmp_path / "deep" / "folder", "work_dir")
    fs = request.getfixturevalue("s3")
    key = f"places/{tmp_path.name}/deep/folder"
    return ObjectLocation(fs, key, f"s3://{key}", "work_dir")


def test_what_is_written_is_read_listed_and_replaced(place):
    file = place.child("a.txt")
    assert place.names() == []
    assert not file.exists()

    file.write(b"one")
    file.write(b"two")

    assert (file.read(), file.exists(), file.name, place.names()) == (b"two", True, "a.txt", ["a.txt"])
    assert file.uri.endswith("deep/folder/a.txt")


def test_a_name_means_a_file_a_folder_or_those_that_match(place):
    for name in ("b.csv", "a.csv", "c.txt"):
        place.child(name).write(name.encode())
    place.child("below").child("d.csv").write(b"d")

    def meant(location):
        return [found.uri.removeprefix(place.uri + "/") for found, _ in location.files()]

    assert meant(place) == ["a.csv", "b.csv", "c.txt"]
    assert meant(place.child("a.csv")) == ["a.csv"]
    assert meant(place.child("*.csv")) == ["a.csv", "b.csv"]
    assert meant(place.child("**/*.csv")) == ["a.csv", "b.csv", "below/d.csv"]
    assert meant(place.child("*.json")) == []
    assert place.files()[1][0].read() == b"b.csv"
    with pytest.raises(FileNotFoundError):
        place.child("none.csv").files()


def test_each_file_that_a_name_means_has_its_fingerprint(place):
    place.child("a.csv").write(b"1")
    place.child("b.csv").write(b"2")
    before = [stamp for _, stamp in place.files()]
    place.child("b.csv").write(b"22")

    assert [stamp for _, stamp in place.child("*.csv").files()] == [before[0], place.child("b.csv").fingerprint()]
    assert before[1] != place.child("b.csv").fingerprint()


def test_only_the_first_creates(place):
    file = place.child("lease").child("1")

    assert file.create(b"first")
    assert not file.create(b"second")
    assert file.read() == b"first"


def test_a_stream_replaces_the_file_only_when_it_ends_well(place):
    file = place.child("out.jsonl")
    file.write(b"before")

    def write_half():
        with file.writer() as stream:
            stream.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()

    assert file.read() == b"before"
    with file.writer() as stream:
        stream.write(b"whole ")
        stream.write(b"file")
    assert file.read() == b"whole file"
    assert place.names() == ["out.jsonl"]


def test_a_missing_file_raises_file_not_found(place):
    with pytest.raises(FileNotFoundError):
        place.child("none").read()
    with pytest.raises(FileNotFoundError), place.child("none").open():
        pass


def test_a_file_is_read_as_a_stream(place):
    place.child("rows").write(b"a\nb\n")

    with place.child("rows").open() as stream:
        assert isinstance(stream.readline(), bytes)
        assert stream.readline() == b"b\n"


def test_the_fingerprint_changes_with_the_content(place):
    file = place.child("a")
    file.write(b"one")
    before = file.fingerprint()
    file.write(b"three")

    assert file.fingerprint() != before


def test_what_the_disk_refuses_names_setting_path_and_cause(tmp_path):
    (tmp_path / "file").write_text("in the way")
    place = open_location(str(tmp_path / "file" / "job"), "work_dir").child("a")

    for write in (lambda: place.write(b""), lambda: place.create(b"")):
        with pytest.raises(OutputError, match=r"work_dir: .*file/job/a' cannot be used: NotADirectoryError") as caught:
            write()
        assert caught.value.retry_helps


class _FullStore(fsspec.AbstractFileSystem):
    """An object store whose errors are its own."""

    class Error(Exception):
        pass

    def makedirs(self, path, exist_ok=False):
        pass

    def pipe_file(self, path, value, mode="overwrite", **kwargs):
        raise self.Error("quota exceeded")

    def open(self, path, mode="rb", **kwargs):
        stream = io.BytesIO()
        stream.discard = lambda: None
        raise self.Error("quota exceeded")


def test_whatever_a_store_raises_is_an_output_error():
    place = ObjectLocation(_FullStore(), "bucket/job/a", "full://bucket/job/a", "work_dir")

    for write in (lambda: place.write(b""), lambda: place.create(b""), lambda: place.writer().__enter__()):
        with pytest.raises(OutputError, match="work_dir: 'full://bucket/job/a' cannot be used: Error: quota exceeded"):
            write()


def test_local_names_mean_the_same_in_every_process(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert absolute_uri("jobs/a") == str(tmp_path / "jobs" / "a")
    assert absolute_uri(f"file://{tmp_path}/my%20job") == f"{tmp_path}/my job"
    assert absolute_uri("s3://conn@bucket/key") == "s3://conn@bucket/key"


def test_a_scheme_that_nobody_serves_says_what_to_give():
    with pytest.raises(ConfigurationError, match="work_dir='nosuch://bucket/x' cannot be reached"):
        open_location("nosuch://bucket/x", "work_dir")


def test_what_goes_wrong_with_something_else_while_a_file_is_written_is_told_as_it_is(place):
    def rows():
        yield b"one"
        raise ConnectionResetError("the database is away")

    with pytest.raises(ConnectionResetError, match="the database"), place.child("rows").writer() as stream:
        stream.write(b"".join(rows()))

    assert place.names() == []
