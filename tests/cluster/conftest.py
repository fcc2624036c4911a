"""One engine and one cluster for all tests here; what was started is ended. Run by `make test-cluster` alone.

A cluster can be kept between runs, to try one test after another on it: with WEATHERGLASS_KEPT_CLUSTER, a folder for
its secrets and ports, it is started if it does not run and left running. Whoever keeps it keeps the engine as well:
`engine up <folder>` starts one, DOCKER_HOST names it.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.running import HERE, Cluster

FOLDER = Path("/var/tmp/weatherglass-engine")
"""The engine's data: outside the checkout, and kept, so that the next run finds the layers of the images."""
KEPT = os.environ.get("WEATHERGLASS_KEPT_CLUSTER")


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """Collected only when asked for: a whole cluster is no part of a run of all tests."""
    asked = any(HERE.name in Path(argument.partition("::")[0]).parts for argument in config.args)
    return None if asked else True


@pytest.fixture(scope="session")
def engine() -> Iterator[dict[str, str]]:
    """The environment in which `docker` reaches an engine, and Compose builds. Ended only if it was started here."""
    done = subprocess.run(
        [HERE / "engine", "up", FOLDER], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        pytest.fail("the cluster cannot be tested: no Docker engine; why is above", pytrace=False)
    whose, _, host = done.stdout.splitlines()[-1].partition(" ")
    try:
        yield {"DOCKER_HOST": host} if host else {}
    finally:
        if whose == "started":
            subprocess.run([HERE / "engine", "down", FOLDER], check=True)


@pytest.fixture(scope="session")
def cluster(engine: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The whole cluster with all its workers, started as a user does."""
    running = Cluster("weatherglass-test", Path(KEPT) if KEPT else tmp_path_factory.mktemp("cluster"), engine)
    try:
        running.build()
        if not KEPT:
            running.down("--volumes", "--remove-orphans")
        running.up()
        yield running
    finally:
        running.leave()
        if not KEPT:
            running.down("--volumes", "--remove-orphans")
