"""The phases of `make up` that decide something, without servers."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from producer import sources
from tests.conftest import make_settings
from weatherglass.launcher.console import Console
from weatherglass.launcher.errors import StartError
from weatherglass.launcher.phases import Startup, check_ports, choose_source, probe_sources
from weatherglass.launcher.supervisor import Supervisor
from weatherglass.settings import LOOPBACK, Settings, Source, variable


def startup(settings: Settings) -> Startup:
    console = Console()
    return Startup(settings, console, Supervisor(settings, console.log))


@pytest.mark.parametrize("source", [Source.REPLAY, Source.OPEN_METEO])
def test_source_auto_becomes_the_chosen_source_for_all_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: Source
) -> None:
    monkeypatch.setattr(sources, "resolve_source", lambda _: sources.SourceChoice(source, "description"))
    start = startup(make_settings(tmp_path / "state", source=Source.AUTO))
    probe_sources(start)
    choose_source(start)
    assert start.settings.source is source
    assert start.runs_replay is (source is Source.REPLAY)
    assert start.environment[variable("source")] == source.value
    assert (variable("open_meteo_url") in start.environment) is (source is Source.REPLAY)


def test_an_error_while_choosing_the_source_ends_the_start(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Settings) -> None:
        raise OSError("no network")

    monkeypatch.setattr(sources, "resolve_source", fail)
    start = startup(settings)
    probe_sources(start)
    with pytest.raises(OSError, match="no network"):
        choose_source(start)


def test_a_port_in_use_ends_the_start(settings: Settings) -> None:
    with socket.create_server((LOOPBACK, settings.kafka_port)), pytest.raises(StartError) as raised:
        check_ports(startup(settings))
    assert variable("kafka_port") in str(raised.value)
