"""What the store tells, caused as it happens: stations that fall silent, late or frozen, slow forecasts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, insert, text

from tests.conftest import free_ports, make_settings
from tests.postgres import postgres
from tests.weatherglass.monitor.conftest import Clock
from tests.weatherglass.store.samples import a_prediction, an_observation
from weatherglass.alerts import metrics as m
from weatherglass.alerts.rule_evaluator import RuleEvaluator
from weatherglass.alerts.rules import RULES
from weatherglass.alerts.sample import MetricSample
from weatherglass.monitor.store_metrics import WARM_UP, StoreMetrics
from weatherglass.records import Method, Origin
from weatherglass.settings import Settings, Source
from weatherglass.store import observations, polls, predictions
from weatherglass.store.engine import open_store
from weatherglass.store.migrate import migrate
from weatherglass.store.schema import promotions, verification_runs

QUARTER = timedelta(minutes=15)
STATIONS = ("boston", "denver", "miami")
Fired = set[tuple[str, str]]


class Network:
    """Stations that report every quarter of an hour, a pipeline that answers, and the watcher's eye on the store."""

    def __init__(self, settings: Settings, store: Engine, clock: Clock):
        self.store, self.clock = store, clock
        self.reading = clock.now
        for back in range(15, -1, -1):
            self.report(*STATIONS, time=clock.now - back * QUARTER, arrived=clock.now - back * QUARTER)
        self.poll()
        self.stored = StoreMetrics(settings, clock.now, clock.now - timedelta(days=1))
        self.watch = RuleEvaluator(RULES)
        self.fired: Fired = set()
        self.over: Fired = set()

    def report(
        self,
        *stations: str,
        time: datetime | None = None,
        arrived: datetime | None = None,
        answer_after: float = 0.8,
        failed: tuple[str, ...] = (),
        method: Method = Method.MODEL,
    ) -> None:
        # Whole seconds: an observation is told from others to the millisecond, and so is what answers it.
        time, arrived = (time or self.clock.now).replace(microsecond=0), arrived or self.clock.now
        with self.store.begin() as connection:
            for station in stations:
                observations.save(connection, [an_observation(station, time)], arrived, Origin.REPLAY)
                issue = a_prediction(station, time, failed, method=method)
                predictions.save(connection, [issue], arrived + timedelta(seconds=answer_after), Origin.REPLAY)

    def poll(self, outcome: str = polls.OK, **counts: float) -> None:
        with self.store.begin() as connection:
            polls.record(connection, polls.Poll(self.clock.now, 1.0, outcome, **counts))  # type: ignore[arg-type]

    def go(self, minutes: float, reporting: tuple[str, ...] = STATIONS, polling: bool = True, **how: object) -> None:
        """So many minutes of looks; who reports does so every quarter of an hour."""
        for number in range(round(minutes * 2)):
            now = self.clock.go(30)
            if now - self.reading >= QUARTER:
                self.reading = now
                self.report(*reporting, **how)  # type: ignore[arg-type]
            if polling and number % 2 == 0:
                self.poll()
            self.look()

    def look(self) -> MetricSample:
        sample = MetricSample(self.clock.now)
        self.stored.look(sample)
        look = self.watch.look(sample)
        self.fired |= {(firing.rule.name, firing.subject) for firing in look.begun}
        self.over |= {(firing.rule.name, firing.subject) for firing in look.over}
        return sample


@pytest.fixture
def network(settings: Settings, store: Engine, clock: Clock) -> Iterator[Network]:
    network = Network(settings, store, clock)
    yield network
    network.stored.close()


def test_an_undisturbed_hour_is_no_alarm(network: Network) -> None:
    network.go(60)
    assert network.fired == set()


def test_a_silent_station_is_told_of_and_no_other(network: Network) -> None:
    network.go(70, reporting=("boston", "miami"))
    assert network.fired == {("station_silent", "denver"), ("station_late", "denver")}
    network.go(20)
    assert network.over == network.fired


def test_a_late_station_is_not_a_silent_one(network: Network) -> None:
    for _ in range(4):
        network.go(14.5, reporting=("boston", "miami"))
        network.report("denver", time=network.clock.now - timedelta(minutes=35))
        network.go(0.5, reporting=("boston", "miami"))
    assert network.fired == {("station_late", "denver")}
    network.report("denver")
    network.go(2)
    assert network.over == network.fired


def test_a_frozen_value(network: Network) -> None:
    network.go(15)
    network.report("denver", failed=("flat_line",))
    network.go(1)
    assert network.fired == {("station_frozen", "denver")}
    network.clock.go(5)
    network.report("denver")
    network.go(3)
    assert network.over == network.fired


def test_a_new_station_is_watched_at_once(network: Network) -> None:
    network.go(1)
    network.report("seattle")
    network.go(1)
    assert ("seattle",) in network.look().of(m.SILENCE)


