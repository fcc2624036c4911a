"""The phases of `make up` without Airflow and Ray."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from producer import sources
from tests.conftest import make_settings
from weatherglass.jobs.processes import identity
from weatherglass.launcher import airflow, phases
from weatherglass.launcher.console import Console
from weatherglass.launcher.credentials import KEYS, PASSWORDS, RAY_TOKEN, Credentials
from weatherglass.launcher.errors import StartError
from weatherglass.launcher.phases import Startup, check_ports, choose_source, probe_sources
from weatherglass.launcher.processes import Children, ProcessRecords, Program, launched_processes
from weatherglass.launcher.supervisor import Supervisor
from weatherglass.launcher.up import up
from weatherglass.net import accepts_connections
from weatherglass.registry.registry import Registry
from weatherglass.settings import LOOPBACK, Settings, Source
from weatherglass.settings_errors import variable


def startup(settings: Settings) -> Startup:
    console = Console()
    return Startup(settings, console, Supervisor(settings, console.log))


@pytest.mark.parametrize("source", [Source.REPLAY, Source.METAR, Source.AUTO])
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


@pytest.mark.usefixtures("signal_handlers")
@pytest.mark.parametrize("name", [PASSWORDS, RAY_TOKEN, *KEYS])
def test_a_damaged_secret_ends_the_start_before_anything_is_started(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    Credentials(settings).check()
    (settings.secrets_dir / name).write_bytes(b"")
    monkeypatch.setattr(Children, "start", lambda *_: pytest.fail("a program was started"))
    assert up(settings, lambda _: pytest.fail("not running")) == 1
    assert str(settings.secrets_dir / name) in capsys.readouterr().out


def test_airflow_tables_are_created_once_and_again_if_a_file_is_damaged(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, database, marker = startup(settings), airflow.database(settings), airflow.home(settings) / "migrated"
    database.parent.mkdir(parents=True)
    migrations: list[str] = []

    def migrate(program: Program) -> int:
        migrations.append(program.name)
        database.write_bytes(b"tables")
        return 0

    monkeypatch.setattr(start.supervisor, "run_to_end", migrate)
    for _ in range(2):
        phases.migrate_airflow(start)
    assert len(migrations) == 1
    content = marker.read_bytes()
    for file, damaged in ((marker, b""), (marker, content[: len(content) // 2]), (database, b"")):
        migrations.clear()
        file.write_bytes(damaged)
        phases.migrate_airflow(start)
        assert len(migrations) == 1, file
    assert marker.read_bytes() == content


@pytest.mark.parametrize(
    ("source", "has_champion", "imports"),
    [(Source.REPLAY, False, True), (Source.REPLAY, True, False), (Source.OPEN_METEO, False, False)],
)
def test_shipped_models_are_registered_if_there_are_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: Source, has_champion: bool, imports: bool
) -> None:
    start = startup(make_settings(tmp_path / "state", source=source))
    started: list[Program] = []
    monkeypatch.setattr(Registry, "champion", lambda *_: "a version" if has_champion else None)
    monkeypatch.setattr(start.supervisor.children, "start", started.append)
    phases.start_import_of_models(start)
    assert [program.argv[1:] for program in started] == [["models", "import-shipped"]] * imports
    assert start.imports_models is imports


@pytest.mark.parametrize("status", [0, 1])
def test_the_start_goes_on_without_models_that_cannot_be_registered(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], status: int
) -> None:
    start = startup(settings)
    start.imports_models = True
    children = start.supervisor.children
    command = ["/bin/sh", "-c", f"echo the reason; exit {status}"]
    children.start(Program(phases.MODELS, command, dict(os.environ)))
    phases.wait_for_models(start)
    assert ("the reason" in capsys.readouterr().out) is bool(status)


def test_the_start_goes_on_without_models_whose_registration_does_not_end(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(phases, "SERVER_SECONDS", 0.0)
    start = startup(settings)
    start.imports_models = True
    children = start.supervisor.children
    children.start(Program(phases.MODELS, ["/bin/sleep", "1000"], dict(os.environ)))
    phases.wait_for_models(start)
    assert not children.alive(phases.MODELS)


@pytest.fixture
def signal_handlers() -> Iterator[None]:
    """Restores the handlers that `up` replaces."""
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in previous.items():
        signal.signal(number, handler)


SERVERS = (
    phases.end_leftovers,
    phases.check_files,
    phases.check_ports,
    phases.start_kafka,
    phases.probe_sources,
    phases.migrate_store,
    phases.choose_source,
    phases.start_replay,
    phases.start_station_listener,
    phases.start_job_host,
    phases.wait_for_kafka,
    phases.wait_for_replay,
    phases.wait_for_station_listener,
)
"""The phases without Airflow and Ray, which take long."""


@pytest.mark.integration
@pytest.mark.usefixtures("signal_handlers")
@pytest.mark.parametrize("fails", [False, True])
def test_up_starts_servers_and_leaves_no_process_after_a_signal_or_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    settings = make_settings(tmp_path / "state", source=Source.REPLAY, station_listener_host=LOOPBACK)
    for field in Settings.model_fields:
        if field.endswith("_port") or field == "station_listener_host":
            monkeypatch.setenv(variable(field), str(getattr(settings, field)))  # the programs read the environment
    started: list[int] = []

    def end(start: Startup) -> None:
        assert accepts_connections(settings.bootstrap_servers)
        for port in (settings.replay_port, settings.station_listener_port):
            assert accepts_connections(f"{LOOPBACK}:{port}")
        started.extend(process.pid for process in launched_processes(settings))
        if fails:
            raise StartError("failed")
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr("weatherglass.launcher.up.PHASES", (*SERVERS, end))
    assert up(settings, lambda _: pytest.fail("not running")) == int(fails)
    assert len(started) >= 4
    assert [identity(pid) for pid in started] == [None] * len(started)
    assert not launched_processes(settings)
    assert ProcessRecords(settings).all() == []
