"""Shared fixtures: settings in a temporary folder with free ports, stores, and a real broker."""

from __future__ import annotations

import itertools
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import hypothesis
import pytest
from sqlalchemy import Engine

from tests.postgres import PostgresServer, postgres
from weatherglass.launcher.kafka import RunningBroker
from weatherglass.launcher.ports import RAY_RANGE
from weatherglass.settings import Settings
from weatherglass.store.engine import open_store
from weatherglass.store.migrate import migrate
from weatherglass.topics import TOPICS, Topic

if "PYTEST_XDIST_WORKER" in os.environ:
    # The workers already use all cores, so LightGBM and linear algebra get one thread each.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

_TEST_DATA = pytest.StashKey[str | None]()


def pytest_configure(config: pytest.Config) -> None:
    """Remove WEATHERGLASS_TEST_DATA from the environment of the tests, because it is not a setting of Weatherglass.

    The controller of pytest-xdist keeps it for its workers.
    """
    if hasattr(config, "workerinput") or not config.getoption("numprocesses", None):
        config.stash[_TEST_DATA] = os.environ.pop("WEATHERGLASS_TEST_DATA", None)


# No deadline: examples may be slow on a busy machine.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")


def _ports_of_this_worker() -> range:
    """The ports that this worker may use.

    They are below the range of ports for outgoing connections. Each worker has its own range, because a port that was
    handed out may not be in use yet.
    """
    first, count = 10_000, 22_000 // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    return range(first + number * count, first + (number + 1) * count)


_ports = _ports_of_this_worker()
# Concurrent runs on this machine start with different ports.
_candidates = itertools.islice(itertools.cycle(_ports), os.getpid() * 331 % len(_ports), None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the slowest tests first, so that all workers finish at about the same time."""
    items.sort(key=lambda item: ("e2e" not in item.keywords, "integration" not in item.keywords))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))  # on every address, because Ray uses another one
        except OSError:
            return False
    return True


def free_ports(count: int) -> list[int]:
    """Ports that are free on every address."""
    return list(itertools.islice(filter(_is_free, _candidates), count))


def free_range(size: int) -> int:
    """The first of `size` consecutive free ports."""
    row: list[int] = []
    while len(row) < size:
        port = next(_candidates)
        row = [*row, port] if _is_free(port) and (not row or port == row[-1] + 1) else []
    return row[0]


def make_settings(state_dir: Path, **overrides: object) -> Settings:
    """Settings with all state in `state_dir` and free ports."""
    fields = [name for name in Settings.model_fields if name.endswith("_port")]
    ports = dict(zip(fields, free_ports(len(fields)), strict=True))
    if "ray_worker_port_min" not in overrides:
        ports["ray_worker_port_min"] = free_range(RAY_RANGE)
    return Settings(state_dir=state_dir, **{**ports, **overrides})  # type: ignore[arg-type]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return make_settings(tmp_path / "state")


@pytest.fixture
def store(settings: Settings) -> Iterator[Engine]:
    """The store of `settings`, empty."""
    migrate(settings.store_url)
    engine = open_store(settings.store_url)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    with postgres(free_ports(1)[0]) as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.integration)])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a store that does not exist yet, for each kind of database."""
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        return server.create_database(f"test_{uuid4().hex}")
    return f"sqlite:///{tmp_path / 'state' / 'weatherglass.db'}"


@pytest.fixture(scope="session")
def test_data(pytestconfig: pytest.Config) -> Path:
    """Folder of real data outside the project; tests that use it are skipped if it is not set."""
    folder = pytestconfig.stash[_TEST_DATA]
    if not folder:
        pytest.skip("WEATHERGLASS_TEST_DATA is not set")
    return Path(folder)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder for screenshots of the pages: PAGE_PICTURES, else a temporary folder."""
    folder = Path(os.environ.get("PAGE_PICTURES") or tmp_path_factory.mktemp("pictures"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class TestBroker(RunningBroker):
    """A real broker for tests."""

    __test__ = False

    def __init__(self, settings: Settings):
        super().__init__(settings)
        self.settings = settings

    def create_topics(self, topics: tuple[Topic, ...] = TOPICS) -> None:
        from kafka.admin import KafkaAdminClient, NewTopic

        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap_servers)
        try:
            admin.create_topics(
                [NewTopic(t.name, t.partitions, 1, topic_configs=dict(t.broker_config)) for t in topics]
            )
        finally:
            admin.close()


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestBroker]:
    """One broker for all tests of a worker. A test that stops or restarts its broker uses `fresh_broker`."""
    running = TestBroker(make_settings(tmp_path_factory.mktemp("broker")))
    running.start()
    yield running
    running.stop()


@pytest.fixture
def fresh_broker(tmp_path: Path) -> Iterator[TestBroker]:
    """A broker for one test, with all topics; the test may stop, kill and restart it."""
    running = TestBroker(make_settings(tmp_path / "broker"))
    running.start()
    running.create_topics()
    yield running
    running.stop()