def test_all_are_silent(network: Network) -> None:
    network.go(27, reporting=())
    assert network.fired == {("no_new_observations", "pipeline")}
    network.report(*STATIONS)
    network.go(2)
    assert network.over == network.fired


def test_the_source_does_not_answer(network: Network) -> None:
    for _ in range(6):
        network.go(1, polling=False)
        network.poll("OpenMeteoConnectionError")
    assert network.fired == {("source_not_answering", "pipeline")}
    assert network.look().get(m.POLLS, "OpenMeteoConnectionError") == 6
    network.poll()
    network.go(2)
    assert network.over == network.fired


def test_a_stop_of_the_pipeline_is_no_silence(settings: Settings, store: Engine, clock: Clock) -> None:
    """After a night off every station was last heard yesterday, and nobody polled."""
    Network(settings, store, clock).stored.close()
    clock.go(12 * 3600)
    stored = StoreMetrics(settings, clock.now, beginning=clock.now)
    clock.go(60)
    sample = MetricSample(clock.now)
    stored.look(sample)
    stored.close()
    assert max(sample.of(m.SILENCE).values()) < 0.1
    assert (sample.get(m.OBSERVATION_AGE), sample.get(m.POLL_AGE)) == (60, 1)


def test_slow_forecasts(network: Network) -> None:
    network.clock.go(WARM_UP.total_seconds())
    network.go(16)
    assert network.fired == set()
    network.go(15, answer_after=90.0)
    assert ("forecasts_slow", "pipeline") in network.fired
    assert network.look().distributions_of(m.FROM_PUBLISHING)["denver",].total > 90
    network.go(45)
    assert network.over == network.fired


@pytest.mark.parametrize(
    ("rule", "cause"),
    [
        ("models_on_fallback", lambda n: n.report(*STATIONS, method=Method.PERSISTENCE)),
        ("budget_nearly_spent", lambda n: n.poll(calls=9500)),
        ("clock_skew", lambda n: n.poll(clock_skew=-45.0)),
        ("model_too_old", lambda n: promote(n, timedelta(days=31))),
        ("verification_stopped", lambda n: verify(n, timedelta(hours=4), pairs=100)),
        ("verification_without_truth", lambda n: verify(n, timedelta(hours=8), pairs=100) or verify(n, timedelta(), 0)),
    ],
)
def test_one_cause_one_alert(network: Network, rule: str, cause: Callable[[Network], object]) -> None:
    network.go(1)
    cause(network)
    network.go(2, polling=rule != "clock_skew")
    assert network.fired == {(rule, "pipeline")}


def promote(network: Network, ago: timedelta) -> None:
    row = {"at": network.clock.now - ago, "kind": "forecaster", "action": "promote", "to_version": "7"}
    with network.store.begin() as connection:
        connection.execute(insert(promotions).values(**row, who="x", why="x", figures={}))


def verify(network: Network, ago: timedelta, pairs: int) -> None:
    at = network.clock.now - ago
    with network.store.begin() as connection:
        connection.execute(insert(verification_runs).values(at=at, through=at, days=1, pairs=pairs, seconds=1.0))


def test_the_store_is_away(network: Network) -> None:
    network.go(1)
    with network.store.begin() as connection:
        connection.execute(text("ALTER TABLE observations RENAME TO away"))
    network.go(1)
    assert network.fired == {("store_unreachable", "pipeline")}
    with network.store.begin() as connection:
        connection.execute(text("ALTER TABLE away RENAME TO observations"))
    network.go(1)
    assert network.over == network.fired


def test_stations_of_another_source_are_not_missed(settings: Settings, store: Engine, clock: Clock) -> None:
    with store.begin() as connection:
        for back in range(10):
            reading = an_observation("old", clock.now - timedelta(days=2) - back * QUARTER)
            observations.save(connection, [reading], reading.timestamp, Origin.OPEN_METEO)
    network = Network(settings, store, clock)
    network.go(2)
    network.stored.close()
    assert network.fired == set()
    assert set(network.look().of(m.SILENCE)) == {(station,) for station in STATIONS}


@pytest.mark.integration
def test_a_database_that_goes_away_and_comes_back(tmp_path: Path, clock: Clock) -> None:
    with postgres(free_ports(1)[0]) as server:
        settings = make_settings(tmp_path / "state", source=Source.REPLAY, database_url=server.create("weatherglass"))
        migrate(settings.store_url)
        engine = open_store(settings.store_url)
        network = Network(settings, engine, clock)

        def go(looks: int) -> None:
            for _ in range(looks):
                clock.go()
                network.look()

        try:
            network.go(3)
            assert network.fired == set()
            server.stop()
            go(4)
            assert network.fired == {("store_unreachable", "pipeline")}
            server.start()
            go(8)
            assert network.over == network.fired
        finally:
            network.stored.close()
            engine.dispose()
