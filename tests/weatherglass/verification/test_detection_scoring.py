"""Anomaly flags scored against injected faults and verdicts."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

from sqlalchemy import Engine, select

from tests.weatherglass.verification.conftest import HOUR, MONDAY, forecast
from weatherglass.record_headers import Origin
from weatherglass.store import detection_scores, predictions, verdicts
from weatherglass.store.detection_scores import InjectedFault
from weatherglass.store.schema import detection as detection_table
from weatherglass.store.verdicts import Judgement, Verdict
from weatherglass.verification import detection_scoring
from weatherglass.verification.detection_scoring import DETECTION_DELAY, NO_KIND, against_faults

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
NOW = MONDAY + DAY + 2 * HOUR


def test_flags_are_scored_against_injected_faults_and_verdicts(store: Engine) -> None:
    """Of four faults, one is flagged during it and one shortly after it; one is missed, and one has only a flag of
    another variable. A flag outside faults is a false alarm, also of a station without faults, but not of a live one.
    """
    flagged = {
        "boston": dict.fromkeys((60, 61, 62, 300), "temperature") | {900: "wind_speed"},
        "denver": {100: "humidity", 740: "pressure"},
        "miami": dict.fromkeys((200, 201), "temperature"),
    }
    readings_of = {
        name: [
            forecast(MONDAY + minute * MINUTE, name, flagged=flagged[name].get(minute, "")) for minute in range(1440)
        ]
        for name in flagged
    }

    def fault(station: str, variable: str, kind: str, first: int, last: int) -> InjectedFault:
        return InjectedFault(station, variable, kind, MONDAY + first * MINUTE, MONDAY + last * MINUTE)

    faults = [
        fault("boston", "temperature", "spike", 58, 61),
        fault("boston", "pressure", "drift", 500, 550),
        fault("boston", "humidity", "spike", 890, 910),
        fault("denver", detection_scores.WHOLE_STATION, "swapped", 600, 700),
    ]
    with store.begin() as connection:
        for name, readings in readings_of.items():
            predictions.save(connection, readings, NOW, Origin.OPEN_METEO if name == "miami" else Origin.REPLAY)
        detection_scores.save_faults(connection, faults[:1])
        detection_scores.save_faults(connection, faults)
        for minute, verdict in ((200, Judgement.CONFIRMED), (201, Judgement.FALSE_ALARM), (300, Judgement.FALSE_ALARM)):
            name = "miami" if minute < 300 else "boston"
            verdicts.save(connection, name, MONDAY + minute * MINUTE, Verdict(verdict, "me", NOW, ""))
        for _ in range(2):
            detection_scoring.score_day(connection, MONDAY.date())
        rows = connection.execute(select(detection_table)).mappings().all()
        totals = detection_scores.detection_totals(connection, MONDAY.date())
    counts = {(row["truth"], row["kind"]): (row["hits"], row["misses"], row["false_alarms"]) for row in rows}
    assert counts == {
        ("injected", "spike"): (1, 1, 0),
        ("injected", "drift"): (0, 1, 0),
        ("injected", "swapped"): (1, 0, 0),
        ("injected", ""): (0, 0, 2),
        ("verdict", ""): (1, 0, 2),
    }
    assert {row["version"] for row in rows} == {"3"}
    assert {(one.truth, one.kind): (one.hits, one.misses, one.false_alarms) for one in totals} == counts


def test_a_verdict_on_a_reading_that_is_no_longer_flagged_does_not_count(store: Engine) -> None:
    with store.begin() as connection:
        predictions.save(connection, [forecast(MONDAY, flagged="pressure")], NOW)
        verdicts.save(connection, "boston", MONDAY, Verdict(Judgement.CONFIRMED, "me", NOW, ""))
        assert [row["hits"] for row in detection_scoring.score_day(connection, MONDAY.date())] == [1]
        predictions.save(connection, [forecast(MONDAY)], NOW)  # revised: no longer flagged
        assert detection_scoring.score_day(connection, MONDAY.date()) == []
        assert detection_scores.detection_totals(connection, MONDAY.date()) == []


def reading(minutes: float, flagged: str = "", version: str | None = "3") -> Any:
    flags = [{"variable": flagged}] if flagged else []
    return SimpleNamespace(
        station_id="boston",
        timestamp=MONDAY + minutes * MINUTE,
        is_anomaly=bool(flagged),
        anomaly={"model_version": version, "flags": flags},
    )


SPIKE = InjectedFault("boston", "humidity", "spike", MONDAY + 100 * MINUTE, MONDAY + 110 * MINUTE)


def counts(readings: list[Any], faults: list[InjectedFault]) -> dict[tuple[str, str], dict[str, int]]:
    return {key: dict(count) for key, count in against_faults(readings, faults, MONDAY, MONDAY + DAY).items()}


def test_a_flag_up_to_an_hour_after_the_fault_is_a_hit_and_a_later_one_a_false_alarm() -> None:
    delay = DETECTION_DELAY / MINUTE
    quiet = reading(100)
    assert counts([quiet, reading(110 + delay, "humidity")], [SPIKE]) == {("3", "spike"): {"hits": 1}}
    late = counts([quiet, reading(110.5 + delay, "humidity")], [SPIKE])
    assert late == {("3", "spike"): {"misses": 1}, ("3", NO_KIND): {"false_alarms": 1}}


def test_a_run_of_flags_that_begins_before_the_fault_is_not_a_false_alarm() -> None:
    overlapping = [reading(minute, "humidity") for minute in (98, 99, 100)]
    assert counts(overlapping, [SPIKE]) == {("3", "spike"): {"hits": 1}}
    separate = [reading(98, "humidity"), reading(99), reading(100, "humidity"), reading(101, "humidity")]
    assert counts(separate, [SPIKE]) == {("3", "spike"): {"hits": 1}, ("3", NO_KIND): {"false_alarms": 1}}


def test_a_fault_without_readings_and_a_fault_of_another_day_do_not_count() -> None:
    assert counts([reading(500)], [SPIKE]) == {}
    yesterday = InjectedFault("boston", "humidity", "stuck", MONDAY - MINUTE, MONDAY + 10 * MINUTE)
    assert counts([reading(5, "humidity")], [yesterday]) == {}


def test_scores_of_a_detector_without_a_model_have_the_version_none() -> None:
    assert counts([reading(105, "humidity", version=None)], [SPIKE]) == {("none", "spike"): {"hits": 1}}


def test_false_alarms_are_counted_for_a_week_after_a_fault(store: Engine) -> None:
    with store.begin() as connection:
        predictions.save(connection, [forecast(MONDAY + HOUR, flagged="pressure")], NOW, Origin.SIMULATED)
        for days, expected in ((8, []), (6, [1])):
            start = MONDAY - days * DAY
            detection_scores.save_faults(connection, [InjectedFault("denver", "humidity", "spike", start, start)])
            rows = detection_scoring.score_day(connection, MONDAY.date())
            assert [row["false_alarms"] for row in rows] == expected
