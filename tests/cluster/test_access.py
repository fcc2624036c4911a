"""What each service can reach, knows and can change: networks, secrets and mounts.

The tables are written by hand, from what the services do, and not from `docker-compose.yml`.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.running import Cluster, until
from tests.cluster.test_configuration import MONITORING_PROFILES

pytestmark = [pytest.mark.timeout(1800)]

HEALTH = {"api", "airflow-api", "pipeline"}
"""They check the health of the pipeline, which includes connections to Kafka and Ray."""
AIRFLOW = {"airflow-api", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer"}
CLIENTS: dict[tuple[str, int], set[str]] = {
    ("kafka-controller", 9093): {"kafka-broker"},
    ("kafka-broker", 9092): {"kafka-controller", "spark-worker", "ray-worker", "jobs", "airflow-scheduler", *HEALTH},
    ("spark-master", 7077): {"spark-worker", "jobs", "airflow-scheduler"},
    # Prometheus reads the metrics of the nodes.
    ("ray-head", 6379): {"ray-worker", "jobs", "airflow-scheduler", "airflow-triggerer", "prometheus", *HEALTH},
    ("postgres", 5432): {"prepare", "jobs", "ray-worker", "api", "pipeline", *AIRFLOW},
}
"""Server and port -> the services that connect to it; no other service can."""
PAGES: dict[tuple[str, int], set[str]] = {
    ("airflow-api", 8088): {"airflow-scheduler", "airflow-dag-processor", "airflow-triggerer", "pipeline", "jobs"},
    ("ray-head", 8265): {"airflow-scheduler", "airflow-triggerer"},
    ("replay", 8090): {"airflow-scheduler"},
    ("api", 8000): {"prometheus"},
    ("alertmanager", 9093): {"prometheus"},
    ("jobs", 4040): {"prometheus"},
}
"""Servers that also share a network with services that do not use them."""
ISOLATED = {"kafka-controller", "kafka-broker", "postgres", "spark-worker", "ray-worker"}
"""Services that reach nothing outside the cluster."""

POSTGRES, API, RAY, SPARK = "POSTGRES_PASSWORD", "WEATHERGLASS_API_TOKEN", "RAY_AUTH_TOKEN", "SPARK_AUTH_SECRET"
FERNET, JWT = "AIRFLOW_FERNET_KEY", "AIRFLOW_JWT_SECRET"
SECRETS: dict[str, set[str]] = {
    "kafka-controller": set(),
    "kafka-broker": set(),
    "spark-master": {SPARK},
    "spark-worker": {SPARK},
    "ray-head": {RAY},
    "ray-worker": {RAY, POSTGRES},
    "postgres": {POSTGRES},
    "prepare": {POSTGRES, FERNET, "AIRFLOW_PASSWORD"},
    "jobs": {POSTGRES, RAY, SPARK},
    "airflow-api": {POSTGRES, FERNET, JWT, "AIRFLOW_SECRET_KEY"},
    "airflow-scheduler": {POSTGRES, FERNET, JWT, RAY, SPARK},
    "airflow-dag-processor": {POSTGRES, FERNET},
    "airflow-triggerer": {POSTGRES, FERNET, RAY},
    "pipeline": {POSTGRES, "AIRFLOW_PASSWORD"},
    "api": {POSTGRES, API},
    "replay": set(),
    "prometheus": {API},
    "alertmanager": set(),
}
"""The secrets of .env that each service has, in its environment or in files."""

STATE, JOBS, MODELS = "/var/lib/weatherglass", "/var/lib/weatherglass/jobs", "/var/lib/weatherglass/models"
REQUESTS, REPLAY, LOGS = "/var/lib/weatherglass/api", "/var/lib/weatherglass/replay", "/var/lib/airflow"
READ, WRITE = "read", "write"
MOUNTS: dict[str, dict[str, str]] = {
    "kafka-controller": {"/var/lib/kafka": WRITE},
    "kafka-broker": {"/var/lib/kafka": WRITE},
    "spark-master": {"/var/lib/spark": WRITE},
    "spark-worker": {STATE: WRITE, JOBS: WRITE},  # the prepared history, the checkpoint
    "ray-head": {STATE: WRITE},  # the folder of a training
    "ray-worker": {STATE: WRITE, MODELS: WRITE},
    "postgres": {"/var/lib/postgresql/data": WRITE},
    "prepare": {STATE: READ, MODELS: WRITE, LOGS: WRITE},  # the shipped models
    "jobs": {STATE: READ, JOBS: WRITE, REQUESTS: READ},
    "airflow-api": {STATE: READ, JOBS: READ, REQUESTS: WRITE, LOGS: WRITE},
    "airflow-scheduler": {STATE: WRITE, JOBS: WRITE, MODELS: WRITE, LOGS: WRITE},
    "airflow-dag-processor": {STATE: READ, LOGS: WRITE},
    "airflow-triggerer": {STATE: READ, JOBS: WRITE, LOGS: WRITE},  # requests to end a job
    "pipeline": {STATE: READ, JOBS: READ},
    "api": {STATE: READ, JOBS: READ, REQUESTS: WRITE},
    "replay": {STATE: READ, REPLAY: WRITE},  # the zip of Kaggle, the clock
    "prometheus": {"/etc/weatherglass": READ, "/prometheus": WRITE},
    "alertmanager": {"/etc/alertmanager/weatherglass.yml": READ, "/alertmanager": WRITE},
}


@pytest.fixture
def configured(engine: dict[str, str], tmp_path: Path) -> Cluster:
    cluster = Cluster("weatherglass-configuration", tmp_path, engine)
    cluster.environment["COMPOSE_PROFILES"] = MONITORING_PROFILES
    return cluster


@pytest.fixture
def project(configured: Cluster) -> dict[str, Any]:
    """The configuration that Compose resolves."""
    return dict(json.loads(configured.compose("config", "--format", "json")))


@pytest.fixture
def resolved(project: dict[str, Any]) -> dict[str, Any]:
    return dict(project["services"])


def test_every_service_is_in_the_tables(resolved: dict[str, Any]) -> None:
    assert SECRETS.keys() == MOUNTS.keys() == resolved.keys()


def test_a_service_shares_a_network_with_a_server_only_if_it_is_a_client(resolved: dict[str, Any]) -> None:
    networks = {name: set(service["networks"]) for name, service in resolved.items()}
    for (server, _), clients in (CLIENTS | PAGES).items():
        assert {client for client in clients if not networks[server] & networks[client]} == set(), server
    for (server, _), clients in CLIENTS.items():
        assert {name for name in networks if networks[server] & networks[name]} - {server} == clients, server


def test_isolated_services_are_in_internal_networks_only(project: dict[str, Any]) -> None:
    internal = {name for name, network in project["networks"].items() if network.get("internal")}
    assert {name for name, one in project["services"].items() if one["networks"].keys() <= internal} == ISOLATED


def test_services_have_only_the_secrets_they_use(configured: Cluster, project: dict[str, Any]) -> None:
    secrets = {name: value for name, value in configured.secrets.items() if name in set().union(*SECRETS.values())}
    for name, service in project["services"].items():
        known = [str(value) for value in (service.get("environment") or {}).values()]
        known += [project["configs"][config["source"]]["content"] for config in service.get("configs", [])]
        # A secret is mounted as a file and resolved as the name of its variable.
        known += [
            configured.secrets[project["secrets"][s["source"]]["environment"]] for s in service.get("secrets", [])
        ]
        assert {secret for secret, value in secrets.items() if value in " ".join(known)} == SECRETS[name], name


def test_services_mount_only_what_they_use_and_read_only_what_they_read(resolved: dict[str, Any]) -> None:
    for name, service in resolved.items():
        mounted = {v["target"]: READ if v.get("read_only") else WRITE for v in service.get("volumes", [])}
        assert mounted == MOUNTS[name], name


def addresses(cluster: Cluster, service: str) -> list[str]:
    """The addresses of a container of the service in all its networks."""
    return [network["IPAddress"] for network in cluster.inspect(service)[0]["NetworkSettings"]["Networks"].values()]


def reachable(cluster: Cluster, client: str, targets: list[str]) -> set[str]:
    """The `address:port`s that accept a connection from a container of the client within three seconds."""
    script = 'for t; do (timeout 3 bash -c "</dev/tcp/${t%:*}/${t#*:}" 2>/dev/null && echo "$t") & done; wait'
    return set(cluster.docker("exec", cluster.containers(client)[0], "bash", "-c", script, "-", *targets).split())


def test_services_reach_the_servers_they_use_and_no_others(cluster: Cluster) -> None:
    """By address, so that an unknown name is not mistaken for a missing connection."""
    running = sorted(MOUNTS.keys() - {"prepare", "pipeline", "prometheus", "alertmanager"})
    at = {
        f"{address}:{port}": (server, port)
        for server, port in CLIENTS | PAGES
        if server in running
        for address in addresses(cluster, server)
    }

    def check(client: str) -> None:
        targets = [target for target, (server, _) in at.items() if server != client]
        used = {server for server, clients in (CLIENTS | PAGES).items() if client in clients}

        def reached() -> set[tuple[str, int]]:
            return {at[target] for target in reachable(cluster, client, targets)}

        until(f"{client} to reach {used}", lambda: reached() >= used)
        assert (reached() & CLIENTS.keys()) - used == set(), client

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(check, running)) == [None] * len(running)


def test_nodes_workers_and_drivers_use_the_network_of_their_cluster(cluster: Cluster) -> None:
    def of(network: str, *names: str) -> set[str]:
        return {
            container["NetworkSettings"]["Networks"][f"{cluster.name}_{network}"]["IPAddress"]
            for container in cluster.inspect(*names)
        }

    def nodes() -> set[str]:
        return {node["node_ip"] for node in cluster.ray("nodes") if node["state"] == "ALIVE"}

    def workers() -> set[str]:
        return {worker["host"] for worker in cluster.spark()["workers"] if worker["state"] == "ALIVE"}

    # A node that has exited, for example during a slow start, joins again.
    until("all nodes in Ray's network", lambda: nodes() == of("ray", "ray-head", "ray-worker", "jobs"))
    until("all workers in Spark's network", lambda: workers() == of("spark", "spark-worker"))


@pytest.mark.parametrize(("secret", "status"), [("none", 1), ("wrong", 1), ("right", 255)])
def test_only_applications_with_the_secret_reach_the_spark_master(cluster: Cluster, secret: str, status: int) -> None:
    """With the client that asks the master to end a driver. 255: the master does not know the driver; 1: no answer."""
    value = cluster.secrets[SPARK] if secret == "right" else secret
    options = {"authenticate": "true", "authenticate.secret": value, "network.crypto.enabled": "true"}
    java = ["java", "-Dspark.rpc.askTimeout=300s"]
    java += [f"-Dspark.{name}={option}" for name, option in options.items() if secret != "none"]
    jars = "/opt/venv/lib/python3.11/site-packages/pyspark/jars/*"
    request = ("org.apache.spark.deploy.Client", "kill", "spark://spark-master:7077", "driver-0")
    script = ("sh", "-c", '"$@" 1>&2; echo $?', "-", *java, "-cp", jars, *request)
    assert int(cluster.docker("exec", cluster.containers("jobs")[0], *script)) == status
