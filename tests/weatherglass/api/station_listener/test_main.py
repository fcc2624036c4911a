"""`python -m weatherglass.api.station_listener`: the process, its connections and its output."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from producer.topic_bootstrap import bootstrap_topics
from tests.conftest import TestBroker, make_settings
from tests.own_station_table import add_own_station
from tests.producer.topic_reader import reading
from tests.waiting import until
from tests.weatherglass.api.conftest import NOW
from tests.weatherglass.api.serving import serving
from weatherglass.api.app import utc_now
from weatherglass.api.station_listener.__main__ import MAX_REQUEST_BYTES, LimitedProtocol
from weatherglass.api.station_listener.app import create_listener
from weatherglass.net import accepts_connections
from weatherglass.settings import LOOPBACK, Settings
from weatherglass.settings_errors import variable
from weatherglass.station_tokens import StationTokens

pytestmark = pytest.mark.integration


def start(settings: Settings, output: Path, host: str) -> subprocess.Popen[bytes]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("WEATHERGLASS_")}
    names = ("state_dir", "station_listener_port", "kafka_bootstrap")
    configured = {variable(name): str(getattr(settings, name)) for name in names}
    environment = {**inherited, **configured, variable("station_listener_host"): host}
    with output.open("wb") as file:
        command = [sys.executable, "-m", "weatherglass.api.station_listener"]
        return subprocess.Popen(command, env=environment, stdout=file, stderr=subprocess.STDOUT)


def test_the_listener_is_off_without_an_address(tmp_path: Path) -> None:
    process = start(make_settings(tmp_path / "state"), tmp_path / "output", "")
    assert process.wait(120) == 1
    assert variable("station_listener_host") in (tmp_path / "output").read_text()


def test_readings_arrive_and_the_output_contains_no_query(tmp_path: Path, broker: TestBroker) -> None:
    settings = make_settings(tmp_path / "state", kafka_bootstrap=broker.bootstrap_servers)
    add_own_station(settings, "garden", "120")
    password = StationTokens(settings).add("garden", ["garden"], NOW)
    bootstrap_topics(broker.settings, log=lambda _: None)
    address, output = f"{LOOPBACK}:{settings.station_listener_port}", tmp_path / "output"
    process = start(settings, output, LOOPBACK)
    try:
        until("the listener", lambda: process.poll() is not None or accepts_connections(address))
        with reading(broker.bootstrap_servers) as reader:
            query = f"ID=garden&PASSWORD={password}&dateutc=now&tempf=50"
            url = f"http://{address}/weatherstation/updateweatherstation.php"
            assert httpx.get(f"{url}?{query}", timeout=60).text.strip() == "success"
            assert httpx.get(f"{url}?{query}&PASSWORD={password}", timeout=60).status_code == 422
            spoofed = {"X-Forwarded-For": "192.0.2.7"}
            assert httpx.get(f"{url}?{query}wrong&PASSWORD=", headers=spoofed, timeout=60).status_code == 422
            assert httpx.get(f"{url}?ID=garden&PASSWORD={password}x", headers=spoofed, timeout=60).status_code == 401
            assert reader.count() == 1
        host, port = address.split(":")
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            connection.sendall(f"GET /weatherstation/{password} HTTP/1.1\r\nbroken {password}\r\n\r\n".encode())
            assert b" 400 " in connection.recv(1000)
    finally:
        process.terminate()
        process.wait(60)
    text = output.read_text()
    assert password not in text
    assert "PASSWORD=" not in text
    warnings = [line for line in text.splitlines() if "WARNING" in line]
    assert [line for line in warnings if LOOPBACK in line]  # the wrong password, from the address of the connection
    assert spoofed["X-Forwarded-For"] not in text


def test_a_request_that_is_too_large_is_not_kept_until_its_deadline(tmp_path: Path) -> None:
    class Patient(LimitedProtocol):
        seconds = 3600.0

    app = create_listener(make_settings(tmp_path / "state"), utc_now)
    with serving(app, http=Patient) as url:  # type: ignore[arg-type]
        host, port = url.removeprefix("http://").split(":")
        for start in (b"GET /weatherstation/updateweatherstation.php?", b"GET / HTTP/1.1\r\nHost: ", b"x"):
            with socket.create_connection((host, int(port)), timeout=60) as connection, suppress(ConnectionError):
                connection.sendall(start + b"x" * (2 * MAX_REQUEST_BYTES))
                while connection.recv(1000):  # until it is closed
                    pass
        assert httpx.get(url, timeout=60).status_code == 404
