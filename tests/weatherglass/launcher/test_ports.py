"""Port problems are found before anything starts, with the settings that solve them."""

from __future__ import annotations

import os
import socket

import pytest

from weatherglass.launcher import ports
from weatherglass.launcher.ports import PortProblemReason
from weatherglass.settings import LOOPBACK, Settings, Source
from weatherglass.settings_errors import variable


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """With a free port range for Ray."""
    start = 20_000 + (os.getpid() * 101) % 10_000
    while True:
        candidate = settings.model_copy(update={"ray_worker_port_min": start})
        if not ports.problems(candidate):
            return candidate
        start += ports.RAY_RANGE


@pytest.mark.parametrize(
    "field", ["kafka_port", "kafka_controller_port", "airflow_port", "ray_port", "spark_ui_port", "replay_port"]
)
def test_a_port_in_use_is_reported_with_its_setting_and_its_process(settings: Settings, field: str) -> None:
    number = getattr(settings, field)
    with socket.create_server((LOOPBACK, number)):
        (problem,) = ports.problems(settings)
    assert (problem.reason, problem.port, problem.fields) == (PortProblemReason.IN_USE, number, (field,))
    for text in (str(number), variable(field), str(os.getpid())):
        assert text in problem.message


@pytest.mark.parametrize("offset", [0, ports.FIRST_WORKER, ports.RAY_RANGE - 1])
def test_ports_of_rays_range_are_checked(settings: Settings, offset: int) -> None:
    with socket.create_server((LOOPBACK, settings.ray_worker_port_min + offset)):
        (problem,) = ports.problems(settings)
    assert (problem.reason, problem.fields) == (PortProblemReason.IN_USE, ("ray_worker_port_min",))


def test_a_service_port_inside_rays_range_is_assigned_twice(settings: Settings) -> None:
    clash = settings.model_copy(update={"airflow_port": settings.ray_worker_port_min + 5})
    (problem,) = ports.problems(clash)
    assert problem.reason is PortProblemReason.ASSIGNED_TWICE
    assert set(problem.fields) == {"airflow_port", "ray_worker_port_min"}
    assert all(variable(field) in problem.message for field in problem.fields)


def test_a_range_beyond_port_65535_is_out_of_range_with_the_maximum(settings: Settings) -> None:
    *_, problem = ports.problems(settings.model_copy(update={"ray_worker_port_min": 65_500}))
    assert problem.reason is PortProblemReason.OUT_OF_RANGE
    assert "65436" in problem.message


def test_external_services_need_no_local_port(settings: Settings) -> None:
    elsewhere = settings.model_copy(
        update={"kafka_bootstrap": "broker:9092", "ray_address": "ray:6379", "source": Source.OPEN_METEO}
    )
    fields = {port.field for port in ports.required(elsewhere)}
    assert fields == {"airflow_port", "spark_ui_port"}


@pytest.mark.parametrize(("host", "needed"), [("", False), (LOOPBACK, True), ("0.0.0.0", True), ("::", True)])
def test_the_station_listener_needs_its_port_if_it_is_on(settings: Settings, host: str, needed: bool) -> None:
    chosen = settings.model_copy(update={"station_listener_host": host})
    with socket.create_server((LOOPBACK, chosen.station_listener_port)):
        assert [problem.fields for problem in ports.problems(chosen)] == [("station_listener_port",)] * needed
    assert ports.problems(chosen) == []


def test_a_port_in_time_wait_is_free(settings: Settings) -> None:
    """A recently closed connection does not block the port for a restart."""
    with socket.create_server((LOOPBACK, settings.airflow_port)) as server:
        client = socket.create_connection((LOOPBACK, settings.airflow_port))
        accepted, _ = server.accept()
        accepted.close()  # the side that closes first enters TIME_WAIT
        client.close()
    assert ports.problems(settings) == []


@pytest.mark.parametrize(
    ("host", "available"),
    [
        ("", True),
        (LOOPBACK, True),
        ("0.0.0.0", True),
        ("localhost", True),
        ("192.0.2.7", False),
        ("a.invalid", False),
        ("192.168..5", False),
    ],
)
def test_the_address_of_the_station_listener_is_one_of_this_machine(
    settings: Settings, host: str, available: bool
) -> None:
    found = ports.problems(settings.model_copy(update={"station_listener_host": host}))
    expected = (PortProblemReason.ADDRESS_UNAVAILABLE, ("station_listener_host",))
    assert [(problem.reason, problem.fields) for problem in found] == [expected] * (not available)
    assert all(host in problem.message and variable("station_listener_host") in problem.message for problem in found)
