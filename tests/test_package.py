"""The wheel and the sdist: what is in them, and that the same tree gives the same bytes."""

from __future__ import annotations

import configparser
import hashlib
import os
import subprocess
import sys
import tarfile
import time
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

pytest.importorskip("hatchling")

ROOT = Path(__file__).parents[1]
PACKAGE = "airflow_provider_bedrock_llm"


def build(folder, **env):
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder)]
    built = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": "", **env}
    )
    assert built.returncode == 0, built.stderr
    return {path.suffix: path for path in folder.iterdir()}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return build(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def wheel_names(built):
    with zipfile.ZipFile(built[".whl"]) as wheel:
        return set(wheel.namelist())


def test_the_same_tree_gives_the_same_bytes(built, tmp_path):
    again = build(tmp_path / "again", TZ="Asia/Kathmandu", PYTHONHASHSEED=str(int(time.time()) % 1000))
    digests = [
        {kind: hashlib.sha256(path.read_bytes()).hexdigest() for kind, path in one.items()} for one in (built, again)
    ]
    assert digests[0] == digests[1]
    assert digests[0].keys() == {".whl", ".gz"}


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(wheel_names):
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", PACKAGE],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if tracked.returncode:
        pytest.skip("this is no git repository, so nobody knows which files belong to it")
    there = {name for name in tracked.stdout.split() if (ROOT / name).exists()}
    assert {name for name in wheel_names if ".dist-info/" not in name} == there
    assert f"{PACKAGE}/aws/catalog_bundled.json" in there
    assert f"{PACKAGE}/NOTICE" in there


def test_the_sdist_can_be_tested(built):
    with tarfile.open(built[".gz"]) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "Makefile", "tests/conftest.py", "docker-compose.yaml"} <= names
    assert not {name for name in names if name.startswith((".git/", ".venv"))}


def test_airflow_finds_the_provider_by_its_entry_point(built):
    with zipfile.ZipFile(built[".whl"]) as wheel:
        (name,) = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
        text = wheel.read(name).decode()
    points = configparser.ConfigParser()
    points.read_string(text)
    assert points["apache_airflow_provider"]["provider_info"] == f"{PACKAGE}.get_provider_info:get_provider_info"


def test_the_metadata_says_what_it_needs_and_what_is_extra(built):
    with zipfile.ZipFile(built[".whl"]) as wheel:
        (name,) = [name for name in wheel.namelist() if name.endswith("METADATA")]
        metadata = Parser().parsestr(wheel.read(name).decode())
    assert metadata["Requires-Python"] == "<3.14,>=3.11"
    assert {"parquet", "sql", "openlineage", "router", "common-ai"} <= set(metadata.get_all("Provides-Extra"))
    assert "Framework :: Apache Airflow :: Provider" in metadata.get_all("Classifier")
    needed = [line for line in metadata.get_all("Requires-Dist") if "extra ==" not in line]
    assert [line for line in needed if line.startswith(("pytest", "moto", "ruff"))] == []
