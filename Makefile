# `make` alone lists the targets. PYTHON=python3.12 make ... takes another interpreter for the virtual environments.
VENV := .venv
BIN := $(VENV)/bin
CONSTRAINTS := .tools/constraints.txt
COMPILE = $(BIN)/python -m uv pip compile --quiet --universal --python-version 3.11 --upgrade \
	--no-annotate --no-header --no-emit-index-url --no-emit-find-links

BENCHES = $(subst /,.,$(basename $(sort $(wildcard tests/bench/bench_*.py))))

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help venv demo test test-fast test-processes test-bare soak lint format bench docs matrix constraints catalog clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.ready: pyproject.toml $(CONSTRAINTS) .tools/venv.sh
	.tools/venv.sh $(VENV) $(CONSTRAINTS) --editable . --group dev

.venv-core/.ready: .tools/core.in $(CONSTRAINTS) .tools/venv.sh
	.tools/venv.sh .venv-core $(CONSTRAINTS) --requirement .tools/core.in

.venv-aws/.ready: .tools/core.in .tools/aws.in $(CONSTRAINTS) .tools/venv.sh
	.tools/venv.sh .venv-aws $(CONSTRAINTS) --requirement .tools/aws.in

.venv-botocore144/.ready: .tools/constraints-botocore144.txt .tools/venv.sh
	.tools/venv.sh .venv-botocore144 .tools/constraints-botocore144.txt --requirement .tools/constraints-botocore144.txt

venv: $(VENV)/.ready ## the virtual environment .venv, with the tested set of packages

demo: venv ## a real Airflow enriches 3,708 reviews through a local Bedrock endpoint
	@$(BIN)/python .tools/demo.py

bench: venv ## what it costs: calls beside bare aiobotocore and boto3 in threads, jobs of a million rows, the catalog; an hour
	@for each in $(BENCHES); do echo "== $$each"; PYTHONPATH=tests $(BIN)/python -m $$each || exit 1; done

test: lint test-bare test-fast test-processes ## everything

docs: venv ## build the documentation into .site, with every warning an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict --config-file .tools/mkdocs.yml

matrix: venv ## the wheel against Python 3.11 to 3.13, Airflow 3.2 and 3.3, oldest and newest dependencies; an hour
	$(BIN)/python .tools/matrix.py

test-fast: venv .venv-botocore144/.ready ## all tests but those that start real Airflow processes
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not processes and not soak"

test-processes: venv ## the tests that start real Airflow processes; minutes
	$(BIN)/python -m pytest -m processes

soak: venv ## one job of 20,000 rows; worker and triggerers killed or frozen twenty times; and a minute without database and store
	$(BIN)/python -m pytest -s -m soak tests/airflow/test_soak.py
	AWAY_SECONDS=60 $(BIN)/python -m pytest -k away tests/airflow/test_interruptions.py

test-bare: .venv-core/.ready .venv-aws/.ready .venv-botocore144/.ready ## tests/core without Airflow and boto, tests/aws without Airflow
	.venv-core/bin/python -m pytest tests/core
	.venv-aws/bin/python -m pytest tests/aws
	.venv-botocore144/bin/python -m pytest tests/aws

lint: venv ## ruff, mypy, the import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: venv ## let ruff format and mend what it can
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

constraints: venv ## pin the newest set of packages that pyproject.toml allows
	$(COMPILE) --group dev pyproject.toml --output-file $(CONSTRAINTS)
	$(COMPILE) .tools/botocore144.in --output-file .tools/constraints-botocore144.txt

catalog: venv ## write the catalog snapshot of the wheel anew
	$(BIN)/python .tools/build_catalog.py

clean: ## remove environments, caches and what the demo left
	rm -rf .matrix .site .venv .venv-core .venv-aws .venv-botocore144 .demo .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +
