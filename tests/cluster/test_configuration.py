"""What Compose makes of the files, without starting anything."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.running import Cluster
from weatherglass.settings import PROJECT_ROOT

OVERLAYS = [(), ("docker/zookeeper.yml",), ("docker/certificates.yml",)]
PROPER = {
    "kafka-controller": (1, 1, 1),
    "kafka-broker": (1, 1, 2),
    "spark-master": (1, 1, 2),
    "spark-worker": (4, 1, 3),
    "ray-head": (1, 1, 2),
    "ray-worker": (4, 1, 3),
}
"""The cluster proper: containers, cores each, GB each."""
MONITORED = "replay,monitoring"
"""The profiles with Prometheus and Alertmanager."""


def services(cluster: Cluster, **choices: str) -> dict[str, Any]:
    cluster.environment |= choices
    return dict(json.loads(cluster.compose("config", "--format", "json"))["services"])


@pytest.fixture(params=OVERLAYS, ids=["plain", "zookeeper", "certificates"])
def configured(request: pytest.FixtureRequest, engine: dict[str, str], tmp_path: Path) -> Cluster:
    return Cluster("weatherglass-configuration", tmp_path, engine, request.param)


def test_twelve_containers_have_twelve_cores_and_31_gb(configured: Cluster) -> None:
    found = {}
    for name, service in services(configured, COMPOSE_PROFILES=MONITORED).items():
        limits = service["deploy"]["resources"]["limits"]
        found[name] = (service["deploy"].get("replicas", 1), limits["cpus"], int(limits["memory"]) / 2**30)
    proper = {name: found[name] for name in PROPER}
    assert proper == PROPER
    assert sum(count for count, _, _ in proper.values()) == 12
    assert sum(count * cores for count, cores, _ in proper.values()) == 12
    assert sum(count * memory for count, _, memory in proper.values()) == 31
    assert all(memory > 0 and cores > 0 for _, cores, memory in found.values())


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_workers_executors_and_actors_follow_the_settings(configured: Cluster, workers: int) -> None:
    found = services(configured, SPARK_WORKERS=str(workers), RAY_WORKERS=str(workers))
    for name in ("spark-worker", "ray-worker"):
        assert found[name]["deploy"]["replicas"] == workers
    assert found["jobs"]["environment"]["WEATHERGLASS_SPARK_CORES"] == str(workers)
    assert found["jobs"]["environment"]["WEATHERGLASS_INFERENCE_ACTORS"] == str(workers)


def test_only_pages_and_the_api_are_published_and_on_loopback(configured: Cluster) -> None:
    published = {
        (name, port["target"], port["host_ip"])
        for name, service in services(configured, COMPOSE_PROFILES=MONITORED).items()
        for port in service.get("ports", [])
    }
    assert published == {
        ("airflow-api", 8088, "127.0.0.1"),
        ("spark-master", 8080, "127.0.0.1"),
        ("ray-head", 8265, "127.0.0.1"),
        ("jobs", 4040, "127.0.0.1"),
        ("api", 8000, "127.0.0.1"),
        ("prometheus", 9090, "127.0.0.1"),
        ("alertmanager", 9093, "127.0.0.1"),
    }


def test_every_service_that_stays_is_checked_and_started_again(configured: Cluster) -> None:
    for name, service in services(configured, COMPOSE_PROFILES=MONITORED).items():
        if name not in ("prepare", "pipeline"):
            assert service["healthcheck"]["test"], name
            assert service["restart"] == "unless-stopped", name


def test_checkpoints_lie_on_a_volume_where_executors_write(configured: Cluster) -> None:
    found = services(configured)
    for name in ("jobs", "spark-worker", "airflow-scheduler"):
        mounted = {volume["target"]: volume["source"] for volume in found[name]["volumes"]}
        assert mounted["/var/lib/weatherglass/jobs"] == "checkpoints", name


def test_monitoring_comes_only_when_asked_for_and_is_whichever_image_the_settings_name(configured: Cluster) -> None:
    monitoring = {"prometheus", "alertmanager"}
    without = services(configured)
    images = {"PROMETHEUS_IMAGE": "a/prometheus:1", "ALERTMANAGER_IMAGE": "an/alertmanager:2"}
    with_it = services(configured, COMPOSE_PROFILES=MONITORED, **images)
    assert not monitoring & without.keys()
    assert with_it.keys() - without.keys() == monitoring
    assert {with_it[name]["image"] for name in monitoring} == set(images.values())


RULES = (PROJECT_ROOT / "docker" / "monitoring" / "alerts.yml").read_text(encoding="utf-8").count("- alert:")


@pytest.mark.parametrize(
    ("service", "check", "expected"),
    [
        ("prometheus", "promtool check config /etc/weatherglass/prometheus.yml", f"{RULES} rules found"),
        ("alertmanager", "amtool check-config /etc/alertmanager/weatherglass.yml", "1 receivers"),
    ],
)
def test_the_tools_of_prometheus_find_all_and_no_fault(
    engine: dict[str, str], tmp_path: Path, service: str, check: str, expected: str
) -> None:
    """In the container, so that what is mounted is looked at as well: the product's rules, and the API's token."""
    cluster = Cluster("weatherglass-configuration", tmp_path, engine)
    cluster.environment["COMPOSE_PROFILES"] = MONITORED
    tool, *words = check.split()
    try:
        said = cluster.compose("run", "--rm", "--no-deps", "--entrypoint", tool, service, *words)
    finally:
        cluster.down("--volumes")
    assert expected in said


def test_without_secrets_nothing_starts(engine: dict[str, str], tmp_path: Path) -> None:
    cluster = Cluster("weatherglass-configuration", tmp_path, engine)
    for secret in cluster.secrets.keys() - {"COMPOSE_PROFILES", "SPARK_WORKERS", "RAY_WORKERS", "WEATHERGLASS_SOURCE"}:
        kept = cluster.env_file.read_text(encoding="utf-8")
        cluster.env_file.write_text(re.sub(rf"(?m)^{secret}=.*$", "", kept), encoding="utf-8")
        with pytest.raises(AssertionError, match=f"{secret}.*run make cluster-env"):
            cluster.compose("config", "--quiet")
        cluster.env_file.write_text(kept, encoding="utf-8")


def test_two_clusters_share_no_secret_and_nobody_else_reads_them(engine: dict[str, str], tmp_path: Path) -> None:
    one, other = (Cluster(name, tmp_path, engine) for name in ("one", "other"))
    choices = {"COMPOSE_PROFILES", "SPARK_WORKERS", "RAY_WORKERS", "WEATHERGLASS_SOURCE"}
    for name in one.secrets.keys() - choices:
        assert one.secrets[name] != other.secrets[name], name
        assert len(one.secrets[name]) >= 16, name
    assert one.env_file.stat().st_mode & 0o077 == 0
    kept = one.env_file.read_text(encoding="utf-8")
    Cluster("one", tmp_path, engine)
    assert one.env_file.read_text(encoding="utf-8") == kept


def test_the_image_has_every_package_of_the_project() -> None:
    told = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = set(told["tool"]["setuptools"]["packages"])
    copied = re.findall(r"(?m)^COPY (\w+) \1$", (PROJECT_ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8"))
    given = re.findall(r"(?m)^!(\w+)$", (PROJECT_ROOT / ".dockerignore").read_text(encoding="utf-8"))
    assert packages == set(copied) == packages & set(given)


def test_compose_has_nothing_to_complain_of(configured: Cluster) -> None:
    """Warnings, such as one about a variable that is not set, go to the error output."""
    import subprocess

    files = [word for file in configured.files for word in ("--file", file)]
    done = subprocess.run(
        ["docker", "compose", "--env-file", str(configured.env_file), *files, "config", "--quiet"],
        cwd=PROJECT_ROOT,
        env=configured.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout + done.stderr == ""


def test_the_brokers_of_the_cluster_are_configured_as_the_embedded_one() -> None:
    """But for names, folders and who keeps the metadata."""
    from weatherglass.launcher.kafka import Broker
    from weatherglass.settings import load_settings

    def read(text: str) -> dict[str, str]:
        return dict(line.split("=", 1) for line in text.splitlines() if line and not line.startswith("#"))

    embedded = read(Broker(load_settings())._configuration())
    own = {name for name in embedded if "listener" in name or name in ("process.roles", "log.dirs", "node.id")}
    own.add("controller.quorum.voters")
    for file in ("broker.properties", "zookeeper-broker.properties"):
        found = read((PROJECT_ROOT / "docker" / "kafka" / file).read_text(encoding="utf-8"))
        for name in embedded.keys() - own:
            if not (file.startswith("zookeeper") and name.startswith("share.")):
                assert found.get(name) == embedded[name], f"{file}: {name}"
