"""Test the wheel against every supported set of versions that this machine can make: `make matrix`.

A cell is an interpreter, an Airflow and a resolution of the dependencies. For each, the wheel is installed into an
environment of its own, and the tests run in a copy of the repository that does not hold the package, so that what is
tested is what is shipped. Interpreters are looked for on PATH; one that is missing is said, and its cells are skipped.

    .tools/matrix.py                          every cell
    .tools/matrix.py py311-airflow32 --keep   one cell, and leave its environment under .matrix/
    .tools/matrix.py --tests tests/core       these tests alone
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / ".matrix"
PACKAGE = "airflow_provider_bedrock_llm"
UV = [sys.executable, "-m", "uv"]
EXTRAS = "s3,aiobotocore,parquet,sql,openlineage,router,common-ai"
OWN_TO_THE_REPOSITORY = ("tests/test_import_rules.py", "tests/test_package.py")
"""Tests that look at the source tree; the wheel has none."""


@dataclasses.dataclass(frozen=True)
class Cell:
    """One set of versions.

    Args:
        name: for the command line.
        python: `3.11` and so on.
        airflow: the requirements on Airflow and on what it does not bound itself.
        resolution: uv's: `highest`, or `lowest-direct` for the oldest versions that pyproject.toml allows.
    """

    name: str
    python: str
    airflow: tuple[str, ...]
    resolution: str = "highest"


AIRFLOW_33 = ("apache-airflow==3.3.*",)
AIRFLOW_32 = ("apache-airflow==3.2.*", "pydantic<2.13")
"""Airflow 3.2 does not import its own models with pydantic 2.14; its constraints file has 2.12."""

CELLS = (
    Cell("py311-airflow33", "3.11", AIRFLOW_33),
    Cell("py311-airflow32", "3.11", AIRFLOW_32),
    Cell("py311-lowest", "3.11", AIRFLOW_32, "lowest-direct"),
    Cell("py312-airflow33", "3.12", AIRFLOW_33),
    Cell("py313-airflow33", "3.13", AIRFLOW_33),
    Cell("py313-airflow32", "3.13", AIRFLOW_32),
)


def main() -> int:
    """Run the cells that were asked for; 1 where one failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cells", nargs="*", help=f"of {', '.join(cell.name for cell in CELLS)}")
    parser.add_argument("--tests", nargs="+", default=["tests"], help="what pytest is given")
    parser.add_argument("--keep", action="store_true", help="keep the environments")
    parser.add_argument("--workers", default="2", help="pytest-xdist's -n")
    args = parser.parse_args()
    cells = [cell for cell in CELLS if not args.cells or cell.name in args.cells]
    wheel = build_wheel()
    outcomes = {cell.name: run_cell(cell, wheel, args.tests, args.workers, keep=args.keep) for cell in cells}
    print()
    for name, outcome in outcomes.items():
        print(f"{name:<18} {outcome}")
    return int(any(outcome.startswith("FAILED") for outcome in outcomes.values()))


def build_wheel() -> Path:
    """Build the wheel of this tree."""
    folder = FOLDER / "dist"
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([*UV, "build", "--quiet", "--wheel", "--out-dir", folder, ROOT], check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def run_cell(cell: Cell, wheel: Path, tests: list[str], workers: str, *, keep: bool) -> str:
    """Install and test one cell; says what came of it."""
    if shutil.which(f"python{cell.python}") is None:
        return f"skipped: there is no python{cell.python} here"
    started = time.monotonic()
    folder = FOLDER / cell.name
    shutil.rmtree(folder, ignore_errors=True)
    python = folder / "venv" / "bin" / "python"
    print(f"== {cell.name}: {' '.join(cell.airflow)}, {cell.resolution}", flush=True)
    try:
        install(cell, wheel, python)
        tree = copy_without_package(folder / "tree")
        ran = subprocess.run(
            [python.parent / "pytest", "-q", "-n", workers, "--dist", "loadfile", "-m", "not processes and not soak",
             *tests,
             *(f"--ignore={path}" for path in OWN_TO_THE_REPOSITORY)],
            cwd=tree, check=False,
        )  # fmt: skip
    except subprocess.CalledProcessError as error:
        return f"FAILED to install: {error}"
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
    seconds = time.monotonic() - started
    return f"passed in {seconds:.0f} s" if ran.returncode == 0 else f"FAILED (pytest {ran.returncode})"


def install(cell: Cell, wheel: Path, python: Path) -> None:
    """Make the environment: the wheel with its extras, and the test group of pyproject.toml."""
    subprocess.run([*UV, "venv", "--quiet", "--python", f"python{cell.python}", python.parents[1]], check=True)
    wanted = [f"{wheel}[{EXTRAS}]", *cell.airflow, "--group", f"{ROOT / 'pyproject.toml'}:test"]
    command = [*UV, "pip", "install", "--quiet", "--python", python, "--resolution", cell.resolution]
    subprocess.run([*command, *wanted], check=True)
    subprocess.run([*UV, "pip", "check", "--quiet", "--python", python], check=True)


def copy_without_package(tree: Path) -> Path:
    """The repository as git has it, without the package: tests can import it from nowhere but the wheel."""
    tree.mkdir(parents=True)
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],  # noqa: S607 - git is on PATH
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    for name in filter(None, listed.split("\0")):
        if not name.startswith(f"{PACKAGE}/") and (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)
    return tree


if __name__ == "__main__":
    sys.exit(main())
