"""The choice of the source."""

from __future__ import annotations

import pytest

from producer import sources
from producer.sources import choose, client_of, observed_stations, origin_of
from tests.producer.conftest import Play, error, good, location
from tests.waiting import until
from weatherglass.records import Origin
from weatherglass.settings import Settings, Source
from weatherglass.stations import Network, network


def test_open_meteo_when_it_answers(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "PATIENCE_SECONDS", 120.0)  # a slow machine is not the matter here
    play.answers = [good(location())]
    source, words = choose(Settings(open_meteo_url=play.url))
    assert source is Source.OPEN_METEO
    assert play.url in words
    assert len(play.asked) == 1


@pytest.mark.parametrize(
    "answer", [error(503, "The service is overloaded"), (200, "<html>Sign in</html>"), good({"hello": 1}), None]
)
def test_else_the_replay_said_loudly(play: Play, monkeypatch: pytest.MonkeyPatch, answer: tuple | None) -> None:
    monkeypatch.setattr(sources, "PATIENCE_SECONDS", 1.0 if answer is None else 120.0)
    play.answers = [answer]
    source, words = choose(Settings(open_meteo_url=play.url))
    assert source is Source.REPLAY
    assert "OPEN-METEO CANNOT BE USED" in words
    assert "not today's weather" in words
    until("the question", lambda: play.asked)  # which a slow server hears of after who asked has given up
    assert len(play.asked) == 1


def test_nobody_listening_is_the_replay() -> None:
    assert choose(Settings(open_meteo_url="http://127.0.0.1:1"))[0] is Source.REPLAY


@pytest.mark.parametrize("source", [Source.OPEN_METEO, Source.REPLAY])
def test_what_was_set_is_not_asked_about(play: Play, source: Source) -> None:
    assert choose(Settings(source=source, open_meteo_url=play.url))[0] is source
    assert not play.asked


def test_stations_client_and_origin_follow_the_source() -> None:
    live, replay = Settings(source=Source.OPEN_METEO), Settings(source=Source.REPLAY)
    assert observed_stations(live) == observed_stations(Settings()) == network(Network.LIVE)
    assert observed_stations(replay) == network(Network.NYCFLIGHTS13)
    assert client_of(replay).url == replay.replay_url
    assert client_of(live).url == "https://api.open-meteo.com"
    assert (origin_of(live), origin_of(replay)) == (Origin.OPEN_METEO, Origin.REPLAY)


def test_injected_faults_are_said_loudly() -> None:
    assert "FAULTS" not in choose(Settings(source=Source.REPLAY))[1]
    words = choose(Settings(source=Source.REPLAY, replay_faults=0.02))[1]
    assert "WITH FAULTS INJECTED ON PURPOSE into 2.0% of the values (WEATHERGLASS_REPLAY_FAULTS)" in words
    assert "FAULTS" not in choose(Settings(source=Source.OPEN_METEO, replay_faults=0.02))[1]
