"""Choice of the source of observations."""

from __future__ import annotations

import json

import pytest

from producer import sources
from producer.sources import observed_stations, open_client, record_origin, resolve_source
from tests.producer.conftest import FakeApi, error_response, location, ok_response
from tests.waiting import until
from weatherglass.history.sources import SourceError
from weatherglass.record_headers import Origin
from weatherglass.settings import Settings, Source
from weatherglass.stations import Network, network_stations, observed_by


def test_auto_is_open_meteo_if_it_responds(fake_api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "PROBE_TIMEOUT_SECONDS", 120.0)  # generous for a slow machine
    fake_api.responses = [ok_response(location())]
    choice = resolve_source(Settings(open_meteo_url=fake_api.url))
    assert choice.source is Source.OPEN_METEO
    assert choice.problem is None
    assert fake_api.url in choice.description
    assert len(fake_api.queries) == 1


@pytest.mark.parametrize(
    ("response", "problem"),
    [
        (error_response(503, "The service is overloaded"), "503"),
        ((200, "<html>Sign in</html>"), "<html>"),
        (ok_response({"hello": 1}), "200"),
        (None, ""),
    ],
    ids=["error", "html", "other json", "timeout"],
)
def test_auto_is_the_replay_with_the_problem_if_open_meteo_fails(
    fake_api: FakeApi, monkeypatch: pytest.MonkeyPatch, response: tuple | None, problem: str
) -> None:
    monkeypatch.setattr(sources, "PROBE_TIMEOUT_SECONDS", 1.0 if response is None else 120.0)
    fake_api.responses = [response]
    choice = resolve_source(Settings(open_meteo_url=fake_api.url))
    assert choice.source is Source.REPLAY
    assert choice.problem is not None
    assert problem in choice.problem
    assert fake_api.url in choice.problem
    assert choice.problem in choice.description
    until("the request", lambda: fake_api.queries)  # a slow server receives it after the probe has timed out
    assert len(fake_api.queries) == 1


def test_auto_is_the_replay_if_the_server_is_unreachable() -> None:
    assert resolve_source(Settings(open_meteo_url="http://127.0.0.1:1")).source is Source.REPLAY


def test_a_nan_beside_valid_data_does_not_make_open_meteo_unavailable(
    fake_api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "PROBE_TIMEOUT_SECONDS", 120.0)
    fake_api.responses = [(200, json.dumps(location()).replace("39.746895", "-nan"))]
    assert resolve_source(Settings(open_meteo_url=fake_api.url)).source is Source.OPEN_METEO


def test_without_a_station_of_the_source_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "observed_by", lambda *_: ())
    with pytest.raises(SourceError, match=r"stations\.csv.*open-meteo"):
        observed_stations(Settings(source=Source.OPEN_METEO))


@pytest.mark.parametrize("source", [Source.OPEN_METEO, Source.METAR, Source.REPLAY])
def test_a_configured_source_is_used_without_a_request(fake_api: FakeApi, source: Source) -> None:
    choice = resolve_source(Settings(source=source, open_meteo_url=fake_api.url))
    assert (choice.source, choice.problem) == (source, None)
    assert "WEATHERGLASS_SOURCE" in choice.description
    assert not fake_api.queries


def test_stations_client_and_origin_follow_the_source() -> None:
    live, metar, replay = (Settings(source=source) for source in (Source.OPEN_METEO, Source.METAR, Source.REPLAY))
    assert observed_stations(live) == observed_stations(Settings()) == observed_by(live, Origin.OPEN_METEO)
    assert observed_stations(replay) == network_stations(Network.NYCFLIGHTS13)
    assert observed_stations(metar) == observed_by(metar, Origin.METAR)
    assert open_client(replay).url == replay.replay_url
    assert open_client(metar).url == "https://aviationweather.gov/api/data/metar"
    assert open_client(live).url == "https://api.open-meteo.com"
    for settings, origin in ((live, Origin.OPEN_METEO), (metar, Origin.METAR), (replay, Origin.REPLAY)):
        assert record_origin(settings, open_client(settings)) == origin


def test_the_description_of_the_replay_has_share_and_setting_of_injected_faults() -> None:
    setting = "WEATHERGLASS_REPLAY_FAULTS"
    assert setting not in resolve_source(Settings(source=Source.REPLAY)).description
    description = resolve_source(Settings(source=Source.REPLAY, replay_faults=0.02)).description
    assert "2.0%" in description
    assert setting in description
    assert setting not in resolve_source(Settings(source=Source.OPEN_METEO, replay_faults=0.02)).description
