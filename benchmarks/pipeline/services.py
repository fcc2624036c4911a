"""The broker and the Ray head that a benchmark uses: those of the running pipeline, or else its own."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.pipeline.isolated import FOLDER, Log, PipelineFailed
from benchmarks.ports import free_ports
from weatherglass.launcher import ray_head
from weatherglass.launcher.credentials import Credentials
from weatherglass.launcher.kafka import Broker
from weatherglass.launcher.ports import RAY_RANGE
from weatherglass.launcher.processes import Children, ProcessRecords, Program
from weatherglass.launcher.stopping import stop_everything
from weatherglass.net import accepts_connections
from weatherglass.settings import Settings
from weatherglass.waiting import wait_until

BROKER, RAY = "kafka", "ray"
RAY_SECONDS = 300.0
"""Limit for a start of the head, on a busy machine."""
RAY_ATTEMPTS = 3
RAY_STARTED = "Ray runtime started"
"""Last output of a start of the head."""


def broker_process(settings: Settings) -> int | None:
    """The process id of the embedded broker; None if the broker is elsewhere."""
    record = ProcessRecords(settings).read(BROKER)
    return record.pid if record and record.alive() else None


@contextmanager
def services(settings: Settings, log: Log) -> Iterator[tuple[Settings, int | None]]:
    """The settings with a broker and a Ray head that can be reached, and the process id of the broker if it is local.

    Without a running pipeline both are started on free ports, with their data in the state folder, and ended later.
    What a killed run has left is ended before.
    """
    addresses = [*settings.bootstrap_servers.split(","), settings.ray_head]
    if all(accepts_connections(address) for address in addresses):
        if not settings.ray_address:
            os.environ.update(ray_head.client_environment(Credentials(settings)))
        yield settings, broker_process(settings)
        return
    kafka, controller, ray, dashboard, first = free_ports(5)
    ports = {"kafka_port": kafka, "kafka_controller_port": controller, "ray_port": ray, "ray_dashboard_port": dashboard}
    fields = Settings.model_fields.items()
    plain = {name: about.get_default() for name, about in fields if name.startswith("kafka_")}
    own = {**plain, "ray_address": "", **ports, "ray_worker_port_min": min(first, 65535 - RAY_RANGE)}
    values = settings.model_dump()
    inner = Settings(**(values | own | {"state_dir": settings.state_dir / FOLDER / "services"}))
    stop_everything(inner, log)
    shutil.rmtree(inner.state_dir, ignore_errors=True)  # with the topics of a killed run
    log("No pipeline is running: starting a broker and a Ray head for the benchmark")
    try:
        _start(inner)
        yield Settings(**(values | own)), broker_process(inner)
    finally:
        stop_everything(inner, log)


def _start(settings: Settings) -> None:
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    children, broker = Children(settings), Broker(settings)
    broker.prepare()
    children.start(Program(BROKER, broker.command, broker.environment))
    broker.wait(lambda: children.alive(BROKER), children.log(BROKER))
    os.environ.update(ray_head.client_environment(Credentials(settings)))
    for _ in range(RAY_ATTEMPTS):
        if _start_ray(settings, children):
            return
    raise PipelineFailed(f"the Ray head does not start; see {children.log(RAY)}")


def _start_ray(settings: Settings, children: Children) -> bool:
    """Start the head; False if it gave up, as it does on a busy machine when its start takes half a minute."""
    children.kill_session(RAY)
    children.log(RAY).unlink(missing_ok=True)
    ray_head.prepare(settings)
    children.start(ray_head.program(settings, Path(sys.executable).parent, dict(os.environ)))

    def started() -> bool:
        return RAY_STARTED in children.log(RAY).read_text(encoding="utf-8", errors="replace")

    wait_until(lambda: started() or not children.alive(RAY), RAY_SECONDS)
    return started() and children.alive(RAY)
