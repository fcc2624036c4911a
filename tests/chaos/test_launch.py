"""The launcher with the broker behind the proxy."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos import launch
from tests.chaos.proxied_broker import ProxiedBroker
from tests.conftest import make_settings
from weatherglass.launcher import phases
from weatherglass.launcher.kafka import Broker


def test_the_launcher_starts_the_broker_behind_the_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phases, "Broker", Broker)  # restored after the test
    monkeypatch.setattr(launch, "main", lambda arguments: 3 if arguments == ["up"] else 4)
    assert launch.run(1_111, 2_222) == 3
    settings = make_settings(tmp_path)
    broker = phases.Broker(settings)
    assert isinstance(broker, ProxiedBroker)
    values = dict(line.split("=", 1) for line in broker._configuration().splitlines())
    assert values["advertised.listeners"] == "PLAINTEXT://127.0.0.1:2222,INTERNAL://127.0.0.1:1111"
    assert f"PLAINTEXT://127.0.0.1:{settings.kafka_port}" in values["listeners"].split(",")
