"""The ports and addresses that `make up` uses, each with its purpose and its setting."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from enum import StrEnum

import psutil

from weatherglass.settings import LOOPBACK, Settings, Source
from weatherglass.settings_errors import variable

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
"""Services on the first ports of Ray's range, in this order; the workers use the ports from `FIRST_WORKER` on."""
FIRST_WORKER = 10
RAY_RANGE = 100
MAX_PORT = 65535
ALL_INTERFACES = ""


@dataclass(frozen=True)
class Port:
    """A port, the service that listens on it, and the field of the settings that contains it."""

    number: int
    description: str
    field: str
    host: str = LOOPBACK


def required(settings: Settings) -> list[Port]:
    """Every port that `make up` listens on with these settings, including derived ones."""
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
            Port(settings.ray_port, "the Ray head", "ray_port", ALL_INTERFACES),
            Port(settings.ray_dashboard_port, "Ray's dashboard", "ray_dashboard_port"),
            *(
                Port(first + i, service, "ray_worker_port_min", ALL_INTERFACES)
                for i, service in enumerate(RAY_SERVICES)
            ),
            *(
                Port(first + i, "Ray's workers", "ray_worker_port_min", ALL_INTERFACES)
                for i in range(FIRST_WORKER, RAY_RANGE)
            ),
        ]
    if settings.station_listener_host:
        host = LOOPBACK if settings.station_listener_host == LOOPBACK else ALL_INTERFACES
        ports.append(Port(settings.station_listener_port, "the listener for consoles", "station_listener_port", host))
    if settings.source in (Source.AUTO, Source.REPLAY):
        ports.append(Port(settings.replay_port, "the replay server", "replay_port"))
    return ports


class PortProblemReason(StrEnum):
    IN_USE = "in_use"
    """Another process listens on the port."""
    ASSIGNED_TWICE = "assigned_twice"
    """Two services have the same port."""
    OUT_OF_RANGE = "out_of_range"
    """The port number is above 65535."""
    ADDRESS_UNAVAILABLE = "address_unavailable"
    """No interface of this machine has the address."""


@dataclass(frozen=True)
class PortProblem:
    """A port that cannot be used, the fields of the settings that move it, and a message for the user."""

    reason: PortProblemReason
    port: int
    fields: tuple[str, ...]
    message: str


def problems(settings: Settings) -> list[PortProblem]:
    """The ports and addresses that cannot be used."""
    found = _address_problems(settings)
    assigned: dict[int, Port] = {}
    for port in required(settings):
        if port.number > MAX_PORT:
            return [*found, _out_of_range(port, settings)]
        if other := assigned.get(port.number):
            found.append(_assigned_twice(port, other))
            continue
        assigned[port.number] = port
        if not _is_free(port):
            found.append(_in_use(port))
    return found


def _address_problems(settings: Settings) -> list[PortProblem]:
    """The address of the listener for consoles, the only one that is not loopback, if it cannot be listened on."""
    host, field = settings.station_listener_host, "station_listener_host"
    if not host:
        return []
    reason = ""
    try:
        for family, *_, address in socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE):
            try:
                with socket.socket(family, socket.SOCK_STREAM) as probe:
                    probe.bind(address)
                return []
            except OSError as error:
                reason = str(error.strerror)
    except (OSError, UnicodeError) as error:  # not a valid name
        reason = str(error)
    message = (
        f"the listener for consoles cannot listen on {host}: {reason}; set {variable(field)} to an address of this "
        "machine, to 0.0.0.0 for all of them, or to nothing"
    )
    return [PortProblem(PortProblemReason.ADDRESS_UNAVAILABLE, settings.station_listener_port, (field,), message)]


def _out_of_range(port: Port, settings: Settings) -> PortProblem:
    message = (
        f"{variable(port.field)}={settings.ray_worker_port_min} leaves no room for the {RAY_RANGE} ports of Ray's "
        f"range; the maximum is {MAX_PORT - RAY_RANGE + 1}"
    )
    return PortProblem(PortProblemReason.OUT_OF_RANGE, port.number, (port.field,), message)


def _assigned_twice(port: Port, other: Port) -> PortProblem:
    message = (
        f"port {port.number} is assigned to {other.description} and to {port.description}; "
        f"change {variable(other.field)} or {variable(port.field)}"
    )
    return PortProblem(PortProblemReason.ASSIGNED_TWICE, port.number, (other.field, port.field), message)


def _in_use(port: Port) -> PortProblem:
    message = (
        f"port {port.number} for {port.description} is in use{_listener(port.number)}; "
        f"end that process, or set {variable(port.field)} to another port"
    )
    return PortProblem(PortProblemReason.IN_USE, port.number, (port.field,), message)


def _is_free(port: Port) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((port.host, port.number))
        except OSError:
            return False
    return True


def _listener(number: int) -> str:
    """` by process …`: the process that listens on a port; empty if it cannot be determined."""
    try:
        for connection in psutil.net_connections("tcp"):
            listening = connection.status == psutil.CONN_LISTEN and connection.laddr.port == number
            if listening and connection.pid:
                return f" by process {connection.pid} ({psutil.Process(connection.pid).name()})"
    except psutil.Error:
        pass
    return ""
