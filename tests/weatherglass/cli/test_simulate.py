"""`weatherglass simulate`: its options, and what reaches the broker and the store."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from producer import publish
from producer.simulation import simulator
from producer.topic_bootstrap import bootstrap_topics
from tests.conftest import TestBroker, free_ports
from tests.producer.topic_reader import reading
from weatherglass.cli.main import main
from weatherglass.settings import load_settings
from weatherglass.store import schema
from weatherglass.store.engine import open_store


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """The command replaces the handlers of these signals in its process."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEATHERGLASS_STATE_DIR", str(tmp_path))


@pytest.mark.parametrize(
    ("option", "value"), [("stations", "0"), ("stations", "10001"), ("faults", "0.5"), ("speed", "0.5"), ("rate", "-1")]
)
def test_values_outside_the_range_of_the_setting_are_refused(
    option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", f"--{option}={value}"]) == 2
    assert option in capsys.readouterr().err


def test_without_a_broker_the_command_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    address = f"127.0.0.1:{free_ports(1)[0]}"
    monkeypatch.setenv("WEATHERGLASS_KAFKA_BOOTSTRAP", address)
    monkeypatch.setattr(publish, "ACKNOWLEDGEMENT_TIMEOUT_SECONDS", 2.0)
    assert main(["simulate", "--minutes=1"]) == 1
    assert address in capsys.readouterr().err


@pytest.mark.integration
def test_observations_and_labels_of_faults_are_published(broker: TestBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEATHERGLASS_KAFKA_BOOTSTRAP", broker.bootstrap_servers)
    monkeypatch.setattr(simulator, "REPORT_SECONDS", 0.0)
    bootstrap_topics(broker.settings, log=lambda _: None)
    options = ["--stations=300", "--rate=5", "--hours=0.1", "--faults=0.02", "--minutes=0.02"]
    with reading(broker.bootstrap_servers) as reader:
        assert main(["simulate", *options]) == 0
        observations = reader.observations()
    assert len({observation.station_id for observation in observations}) == 300
    engine = open_store(load_settings().store_url)
    try:
        with engine.connect() as connection:
            assert connection.execute(select(func.count()).select_from(schema.injected_faults)).scalar_one() > 0
    finally:
        engine.dispose()
