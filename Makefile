# Every target that needs .venv makes it first. You need Python 3.10 or later, and make.

PYTHON ?= python3
BIN := .venv/bin
WORKERS ?= auto

.DEFAULT_GOAL := help
.PHONY: help demo check test coverage soak lint format hooks bench bench-start bench-reset clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */  make \1|/' | column -t -s '|'

.venv/ready: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/pip install --quiet --disable-pip-version-check --group dev --editable .
	@touch $@

demo: .venv/ready  ## run the suite of the worked example, app/, in parallel
	$(BIN)/pytest tests/app -n $(WORKERS) $(ARGS)

check: .venv/ready  ## run the fast tests, ruff and mypy, in about a minute: after every change
	$(BIN)/ruff check --quiet
	$(BIN)/ruff format --quiet --check
	$(BIN)/mypy --no-error-summary
	$(BIN)/pytest -n $(WORKERS) -m "not slow" $(ARGS)

test: .venv/ready lint  ## run all tests and linters: before a commit
	$(BIN)/pytest -n $(WORKERS) $(ARGS)

# `fail_under` in pyproject.toml is the floor.
coverage: .venv/ready  ## run all tests, and fail if they cover too little of src/pgherd
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n $(WORKERS) $(ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

# pytest prints the seed, also in each test's name. SEED=… repeats the same histories.
soak: SEED := $(shell date +%s)
soak: HISTORIES := 10000
soak: .venv/ready  ## compare dumps after 10,000 random histories (HISTORIES=, SEED=)
	@echo "$(HISTORIES) histories from seed $(SEED) on, 50 with each"
	PGHERD_HISTORIES=$(HISTORIES) PGHERD_SEED=$(SEED) \
		$(BIN)/pytest -n $(WORKERS) -v tests/pgherd/test_histories.py $(ARGS)

lint: .venv/ready  ## check style, types, workflows, manifests and the compose file
	$(BIN)/ruff check --quiet
	$(BIN)/ruff format --quiet --check
	$(BIN)/mypy --no-error-summary
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/[!c]*.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.compose-spec docker-compose.test.yml
	$(BIN)/kubernetes-validate --quiet --strict docker/kubernetes/*.yaml
	$(BIN)/zizmor --quiet --offline .github

format: .venv/ready  ## format the code
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

hooks: .venv/ready  ## let git run ruff, mypy and zizmor before each commit
	$(BIN)/pre-commit install

bench: .venv/ready  ## measure each stage of a database's life, side by side
	$(BIN)/python benchmarks/stages.py $(ARGS)

bench-start: .venv/ready  ## measure how long a run waits for its first database (ARGS=--help)
	$(BIN)/python benchmarks/start.py $(ARGS)

bench-reset: .venv/ready  ## measure the reset by tables and seeded rows, side by side
	$(BIN)/python benchmarks/reset.py $(ARGS)

clean:  ## remove .venv, builds and caches
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache
