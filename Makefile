# The two commands of the README are `make demo` and `make test`; `make help` lists the rest.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin

.PHONY: help setup setup-test demo test check bench bench-peers faults mutants audit docs format clean

help: ## Print this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

.venv/bin/python:
	@deploy/setup/environment "$(PYTHON)" .venv

.venv/.product: .venv/bin/python pyproject.toml
	@echo "Installing Tiltmeter into .venv (once) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --prefer-binary -e ".[demo,dashboard]"
	@touch $@

.venv/.test: .venv/.product
	@echo "Installing what the tests need (once) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --prefer-binary -e ".[databricks,mlflow]" --group check --group test
	@deploy/setup/mlflow-server $(BIN)/python .venv/mlflow-server
	@deploy/setup/system-packages
	@touch $@

setup: .venv/.product ## Product and demo into .venv
setup-test: .venv/.test ## In addition what the tests need

demo: setup ## Demo world, service and dashboard; Ctrl-C stops everything
	@$(BIN)/python deploy/setup/foreground $(BIN)/tiltmeter demo

format: setup-test ## Rewrite the code in the house format
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix --quiet .

check: setup-test ## The gate: format, lint, types, import contracts, fast tests
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache > .venv/imports.log 2>&1 || { cat .venv/imports.log; exit 1; }
	@$(BIN)/pytest -q -n 2 -m "not slow and not faults"

test: setup-test ## The whole suite, as CI runs it
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache > .venv/imports.log 2>&1 || { cat .venv/imports.log; exit 1; }
	@$(BIN)/pytest -q -n 2 -m "not faults"

faults: setup-test ## Long fault injection: kill -9, full disk, damage, thirty demo seeds
	@$(BIN)/pytest -q -m faults

bench: setup-test ## Speed and memory against floors and peers in one run
	@$(BIN)/python benchmarks/run.py

bench-peers: setup-test ## The same job by other libraries, each in an environment of its own
	@$(BIN)/python benchmarks/peers/run.py

mutants: setup-test ## Mutation score of the statistics, in an environment of its own (about half an hour)
	@$(BIN)/python -m venv .venv/mutants && $(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" > .venv/mutants/lib/$$(ls .venv/mutants/lib)/site-packages/product.pth
	@.venv/mutants/bin/python -m pip install --quiet --disable-pip-version-check "mutmut>=3.8,<4"
	@.venv/mutants/bin/python -m mutmut run
	@.venv/mutants/bin/python -m mutmut results --all true | awk '{n[$$NF]++} END {for (w in n) print w, n[w]; if (n["killed"]) printf "score %.1f %%\n", 100 * (n["killed"] + n["timeout"]) / (n["killed"] + n["timeout"] + n["survived"] + n["no tests"])}'

audit: setup-test ## Licences, bill of materials (CycloneDX), known vulnerabilities
	@$(BIN)/python -m venv .venv/audit
	@.venv/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit cyclonedx-bom pip-licenses
	@deploy/setup/audit .venv

docs: setup-test ## Write the generated pages and files again
	@$(BIN)/python docs/generate.py

clean: ## Remove the environment and what tests left
	@rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis tiltmeter-home
