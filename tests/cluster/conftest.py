"""One engine and one cluster for all tests here; everything is ended at the end. Run by `make test-cluster` alone."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.running import HERE, Cluster

FOLDER = Path("/var/tmp/weatherglass-engine")
"""The engine's data: outside the checkout, and kept, so that the next run finds the layers of the images."""


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """Collected only when asked for: a whole cluster is no part of a run of all tests."""
    asked = any(HERE.name in Path(argument.partition("::")[0]).parts for argument in config.args)
    return None if asked else True


@pytest.fixture(scope="session")
def engine() -> Iterator[dict[str, str]]:
    """The environment in which `docker` reaches an engine, and Compose builds."""
    done = subprocess.run(
        [HERE / "engine", "up", FOLDER], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False
    )
    host = (done.stdout.splitlines() or [""])[-1]
    try:
        if done.returncode:
            pytest.fail("the cluster cannot be tested: no Docker engine; why is above", pytrace=False)
        yield {"DOCKER_HOST": host} if host else {}
    finally:
        if not os.environ.get("DOCKER_HOST"):
            subprocess.run([HERE / "engine", "down", FOLDER], check=False)


@pytest.fixture(scope="session")
def cluster(engine: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The whole cluster with all its workers, started as a user does."""
    running = Cluster("weatherglass-test", tmp_path_factory.mktemp("cluster"), engine)
    try:
        running.build()
        running.down("--volumes", "--remove-orphans")
        running.up()
        yield running
    finally:
        running.leave()
        running.down("--volumes", "--remove-orphans")
