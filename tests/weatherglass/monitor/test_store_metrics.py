"""Alerts on stations, forecasts, polls and verification, caused by records in the store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, insert, text

from tests.conftest import free_ports, make_settings
from tests.postgres import postgres
from tests.weatherglass.monitor.conftest import Clock
from tests.weatherglass.store.samples import a_guidance, a_prediction, an_observation
from weatherglass.alerts import metrics as m
from weatherglass.alerts.rule_evaluator import RuleEvaluator
from weatherglass.alerts.rules import RULES
from weatherglass.alerts.sample import MetricSample
from weatherglass.monitor.store_metrics import WARM_UP, StoreMetrics
from weatherglass.record_headers import Origin
from weatherglass.records import Method
from weatherglass.settings import Settings, Source
from weatherglass.store import guidance, observations, polls, predictions, schema
from weatherglass.store.engine import open_store
from weatherglass.store.migrate import migrate
from weatherglass.store.schema import promotions, verification_runs

QUARTER = timedelta(minutes=15)
STATIONS = ("boston", "denver", "miami")
Fired = set[tuple[str, str]]


class Pipeline:
    """Stations that report every 15 minutes, their predictions in the store, and the evaluation of its metrics."""

    def __init__(self, settings: Settings, store: Engine, clock: Clock):
        self.store, self.clock = store, clock
        self.reading = clock.now
        for back in range(15, -1, -1):
            self.report(*STATIONS, time=clock.now - back * QUARTER, arrived=clock.now - back * QUARTER)
        self.poll()
        self.store_metrics = StoreMetrics(settings, clock.now, clock.now - timedelta(days=1))
        self.evaluator = RuleEvaluator(RULES)
        self.fired: Fired = set()
        self.resolved: Fired = set()

    def report(
        self,
        *stations: str,
        time: datetime | None = None,
        arrived: datetime | None = None,
        predicted_after: float = 0.8,
        failed: tuple[str, ...] = (),
        method: Method = Method.MODEL,
    ) -> None:
        # Whole seconds, because stored times have milliseconds and a prediction must match its observation.
        time, arrived = (time or self.clock.now).replace(microsecond=0), arrived or self.clock.now
        with self.store.begin() as connection:
            for station in stations:
                observations.save(connection, [an_observation(station, time)], arrived, Origin.REPLAY)
                prediction = a_prediction(station, time, failed, method=method)
                predictions.save(connection, [prediction], arrived + timedelta(seconds=predicted_after), Origin.REPLAY)

    def poll(self, outcome: str = polls.OK, **counts: float) -> None:
        with self.store.begin() as connection:
            polls.save_poll(connection, polls.Poll(self.clock.now, 1.0, outcome, **counts))  # type: ignore[arg-type]

    def run(
        self, minutes: float, reporting: tuple[str, ...] = STATIONS, polling: bool = True, **options: object
    ) -> None:
        """Evaluate every 30 s for so many minutes; the reporting stations report every 15 minutes."""
        for number in range(round(minutes * 2)):
            now = self.clock.advance(30)
            if now - self.reading >= QUARTER:
                self.reading = now
                self.report(*reporting, **options)  # type: ignore[arg-type]
            if polling and number % 2 == 0:
                self.poll()
            self.evaluate()

    def evaluate(self) -> MetricSample:
        sample = MetricSample(self.clock.now)
        self.store_metrics.collect(sample)
        evaluation = self.evaluator.evaluate(sample)
        self.fired |= {(firing.rule.name, firing.subject) for firing in evaluation.started}
        self.resolved |= {(firing.rule.name, firing.subject) for firing in evaluation.resolved}
        return sample


@pytest.fixture
def pipeline(settings: Settings, store: Engine, clock: Clock) -> Iterator[Pipeline]:
    pipeline = Pipeline(settings, store, clock)
    yield pipeline
    pipeline.store_metrics.close()


def test_an_hour_without_faults_raises_no_alert(pipeline: Pipeline) -> None:
    pipeline.run(60)
    assert pipeline.fired == set()


def test_a_silent_station_raises_an_alert_for_this_station_only(pipeline: Pipeline) -> None:
    pipeline.run(70, reporting=("boston", "miami"))
    assert pipeline.fired == {("station_silent", "denver"), ("station_late", "denver")}
    pipeline.run(20)
    assert pipeline.resolved == pipeline.fired


def test_a_late_station_is_reported_as_late_not_as_silent(pipeline: Pipeline) -> None:
    for _ in range(4):
        pipeline.run(14.5, reporting=("boston", "miami"))
        pipeline.report("denver", time=pipeline.clock.now - timedelta(minutes=35))
        pipeline.run(0.5, reporting=("boston", "miami"))
    assert pipeline.fired == {("station_late", "denver")}
    pipeline.report("denver")
    pipeline.run(2)
    assert pipeline.resolved == pipeline.fired


def test_a_failed_flat_line_check_reports_a_frozen_station(pipeline: Pipeline) -> None:
    pipeline.run(15)
    pipeline.report("denver", failed=("flat_line",))
    pipeline.run(1)
    assert pipeline.fired == {("station_frozen", "denver")}
    pipeline.clock.advance(5)
    pipeline.report("denver")
    pipeline.run(3)
    assert pipeline.resolved == pipeline.fired


def test_a_new_station_is_measured_at_once(pipeline: Pipeline) -> None:
    pipeline.run(1)
    pipeline.report("seattle")
    pipeline.run(1)
    assert ("seattle",) in pipeline.evaluate().series(m.STATION_SILENCE)


def test_an_airport_is_silent_by_the_interval_of_its_routine_reports(
    settings: Settings, store: Engine, clock: Clock
) -> None:
    settings = settings.model_copy(update={"source": Source.METAR})
    with store.begin() as connection:
        for minutes in range(30, -1, -5):  # special reports of a thunderstorm
            time = (clock.now - timedelta(minutes=minutes)).replace(microsecond=0)
            observations.save(connection, [an_observation("jfk", time)], clock.now, Origin.METAR)
    store_metrics = StoreMetrics(settings, clock.now, clock.now - timedelta(days=1))
    clock.advance(90 * 60)
    sample = MetricSample(clock.now)
    store_metrics.collect(sample)
    store_metrics.close()
    assert sample.get(m.STATION_SILENCE, "jfk") == pytest.approx(1.5)
    assert sample.get(m.OBSERVATION_AGE_RATIO) == pytest.approx(1.5)


def test_with_both_sources_each_station_is_compared_with_the_interval_of_its_present_source(
    settings: Settings, store: Engine, clock: Clock
) -> None:
    """JFK and Newark have changed from quarter hours to reports, Jerusalem has not; a replay was before all of them."""
    settings = settings.model_copy(update={"source": Source.AUTO})
    reports = {name: (Origin.METAR, [timedelta(hours=hours) for hours in range(4)]) for name in ("jfk", "ewr")}
    series = {**reports, "jerusalem": (Origin.OPEN_METEO, [timedelta(minutes=15 * step) for step in range(16)])}
    with store.begin() as connection:
        for name, (source, ages) in series.items():
            for step in range(20):
                time = clock.now - timedelta(hours=5, minutes=15 * step)
                observations.save(connection, [an_observation(name, time)], clock.now, Origin.OPEN_METEO)
            for age in ages:
                observations.save(connection, [an_observation(name, clock.now - age)], clock.now, source)
        observations.save(connection, [an_observation("boston", clock.now)], clock.now, Origin.REPLAY)
    store_metrics = StoreMetrics(settings, clock.now, clock.now - timedelta(days=1))
    clock.advance(30 * 60)
    sample = MetricSample(clock.now)
    store_metrics.collect(sample)
    store_metrics.close()
    silences = {labels[0]: value for labels, value in sample.series(m.STATION_SILENCE).items()}
    assert silences == pytest.approx({"jfk": 0.5, "ewr": 0.5, "jerusalem": 2})
    assert sample.get(m.OBSERVATION_AGE_RATIO) == pytest.approx(0.5)


@pytest.mark.parametrize("source", [Source.AUTO, Source.METAR, Source.REPLAY])
def test_own_stations_are_expected_to_report_whatever_is_polled(
    settings: Settings, store: Engine, clock: Clock, source: Source
) -> None:
    settings = settings.model_copy(update={"source": source})
    with store.begin() as connection:
        for minutes in range(10):
            time = (clock.now - timedelta(minutes=minutes)).replace(microsecond=0)
            observations.save(connection, [an_observation("garden", time)], clock.now, Origin.OWN)
    store_metrics = StoreMetrics(settings, clock.now, clock.now - timedelta(days=1))
    clock.advance(30 * 60)
    sample = MetricSample(clock.now)
    store_metrics.collect(sample)
    store_metrics.close()
    assert sample.get(m.STATION_SILENCE, "garden") == pytest.approx(30)


def test_delay_is_that_behind_stations_of_the_same_kind_and_not_behind_a_clock_that_is_ahead(
    settings: Settings, store: Engine, clock: Clock
) -> None:
    settings = settings.model_copy(update={"source": Source.REPLAY})
    ages = {"ahead": -8, "garden": 0, "roof": 3}
    with store.begin() as connection:
        for name, age in ages.items():
            for minutes in range(10):
                time = (clock.now - timedelta(minutes=age + minutes)).replace(microsecond=0)
                observations.save(connection, [an_observation(name, time)], clock.now, Origin.OWN)
        for step in range(10):
            time = (clock.now - timedelta(days=1, minutes=15 * step)).replace(microsecond=0)
            observations.save(connection, [an_observation("jfk", time)], clock.now, Origin.REPLAY)
    store_metrics = StoreMetrics(settings, clock.now, clock.now - timedelta(days=1))
    sample = MetricSample(clock.now)
    store_metrics.collect(sample)
    store_metrics.close()
    delays = {labels[0]: value for labels, value in sample.series(m.STATION_DELAY).items()}
    assert delays == pytest.approx({"ahead": 0, "garden": 0, "roof": 3, "jfk": 0}, abs=0.05)


def test_silence_of_all_stations_raises_one_alert(pipeline: Pipeline) -> None:
    pipeline.run(27, reporting=())
    assert pipeline.fired == {("no_new_observations", "pipeline")}
    pipeline.report(*STATIONS)
    pipeline.run(2)
    assert pipeline.resolved == pipeline.fired


def test_failed_polls_raise_an_alert(pipeline: Pipeline) -> None:
    for _ in range(6):
        pipeline.run(1, polling=False)
        pipeline.poll("ApiConnectionError")
    assert pipeline.fired == {("source_not_answering", "pipeline")}
    assert pipeline.evaluate().get(m.POLLS, "ApiConnectionError") == 6
    pipeline.poll()
    pipeline.run(2)
    assert pipeline.resolved == pipeline.fired


def test_ages_do_not_count_while_the_pipeline_was_stopped(settings: Settings, store: Engine, clock: Clock) -> None:
    """The pipeline was stopped for twelve hours: no observations, no polls."""
    Pipeline(settings, store, clock).store_metrics.close()
    clock.advance(12 * 3600)
    store_metrics = StoreMetrics(settings, clock.now, pipeline_start=clock.now)
    clock.advance(60)
    sample = MetricSample(clock.now)
    store_metrics.collect(sample)
    store_metrics.close()
    assert max(sample.series(m.STATION_SILENCE).values()) < 0.1
    assert (sample.get(m.OBSERVATION_AGE), sample.get(m.POLL_AGE)) == (60, 1)


def test_slow_forecasts_raise_an_alert(pipeline: Pipeline) -> None:
    pipeline.clock.advance(WARM_UP.total_seconds())
    pipeline.run(16)
    assert pipeline.fired == set()
    pipeline.run(15, predicted_after=90.0)
    assert ("forecasts_slow", "pipeline") in pipeline.fired
    assert pipeline.evaluate().histograms(m.PUBLISHING_TO_PREDICTION)["denver",].total > 90
    pipeline.run(45)
    assert pipeline.resolved == pipeline.fired


@pytest.mark.parametrize(
    ("rule", "cause"),
    [
        ("models_on_fallback", lambda p: p.report(*STATIONS, method=Method.PERSISTENCE)),
        ("budget_nearly_spent", lambda p: p.poll(calls=9500)),
        ("clock_skew", lambda p: p.poll(clock_skew=-45.0)),
        ("model_too_old", lambda p: promote(p, timedelta(days=31))),
        ("guidance_missing", lambda p: store_guidance(p, timedelta(hours=19))),
        ("verification_stopped", lambda p: verify(p, timedelta(hours=4), pairs=100)),
        ("verification_without_truth", lambda p: verify(p, timedelta(hours=8), pairs=100) or verify(p, timedelta(), 0)),
    ],
)
def test_a_single_cause_raises_a_single_alert(
    pipeline: Pipeline, rule: str, cause: Callable[[Pipeline], object]
) -> None:
    pipeline.run(1)
    cause(pipeline)
    pipeline.run(2, polling=rule != "clock_skew")
    assert pipeline.fired == {(rule, "pipeline")}


def test_guidance_is_only_expected_if_there_was_any_and_a_model_is_set(
    settings: Settings, store: Engine, clock: Clock
) -> None:
    def age(**changes: str) -> float | None:
        metrics = StoreMetrics(settings.model_copy(update=changes), clock.now, clock.now - timedelta(days=2))
        sample = MetricSample(clock.now)
        metrics.collect(sample)
        metrics.close()
        return sample.get(m.GUIDANCE_AGE)

    assert age() is None
    with store.begin() as connection:
        guidance.save(connection, [a_guidance()], clock.now - timedelta(hours=2))
    assert age() == 2 * 3600
    assert age(guidance_models="") is None


def promote(pipeline: Pipeline, ago: timedelta) -> None:
    row = {"at": pipeline.clock.now - ago, "kind": "forecaster", "action": "promote", "to_version": "7"}
    with pipeline.store.begin() as connection:
        connection.execute(insert(promotions).values(**row, changed_by="x", reason="x", details={}))


def store_guidance(pipeline: Pipeline, ago: timedelta) -> None:
    with pipeline.store.begin() as connection:
        guidance.save(connection, [a_guidance()], pipeline.clock.now - ago)


def verify(pipeline: Pipeline, ago: timedelta, pairs: int) -> None:
    at = pipeline.clock.now - ago
    with pipeline.store.begin() as connection:
        connection.execute(insert(verification_runs).values(at=at, through=at, days=1, pairs=pairs, seconds=1.0))


def test_an_unreadable_store_raises_an_alert(pipeline: Pipeline) -> None:
    pipeline.run(1)
    with pipeline.store.begin() as connection:
        connection.execute(text("ALTER TABLE observations RENAME TO away"))
    pipeline.run(1)
    assert pipeline.fired == {("store_unreachable", "pipeline")}
    with pipeline.store.begin() as connection:
        connection.execute(text("ALTER TABLE away RENAME TO observations"))
    pipeline.run(1)
    assert pipeline.resolved == pipeline.fired


def test_stations_of_another_source_are_not_expected_to_report(settings: Settings, store: Engine, clock: Clock) -> None:
    with store.begin() as connection:
        for back in range(10):
            reading = an_observation("old", clock.now - timedelta(days=2) - back * QUARTER)
            observations.save(connection, [reading], reading.timestamp, Origin.OPEN_METEO)
    pipeline = Pipeline(settings, store, clock)
    pipeline.run(2)
    pipeline.store_metrics.close()
    assert pipeline.fired == set()
    assert set(pipeline.evaluate().series(m.STATION_SILENCE)) == {(station,) for station in STATIONS}


def test_a_station_that_has_not_reported_for_thirty_days_is_not_measured(
    settings: Settings, store: Engine, clock: Clock
) -> None:
    pipeline = Pipeline(settings, store, clock)
    for name, days in (("silent", 29.9), ("removed", 30.0)):
        arrived = clock.now - timedelta(days=days)
        pipeline.report(name, time=arrived, arrived=arrived, predicted_after=0)
    sample = pipeline.evaluate()
    pipeline.store_metrics.close()
    expected = {(station,) for station in (*STATIONS, "silent")}
    assert set(sample.series(m.STATION_SILENCE)) == expected
    assert set(sample.series(m.STATION_FROZEN)) == expected


def test_a_prediction_that_cannot_be_read_does_not_affect_other_stations(
    settings: Settings, store: Engine, clock: Clock
) -> None:
    pipeline = Pipeline(settings, store, clock)
    pipeline.report(*STATIONS)
    with store.begin() as connection:
        connection.execute(
            schema.predictions.update().where(schema.predictions.c.station_id == "boston").values(anomaly=["x"])
        )
    sample = pipeline.evaluate()
    pipeline.store_metrics.close()
    assert set(sample.series(m.STATION_FROZEN)) == {(station,) for station in STATIONS if station != "boston"}


def test_the_predictions_of_another_source_are_not_measured(settings: Settings, store: Engine, clock: Clock) -> None:
    pipeline = Pipeline(settings, store, clock)
    with store.begin() as connection:
        other = a_prediction("other", clock.now.replace(microsecond=0), ("flat_line",), method=Method.PERSISTENCE)
        predictions.save(connection, [other], clock.now, Origin.OPEN_METEO)
    pipeline.report("boston", method=Method.PERSISTENCE)
    sample = pipeline.evaluate()
    pipeline.store_metrics.close()
    assert set(sample.series(m.STATION_FROZEN)) == {(station,) for station in STATIONS}
    assert sample.get(m.FALLBACK_RATIO) == pytest.approx(1 / 3)


@pytest.mark.integration
def test_a_stopped_database_raises_an_alert_that_its_restart_resolves(tmp_path: Path, clock: Clock) -> None:
    with postgres(free_ports(1)[0]) as server:
        settings = make_settings(
            tmp_path / "state", source=Source.REPLAY, database_url=server.create_database("weatherglass")
        )
        migrate(settings.store_url)
        engine = open_store(settings.store_url)
        pipeline = Pipeline(settings, engine, clock)

        def step(count: int) -> None:
            for _ in range(count):
                clock.advance()
                pipeline.evaluate()

        try:
            pipeline.run(3)
            assert pipeline.fired == set()
            server.stop()
            step(4)
            assert pipeline.fired == {("store_unreachable", "pipeline")}
            server.start()
            step(8)
            assert pipeline.resolved == pipeline.fired
        finally:
            pipeline.store_metrics.close()
            engine.dispose()
