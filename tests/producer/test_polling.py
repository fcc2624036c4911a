"""The choice between airports and Open-Meteo for each station, with a fake server for both."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from producer import metar
from producer.api_response import ApiConnectionError
from producer.metar import Metar
from producer.polling import PollResult, SourceClients, State
from tests.conftest import make_settings
from tests.producer.conftest import FAST_RETRIES, VALUES, FakeApi, location
from tests.producer.parts import join_results
from weatherglass.record_headers import Origin
from weatherglass.records import Observation
from weatherglass.settings import Source
from weatherglass.stations import Station, bundled_stations
from weatherglass.store.published import Published

NOW = datetime(2026, 7, 14, 12, 20, tzinfo=UTC)
HOUR = timedelta(hours=1)
KNOWN = bundled_stations()
BOTH, MODEL, AIRPORT = KNOWN["boston"], KNOWN["jerusalem"], KNOWN["jfk"]
STATIONS = (BOTH, MODEL, AIRPORT)
MEASURED, MODELLED = 3.0, VALUES["temperature_2m"]


class FakeSources:
    """Both APIs on one server; None is a source that does not respond.

    Attributes:
        reports: airport -> ages of its reports.
        lines: the log.
    """

    def __init__(self, api: FakeApi, folder: Path):
        self.reports: dict[str, list[timedelta]] | None = {"KBOS": [HOUR / 2], "KJFK": [HOUR / 2]}
        self.has_model = True
        self.time = NOW.replace(minute=15)
        self.lines: list[str] = []
        self.settings = make_settings(
            folder, source=Source.AUTO, open_meteo_url=api.url, metar_url=api.url, backfill_hours=0
        )
        api.respond = self._respond

    def _respond(self, query: dict[str, str]) -> tuple[int, str]:
        if "ids" in query:
            return (404, "") if self.reports is None else (200, json.dumps(self._airports(query)))
        if not self.has_model:
            return 400, json.dumps({"error": True, "reason": "down"})
        count = len(query["latitude"].split(","))
        steps = int(query.get("past_minutely_15", 0))
        return 200, json.dumps([location(n, f"{self.time:%Y-%m-%dT%H:%M}", steps) for n in range(count)])

    def _airports(self, query: dict[str, str]) -> list[dict[str, Any]]:
        assert self.reports is not None
        return [
            {"icaoId": airport, "obsTime": (NOW - age).timestamp(), "temp": MEASURED}
            for airport, ages in self.reports.items()
            for age in ages
            if airport in query["ids"].split(",")
        ]

    def poll(self, published: dict[str, Published] | None = None, **model_output: Observation) -> PollResult:
        with SourceClients(self.settings) as clients:
            for client in clients.all:
                client.retry_policy = replace(FAST_RETRIES, attempts=1)
            state = State(published or {}, model_output, 0)
            return join_results(clients.poll(STATIONS, state, NOW, self.lines.append))


@pytest.fixture
def fake(fake_api: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSources]:
    monkeypatch.setattr(metar, "REQUEST_SECONDS", 0.0)
    return FakeSources(fake_api, tmp_path)


def published(station: Station, source: Origin | None, age: timedelta) -> dict[str, Published]:
    newest = Observation(station_id=station.station_id, timestamp=NOW - age, temperature=1)
    return {station.station_id: Published(newest, source, {newest.timestamp: newest})}


def temperatures(result: PollResult) -> dict[str, float | None]:
    return {name: one.current.temperature for name, one in result.response.stations.items() if one.current}


def test_a_reporting_airport_observes_its_station_and_open_meteo_the_others(fake: FakeSources) -> None:
    result = fake.poll()
    assert temperatures(result) == {"boston": MEASURED, "jerusalem": MODELLED, "jfk": MEASURED}
    assert result.origins == {"boston": Origin.METAR, "jerusalem": Origin.OPEN_METEO, "jfk": Origin.METAR}
    assert result.measured == {"boston", "jfk"}
    assert result.response.failures == {}


def test_the_value_of_open_meteo_for_a_measured_station_is_model_output(fake: FakeSources) -> None:
    result = fake.poll()
    assert [(o.station_id, o.timestamp, o.temperature) for o in result.model_output] == [
        ("boston", NOW.replace(minute=15), MODELLED)
    ]
    assert result.model is Origin.OPEN_METEO


def test_model_output_has_all_steps_since_the_newest_one(fake: FakeSources) -> None:
    before = Observation(station_id="boston", timestamp=NOW - HOUR, temperature=1)
    result = fake.poll(published(BOTH, Origin.METAR, HOUR / 2), boston=before)
    assert [o.timestamp.minute for o in result.model_output if o.timestamp > before.timestamp] == [30, 45, 0, 15]
    assert temperatures(result)["boston"] == MEASURED


def test_model_output_of_the_future_is_left_out(fake: FakeSources) -> None:
    fake.time = NOW.replace(minute=30)
    assert fake.poll().model_output == []


def test_a_silent_airport_is_replaced_by_open_meteo_and_named_in_the_log(fake: FakeSources) -> None:
    fake.reports = {"KJFK": [HOUR / 2]}
    result = fake.poll(published(BOTH, Origin.METAR, 3.1 * HOUR))
    assert (temperatures(result)["boston"], result.origins["boston"]) == (MODELLED, Origin.OPEN_METEO)
    assert result.model_output == []
    assert any("boston" in line and "jerusalem" in line and "jfk" not in line for line in fake.lines)


def test_a_station_waits_for_its_airport_if_the_reports_cannot_be_requested(fake: FakeSources) -> None:
    fake.reports = None
    result = fake.poll(published(BOTH, Origin.METAR, 2.9 * HOUR))
    assert set(temperatures(result)) == {"jerusalem"}
    assert set(result.response.failures) == {"boston", "jfk"}
    assert {o.station_id for o in result.model_output} == {"boston"}
    assert any(line.startswith("WARNING") and "404" in line for line in fake.lines)


@pytest.mark.parametrize("source", [Origin.OPEN_METEO, None])
def test_a_station_that_no_airport_has_observed_lately_does_not_wait(fake: FakeSources, source: Origin | None) -> None:
    fake.reports = None
    assert temperatures(fake.poll(published(BOTH, source, HOUR / 2)))["boston"] == MODELLED


def test_without_open_meteo_the_airports_still_observe(fake: FakeSources) -> None:
    fake.has_model = False
    result = fake.poll()
    assert temperatures(result) == {"boston": MEASURED, "jfk": MEASURED}
    assert set(result.response.failures) == {"jerusalem"}
    assert result.model_output == []


def test_without_both_there_is_an_error(fake: FakeSources) -> None:
    fake.has_model = False
    fake.reports = None
    with pytest.raises(Exception, match="down"):
        fake.poll()


def test_a_station_whose_past_is_not_available_yet_stays_with_its_airport(
    fake: FakeSources, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its newest report alone would leave a gap, and Open-Meteo would be mixed with its reports."""
    reports = Metar._reports

    def fail(client: Metar, stations: list[Station], hours: int, now: datetime) -> Any:
        if hours > 3:
            raise ApiConnectionError("no past")
        return reports(client, stations, hours, now)

    monkeypatch.setattr(Metar, "_reports", fail)
    result = fake.poll(published(BOTH, Origin.METAR, 9 * HOUR))
    assert "boston" not in result.response.stations
    assert result.response.failures["boston"] == "no past"


