"""The simulator with a broker: every observation is published once, also across restarts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from producer import publish
from producer.publish import PublishError
from producer.simulation import simulator as module
from producer.simulation.schedule import Position
from producer.simulation.simulator import Publication, Simulator, read_position, write_position
from producer.topic_bootstrap import bootstrap_topics
from tests.conftest import TestBroker, free_ports, make_settings
from tests.producer.topic_reader import reading
from weatherglass.record_headers import Origin, origin
from weatherglass.records import Observation
from weatherglass.settings import Settings
from weatherglass.simulated_stations import simulated_stations
from weatherglass.store.detection_scores import InjectedFault

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return make_settings(
        tmp_path, simulate_stations=7, simulate_rate=50.0, simulate_faults=0.02, simulate_start_hours=1.0
    )


def test_observations_are_in_order_of_time_and_stations_report_in_turn(settings: Settings) -> None:
    simulator = Simulator(settings, None, NOW)
    assert simulator.start == Position((NOW - timedelta(hours=1)).timestamp(), 0)
    observations, after = simulator.due(simulator.start, NOW)
    assert [o.station_id for o in observations[:8]] == [f"sim-{number:05}" for number in (1, 2, 3, 4, 5, 6, 7, 1)]
    times = [observation.timestamp for observation in observations]
    assert times == sorted(times)
    assert simulator.due(after, NOW)[0][0].timestamp > times[-1]
    for observation in observations[:100]:
        assert Observation.from_json(observation.to_json()) == observation


def test_after_a_restart_the_weather_and_the_turn_continue(settings: Settings, tmp_path: Path) -> None:
    simulator = Simulator(settings, None, NOW)
    whole, _ = simulator.due(simulator.start, NOW - timedelta(minutes=59))
    first, position = simulator.due(simulator.start, NOW - timedelta(minutes=59.5))
    write_position(tmp_path / "position.json", position)
    again = Simulator(settings, read_position(tmp_path / "position.json"), NOW)
    rest, _ = again.due(again.start, NOW - timedelta(minutes=59))
    assert [*first, *rest] == whole


def test_a_faster_clock_reaches_the_present(settings: Settings) -> None:
    simulator = Simulator(settings.model_copy(update={"simulate_speed": 60.0}), None, NOW)
    observations, position = simulator.due(simulator.start, NOW + timedelta(seconds=30))
    assert (position.seconds - simulator.start.seconds) == pytest.approx(30 * 60, abs=2)
    assert len(observations) == pytest.approx(30 * settings.simulate_rate, abs=2)


def test_after_a_long_interruption_it_continues_a_day_before_the_present(settings: Settings) -> None:
    old = Position((NOW - timedelta(days=9)).timestamp(), 12)
    assert Simulator(settings, old, NOW).start == Position((NOW - timedelta(days=1)).timestamp(), 12)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"seconds": -5, "number": 2}'])
def test_a_damaged_position_counts_as_none(tmp_path: Path, content: str) -> None:
    file = tmp_path / "position.json"
    assert read_position(file) is None
    file.write_text(content, encoding="utf-8")
    assert read_position(file) is None


def test_labels_name_the_simulated_stations(settings: Settings) -> None:
    simulator = Simulator(settings.model_copy(update={"simulate_stations": 500}), None, NOW)
    labels = simulator.labels(NOW - timedelta(days=1), NOW)
    assert labels
    assert {label.station_id for label in labels} <= {station.station_id for station in simulated_stations(500, 1)}


class Clock:
    """A clock that advances a second with each wait, and ends the publication after some waits."""

    def __init__(self, waits: int):
        self.now, self.waits = NOW - timedelta(minutes=59), waits

    def wait(self, _seconds: float) -> bool:
        self.now += timedelta(seconds=1)
        self.waits -= 1
        return self.waits <= 0


def publication(settings: Settings, file: Path, reports: list[dict], labels: list[InjectedFault]) -> Publication:
    def save_labels(found: Sequence[InjectedFault]) -> None:
        labels[:] = found

    return Publication(
        Simulator(settings, read_position(file), NOW),
        lambda position: write_position(file, position),
        lambda _message, **fields: reports.append(fields),
        save_labels,
    )


@pytest.mark.integration
def test_two_runs_publish_each_observation_once(
    settings: Settings, broker: TestBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REPORT_SECONDS", 0.0)
    bootstrap_topics(broker.settings, log=lambda _: None)
    file, reports, clock, published = tmp_path / "position.json", [], Clock(0), 0
    with reading(broker.bootstrap_servers) as reader:
        for _ in range(2):
            clock.waits, run = 4, publication(settings, file, reports, [])
            run.run(broker.settings, clock.wait, lambda: clock.now)
            assert run.published > 100
            published += run.published
        records = reader.records()
    assert len(records) == published
    assert len({(record.key, record.value) for record in records}) == published
    assert {origin(record.headers) for record in records} == {Origin.SIMULATED}
    assert reports[-1]["published"] > 0


@pytest.mark.integration
def test_an_unreachable_broker_is_an_error_and_the_position_stays(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "ACKNOWLEDGEMENT_TIMEOUT_SECONDS", 2.0)
    file = tmp_path / "position.json"
    start = Simulator(settings, None, NOW).start
    unavailable = Settings(kafka_bootstrap=f"127.0.0.1:{free_ports(1)[0]}")
    with pytest.raises(PublishError):
        publication(settings, file, [], []).run(unavailable, Clock(3).wait, lambda: NOW)
    assert read_position(file) == start
