"""Files of rows: named by URI and state, read when they are asked."""

import base64

import pytest
from harness.job_engine import CountingEngine, answered
from harness.job_folder import QUICK, job_of, output_of
from harness.media_files import make_gif, make_png

from airflow_provider_bedrock_llm.core.errors import ConfigurationError, ContentError, SourceError
from airflow_provider_bedrock_llm.core.media_table import MediaKind
from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest
from airflow_provider_bedrock_llm.jobs.media import MediaColumns, load_files
from airflow_provider_bedrock_llm.jobs.runner import run_job

PNG, GIF = make_png(), make_gif()
IMAGE = {MediaKind.IMAGE: ("image",)}


def blocks_of(cell, kind=MediaKind.IMAGE, folder=None, **options):
    return MediaColumns({kind: ("file",)}, folder and str(folder), **options).blocks({"file": cell})


def loaded(blocks):
    request = BedrockConverseRequest([{"role": "user", "content": [*blocks, {"text": "?"}]}])
    return load_files(request).messages[0]["content"][:-1]


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    return path


def test_a_file_is_named_first_and_read_when_it_is_asked(picture, tmp_path):
    (block,) = blocks_of("a.png", folder=tmp_path)
    assert block["image"]["file"].keys() == {"uri", "fingerprint"}
    assert loaded([block]) == [{"image": {"format": "png", "source": {"bytes": PNG}}}]
    assert blocks_of(str(picture)) == [block]


@pytest.mark.parametrize("encode", [lambda text: text, lambda text: f"data:image/png;base64,{text}"])
def test_base64_text_is_the_file(encode):
    cell = encode(base64.b64encode(PNG).decode())
    assert blocks_of(cell) == [{"image": {"format": "png", "source": {"bytes": PNG}}}]


def test_a_cell_may_hold_several_or_none(picture):
    assert len(blocks_of([str(picture), base64.b64encode(GIF).decode(), None])) == 2
    assert blocks_of(None) == blocks_of("") == blocks_of([]) == []


def test_documents_have_names_of_their_own(tmp_path):
    for name in ("report.txt", "other.txt"):
        (tmp_path / name).write_text("Some text.")
    found = loaded(blocks_of(["report.txt", "report.txt", "other.txt"], MediaKind.DOCUMENT, tmp_path))
    names = [block["document"]["name"] for block in found]
    assert len(set(names)) == 3
    assert found[0]["document"]["format"] == "txt"
    assert found[0]["document"]["source"] == {"bytes": b"Some text."}


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("none.png", "'none.png' of the column 'file' does not exist"),
        ("gopher://x/none.png", "does not exist"),
        ("data:image/png;base64,???", "neither a path nor base64"),
        (7, "holds int, which is no file"),
        (["a.png"] * 21, "has 21 images, and Converse takes 20"),
        (base64.b64encode(b"no image " * 200).decode(), "Converse takes as image"),
    ],
)
def test_what_is_no_file_is_refused(picture, tmp_path, cell, said):
    with pytest.raises(ContentError, match=said):
        blocks_of(cell, folder=tmp_path)


def test_a_relative_path_needs_a_folder():
    with pytest.raises(ContentError, match="relative path"):
        blocks_of("a.png")


def test_a_file_that_is_too_large_is_refused_unread(tmp_path):
    with (tmp_path / "big.png").open("wb") as file:
        file.truncate(5 * 2**20)
    with pytest.raises(ContentError, match=r"5\.00 MB"):
        blocks_of("big.png", folder=tmp_path)


def test_a_file_that_changes_between_naming_and_reading_is_not_sent(picture):
    blocks = blocks_of(str(picture))
    picture.write_bytes(PNG + b"x")
    with pytest.raises(ContentError, match="changed while the job ran"):
        loaded(blocks)


class TestJob:
    @pytest.fixture
    def rows(self, tmp_path):
        for number in range(6):
            (tmp_path / f"{number}.png").write_bytes(make_png(width=number + 1))
        return [{"id": f"r{number}", "text": "What is it?", "image": f"{number}.png"} for number in range(6)]

    def engine(self):
        return CountingEngine(
            lambda request: answered(str(len(request.messages[0]["content"][0]["image"]["source"]["bytes"])))
        )

    async def test_each_row_is_asked_with_its_file(self, tmp_path, rows):
        spec = job_of(tmp_path, rows, media_columns=IMAGE)
        await run_job(spec, self.engine(), pace=QUICK)
        sizes = [str((tmp_path / row["image"]).stat().st_size) for row in rows]
        assert [line["answer"] for line in output_of(spec)] == sizes

    async def test_a_changed_file_is_asked_anew_and_the_others_are_not(self, tmp_path, rows):
        spec = job_of(tmp_path, rows, media_columns=IMAGE)
        await run_job(spec, self.engine(), pace=QUICK, token="1")
        (tmp_path / "3.png").write_bytes(make_png(width=50))
        with (tmp_path / "rows.jsonl").open("a") as file:
            file.write('{"id": "new", "text": "What is it?", "image": "0.png"}\n')
        engine = self.engine()
        manifest = await run_job(spec, engine, pace=QUICK, token="2")
        assert sorted(request.request_id for request in engine.requests) == ["new", "r3"]
        assert manifest.counts.reused == 5

    async def test_a_missing_file_is_a_bad_record_before_anything_is_spent(self, tmp_path, rows):
        (tmp_path / "2.png").unlink()
        engine = self.engine()
        with pytest.raises(SourceError, match=r"line 3: The image '2\.png' of the column 'image' does not exist"):
            await run_job(job_of(tmp_path, rows, media_columns=IMAGE), engine, pace=QUICK)
        assert engine.calls == 0

        spec = job_of(tmp_path, rows, media_columns=IMAGE, on_bad_record="skip")
        manifest = await run_job(spec, engine, pace=QUICK)
        assert (manifest.counts.succeeded, manifest.counts.skipped, manifest.failures) == (5, 1, {"content": 1})
        assert output_of(spec)[2]["error"]["cause"] == "content"

    async def test_a_file_that_goes_while_the_job_runs_fails_its_own_row(self, tmp_path, rows):
        def answer(request):
            (tmp_path / "5.png").unlink(missing_ok=True)
            return answered("x")

        spec = job_of(tmp_path, rows, media_columns=IMAGE, concurrency=1)
        manifest = await run_job(spec, CountingEngine(answer), pace=QUICK)
        assert (manifest.counts.succeeded, manifest.failures) == (5, {"ContentError": 1})

    def test_files_need_a_prompt_and_calls_on_demand(self, tmp_path):
        with pytest.raises(ConfigurationError, match="media_columns needs a prompt_template"):
            job_of(tmp_path, media_columns=IMAGE, prompt_template=None)
        with pytest.raises(ConfigurationError, match="not for embeddings"):
            job_of(tmp_path, override_columns={"model": "m"}, operation="embed")
