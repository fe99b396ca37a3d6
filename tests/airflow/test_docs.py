"""Every block of the documentation is run: Python, DAGs, tests, commands, JSON. The rest is named here."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from harness.airflow_home import airflow_db, run_dag
from harness.command_line import run
from harness.documentation import blocks_of
from harness.media_files import make_png

from airflow_provider_bedrock_llm.hooks.bedrock_llm import BedrockLLMHook
from airflow_provider_bedrock_llm.jobs.storage import open_location

__all__ = ["airflow_db"]

REPOSITORY = Path(__file__).parents[2]
DOCS = REPOSITORY / "docs"
PAGES = sorted(DOCS.glob("*.md"))
BLOCKS = {page.stem: blocks_of(page) for page in PAGES}
RUN = ("python", "sh", "json")
REVIEWS = b"".join(
    (REPOSITORY / "dags_examples" / "data" / "amazon_reviews.csv").read_bytes().splitlines(keepends=True)[:13]
)
SHOWN = ("console", "text", "ini", "yaml")
"""Installing, starting Docker, and what a file or a screen looks like."""


@pytest.fixture(scope="module")
def object_store():
    """An S3 server with the bucket of the pages, behind the connection aws_default."""
    moto_server = pytest.importorskip("moto.server")
    server = moto_server.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    extra = {"endpoint_url": f"http://{host}:{port}", "region_name": "us-east-1"}
    with pytest.MonkeyPatch.context() as patch:
        connection = {"conn_type": "aws", "login": "key", "password": "secret", "extra": extra}
        patch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(connection))
        open_location("s3://aws_default@my-bucket", "work_dir")._fs.mkdir("my-bucket")
        open_location("s3://aws_default@my-bucket/reviews.csv", "source").write(REVIEWS)
        yield
    server.stop()


@pytest.fixture
def desk(local_bedrock, object_store, tmp_path, monkeypatch):
    """Where a reader would sit: the files that the pages speak of, and a connection."""
    (tmp_path / "reviews.csv").write_bytes(REVIEWS)
    (tmp_path / "diagram.png").write_bytes(make_png(64, 64))
    monkeypatch.chdir(tmp_path)
    environment = dict(os.environ)
    yield tmp_path
    os.environ.clear()
    os.environ.update(environment)


def test_every_block_is_of_a_kind_that_is_run_or_named_here():
    kinds = {block.language for blocks in BLOCKS.values() for block in blocks}
    assert kinds <= {*RUN, *SHOWN}


@pytest.mark.parametrize(
    "page", [page for page, blocks in BLOCKS.items() if any(b.language == "python" for b in blocks)]
)
def test_the_python_of_a_page_runs_from_top_to_bottom(page, airflow_db, desk):
    names = {"__name__": f"docs_{page}"}
    for block in BLOCKS[page]:
        if block.language != "python" or _is_test(block):
            continue
        connection = os.environ["AIRFLOW_CONN_BEDROCK_LLM_DEFAULT"]
        before = dict(names)
        exec(block.compile(), names)
        os.environ["AIRFLOW_CONN_BEDROCK_LLM_DEFAULT"] = connection  # a page may show one that leads to AWS
        dag = names.get("dag")
        if dag is not None and dag is not before.get("dag"):
            finished = run_dag(dag)
            states = {one.task_id: str(one.state) for one in finished.get_task_instances()}
            assert finished.state == "success", (block.line, states)


def test_the_routing_function_of_the_page_chooses(desk, monkeypatch):
    (block,) = (block for block in BLOCKS["routing"] if "def choose(" in block.code)
    (desk / "my_routers.py").write_text(block.code)
    monkeypatch.syspath_prepend(desk)
    candidates = {
        "cheap": {"service": "Bedrock", "model": "amazon.nova-micro-v1:0"},
        "roomy": {"service": "Bedrock", "model": "amazon.nova-pro-v1:0"},
    }
    hook = BedrockLLMHook(candidates=candidates, routing="my_routers:choose")
    assert hook.route("short").models == ("cheap", "roomy")
    assert hook.route("long " * 300).models == ("roomy", "cheap")


@pytest.mark.parametrize(
    "page", [page for page, blocks in BLOCKS.items() if any("def test_" in b.code for b in blocks)]
)
def test_the_tests_of_a_page_pass(page, tmp_path):
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["airflow_provider_bedrock_llm.testing"]\n')
    for number, block in enumerate(BLOCKS[page]):
        if _is_test(block):
            (tmp_path / f"test_{page}_{number}.py").write_text(block.code)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])},
    )
    assert done.returncode == 0, done.stdout


def _is_test(block):
    return "def test_" in block.code


COMMANDS = [
    pytest.param(line, id=f"{block.path.name}:{block.line}")
    for blocks in BLOCKS.values()
    for block in blocks
    if block.language == "sh"
    for line in block.code.splitlines()
    if line and not line.startswith("#")
]


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_of_the_documentation_runs(line, desk, capsys):
    airflow, group, *words = shlex.split(line)
    assert (airflow, group) == ("airflow", "bedrock-llm"), "other commands belong into a console block"
    run(*words)
    told = capsys.readouterr()
    assert told.out or told.err


@pytest.mark.parametrize(
    "block",
    [
        pytest.param(block, id=f"{block.path.name}:{block.line}")
        for blocks in BLOCKS.values()
        for block in blocks
        if block.language == "json"
    ],
)
def test_json_is_json(block):
    document = json.loads(block.code)
    if "Statement" in document:
        assert document["Version"] == "2012-10-17"
        assert all({"Effect", "Action", "Resource"} <= statement.keys() for statement in document["Statement"])
