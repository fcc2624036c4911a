"""One Docker engine and one cluster for all tests of this folder, stopped at the end. Run only by `make test-cluster`.

To run single tests repeatedly, the cluster can be kept between runs: set WEATHERGLASS_KEPT_CLUSTER to a folder for its
secrets and ports. Then it is started if it is not running, and not stopped. The engine must be kept as well: start one
with `engine up <folder>` and set DOCKER_HOST.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.running import HERE, Cluster

FOLDER = Path("/var/tmp/weatherglass-engine")
"""Data of the engine: outside the checkout, and kept, so that the next run reuses the layers of the images."""
KEPT_CLUSTER = os.environ.get("WEATHERGLASS_KEPT_CLUSTER")


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """Exclude this folder unless it is named on the command line: a run of all tests does not start a cluster."""
    requested = any(HERE.name in Path(argument.partition("::")[0]).parts for argument in config.args)
    return None if requested else True


@pytest.fixture(scope="session")
def engine() -> Iterator[dict[str, str]]:
    """Environment variables for `docker` to reach an engine; the engine is stopped if it was started here."""
    done = subprocess.run(
        [HERE / "engine", "up", FOLDER], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        pytest.fail("no Docker engine; see the output above", pytrace=False)
    state, _, host = done.stdout.splitlines()[-1].partition(" ")
    try:
        yield {"DOCKER_HOST": host} if host else {}
    finally:
        if state == "started":
            subprocess.run([HERE / "engine", "down", FOLDER], check=True)


@pytest.fixture(scope="session")
def cluster(engine: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The complete cluster with all workers, started with the documented commands."""
    folder = Path(KEPT_CLUSTER) if KEPT_CLUSTER else tmp_path_factory.mktemp("cluster")
    running = Cluster("weatherglass-test", folder, engine)
    try:
        running.build()
        if not KEPT_CLUSTER:
            running.down("--volumes", "--remove-orphans")
        running.up()
        yield running
    finally:
        running.close_kafka_shell()
        if not KEPT_CLUSTER:
            running.down("--volumes", "--remove-orphans")
