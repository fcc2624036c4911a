"""The ports the stack is about to use: each with what it is for and the setting that moves it."""

from __future__ import annotations

import socket
from dataclasses import dataclass

import psutil

from weatherglass.settings import LOOPBACK, Settings, Source, variable

RAY_SERVICES = (
    "Ray's node manager",
    "Ray's object manager",
    "Ray's dashboard agent",
    "the gRPC side of Ray's dashboard agent",
    "Ray's runtime environment agent",
    "Ray's metrics",
    "Ray's client server",
    "the metrics of Ray's dashboard",
)
"""What listens on the first ports of Ray's range, in this order; the workers follow from `FIRST_WORKER` on."""
FIRST_WORKER = 10
RAY_RANGE = 100
EVERYWHERE = ""


@dataclass(frozen=True)
class Port:
    """A port, what listens there, and the field of the settings that moves it."""

    number: int
    what: str
    field: str
    host: str = LOOPBACK


def needed(settings: Settings) -> list[Port]:
    """Every port that `make up` will listen on with these settings, the derived ones included."""
    ports = [
        Port(settings.airflow_port, "Airflow", "airflow_port"),
        Port(settings.spark_ui_port, "the Spark UI", "spark_ui_port"),
    ]
    if not settings.kafka_bootstrap:
        ports += [
            Port(settings.kafka_port, "the Kafka broker", "kafka_port"),
            Port(settings.kafka_controller_port, "Kafka's controller", "kafka_controller_port"),
        ]
    if not settings.ray_address:
        first = settings.ray_worker_port_min
        ports += [
            Port(settings.ray_port, "the Ray head", "ray_port", EVERYWHERE),
            Port(settings.ray_dashboard_port, "Ray's dashboard", "ray_dashboard_port"),
            *(Port(first + i, what, "ray_worker_port_min", EVERYWHERE) for i, what in enumerate(RAY_SERVICES)),
            *(
                Port(first + i, "Ray's workers", "ray_worker_port_min", EVERYWHERE)
                for i in range(FIRST_WORKER, RAY_RANGE)
            ),
        ]
    if settings.source is not Source.OPEN_METEO:
        ports.append(Port(settings.replay_port, "the replay server", "replay_port"))
    return ports


def problems(settings: Settings) -> list[str]:
    """A sentence for each port that cannot be used: out of range, wanted twice, or held by somebody else."""
    sentences = []
    wanted: dict[int, Port] = {}
    for port in needed(settings):
        if port.number > 65535:
            sentences.append(
                f"{variable(port.field)}={settings.ray_worker_port_min} leaves no room for the {RAY_RANGE} ports of "
                f"Ray's range; it can be at most {65535 - RAY_RANGE + 1}"
            )
            break
        if other := wanted.get(port.number):
            sentences.append(
                f"port {port.number} is wanted for {other.what} and for {port.what}: "
                f"move one of them with {variable(other.field)} or {variable(port.field)}"
            )
            continue
        wanted[port.number] = port
        if not _free(port):
            sentences.append(
                f"port {port.number} for {port.what} is in use{_holder(port.number)}: "
                f"end that, or set {variable(port.field)} to another port"
            )
    return sentences


def _free(port: Port) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((port.host, port.number))
        except OSError:
            return False
    return True


def _holder(number: int) -> str:
    """Who listens there, in words; empty where the system does not tell."""
    try:
        for connection in psutil.net_connections("tcp"):
            listening = connection.status == psutil.CONN_LISTEN and connection.laddr.port == number
            if listening and connection.pid:
                return f" by process {connection.pid} ({psutil.Process(connection.pid).name()})"
    except psutil.Error:
        pass
    return ""
