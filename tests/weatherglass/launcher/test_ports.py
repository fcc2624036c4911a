"""Ports in use are said by name, before anything starts."""

from __future__ import annotations

import os
import socket

import pytest

from weatherglass.launcher import ports
from weatherglass.settings import LOOPBACK, Settings, Source, variable


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """With a free range for Ray, too."""
    start = 20_000 + (os.getpid() * 101) % 10_000
    while True:
        candidate = settings.model_copy(update={"ray_worker_port_min": start})
        if not ports.problems(candidate):
            return candidate
        start += ports.RAY_RANGE


@pytest.mark.parametrize(
    "field", ["kafka_port", "kafka_controller_port", "airflow_port", "ray_port", "spark_ui_port", "replay_port"]
)
def test_a_port_in_use_is_named_with_its_setting_and_its_holder(settings: Settings, field: str) -> None:
    number = getattr(settings, field)
    with socket.create_server((LOOPBACK, number)):
        (problem,) = ports.problems(settings)
    assert str(number) in problem
    assert variable(field) in problem
    assert f"process {os.getpid()}" in problem


@pytest.mark.parametrize("offset", [0, ports.FIRST_WORKER, ports.RAY_RANGE - 1])
def test_the_derived_ports_of_ray_are_checked_too(settings: Settings, offset: int) -> None:
    with socket.create_server((LOOPBACK, settings.ray_worker_port_min + offset)):
        (problem,) = ports.problems(settings)
    assert variable("ray_worker_port_min") in problem


def test_a_port_inside_rays_range_is_refused(settings: Settings) -> None:
    clash = settings.model_copy(update={"airflow_port": settings.ray_worker_port_min + 5})
    (problem,) = ports.problems(clash)
    assert variable("airflow_port") in problem
    assert variable("ray_worker_port_min") in problem


def test_a_range_that_runs_beyond_the_last_port_is_refused(settings: Settings) -> None:
    problems = ports.problems(settings.model_copy(update={"ray_worker_port_min": 65_500}))
    assert any("at most 65436" in problem for problem in problems)


def test_what_runs_elsewhere_needs_no_port_here(settings: Settings) -> None:
    elsewhere = settings.model_copy(
        update={"kafka_bootstrap": "broker:9092", "ray_address": "ray:6379", "source": Source.OPEN_METEO}
    )
    fields = {port.field for port in ports.needed(elsewhere)}
    assert fields == {"airflow_port", "spark_ui_port"}


def test_a_port_just_left_is_free(settings: Settings) -> None:
    """A connection closed a moment ago (TIME_WAIT) does not keep a restarted stack from its port."""
    with socket.create_server((LOOPBACK, settings.airflow_port)) as server:
        client = socket.create_connection((LOOPBACK, settings.airflow_port))
        accepted, _ = server.accept()
        accepted.close()  # the server's side closes first and waits in TIME_WAIT
        client.close()
    assert ports.problems(settings) == []