def test_stations_that_wait_for_their_past_come_in_the_part_of_their_group(fake: FakeSources) -> None:
    fake.reports = {"KBOS": [HOUR / 2], "KJFK": [HOUR / 2, HOUR * 8]}
    state = State(published(BOTH, Origin.METAR, HOUR) | published(AIRPORT, Origin.METAR, 9 * HOUR), {}, 0)
    with SourceClients(fake.settings) as clients:
        parts = list(clients.poll(STATIONS, state, NOW, fake.lines.append))
    assert [set(part.response.stations) for part in parts] == [{"boston", "jerusalem"}, {"jfk"}]
    assert [part.origins for part in parts] == [
        {"boston": Origin.METAR, "jerusalem": Origin.OPEN_METEO},
        {"jfk": Origin.METAR},
    ]
    assert [[value.station_id for value in part.model_output] for part in parts] == [["boston"], []]
    assert [part.response.failures for part in parts] == [{}, {}]
    assert all({"boston", "jfk"} == part.measured for part in parts)


def test_a_station_whose_first_source_is_open_meteo_is_not_asked_for_at_its_airport(
    fake: FakeSources, fake_api: FakeApi
) -> None:
    model_first = replace(BOTH, sources=(Origin.OPEN_METEO, Origin.METAR))
    with SourceClients(fake.settings) as clients:
        result = join_results(clients.poll((model_first, AIRPORT), State({}, {}, 0), NOW, fake.lines.append))
    assert result.origins["boston"] is Origin.OPEN_METEO
    assert [query["ids"] for query in fake_api.queries if "ids" in query] == ["KJFK"]


@pytest.mark.parametrize(
    ("source", "paths"),
    [(Source.METAR, {"/api/data/metar"}), (Source.OPEN_METEO, {"/v1/forecast"})],
)
def test_a_source_that_is_selected_alone_is_the_only_one_requested(
    fake: FakeSources, fake_api: FakeApi, source: Source, paths: set[str]
) -> None:
    fake.settings = fake.settings.model_copy(update={"source": source})
    stations = (BOTH,)
    with SourceClients(fake.settings) as clients:
        result = join_results(clients.poll(stations, State({}, {}, 0), NOW, fake.lines.append))
    assert set(fake_api.paths) == paths
    assert result.origins == {"boston": Origin(source.value)}
    assert result.model_output == []
