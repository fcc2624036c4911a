"""The configuration that Compose resolves from its files, without starting anything."""

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
CORE_SERVICES = {
    "kafka-controller": (1, 1, 1),
    "kafka-broker": (1, 1, 2),
    "spark-master": (1, 1, 2),
    "spark-worker": (4, 1, 3),
    "ray-head": (1, 1, 2),
    "ray-worker": (4, 1, 3),
}
"""The twelve core containers: number, cores each, GB each."""
MONITORING_PROFILES = "replay,monitoring"
"""The profiles with Prometheus and Alertmanager."""


def services(cluster: Cluster, **variables: str) -> dict[str, Any]:
    cluster.environment |= variables
    return dict(json.loads(cluster.compose("config", "--format", "json"))["services"])


@pytest.fixture(params=OVERLAYS, ids=["plain", "zookeeper", "certificates"])
def configured(request: pytest.FixtureRequest, engine: dict[str, str], tmp_path: Path) -> Cluster:
    return Cluster("weatherglass-configuration", tmp_path, engine, request.param)


def test_twelve_containers_have_twelve_cores_and_31_gb(configured: Cluster) -> None:
    resources = {}
    for name, service in services(configured, COMPOSE_PROFILES=MONITORING_PROFILES).items():
        limits = service["deploy"]["resources"]["limits"]
        resources[name] = (service["deploy"].get("replicas", 1), limits["cpus"], int(limits["memory"]) / 2**30)
    core = {name: resources[name] for name in CORE_SERVICES}
    assert core == CORE_SERVICES
    assert sum(count for count, _, _ in core.values()) == 12
    assert sum(count * cores for count, cores, _ in core.values()) == 12
    assert sum(count * memory for count, _, memory in core.values()) == 31
    assert all(memory > 0 and cores > 0 for _, cores, memory in resources.values())


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_workers_executors_and_actors_follow_the_settings(configured: Cluster, workers: int) -> None:
    resolved = services(configured, SPARK_WORKERS=str(workers), RAY_WORKERS=str(workers))
    for name in ("spark-worker", "ray-worker"):
        assert resolved[name]["deploy"]["replicas"] == workers
    assert resolved["jobs"]["environment"]["WEATHERGLASS_SPARK_CORES"] == str(workers)
    assert resolved["jobs"]["environment"]["WEATHERGLASS_INFERENCE_ACTORS"] == str(workers)


def test_only_pages_and_the_api_are_published_on_loopback(configured: Cluster) -> None:
    published = {
        (name, port["target"], port["host_ip"])
        for name, service in services(configured, COMPOSE_PROFILES=MONITORING_PROFILES).items()
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


def test_every_permanent_service_has_a_health_check_and_is_restarted(configured: Cluster) -> None:
    for name, service in services(configured, COMPOSE_PROFILES=MONITORING_PROFILES).items():
        if name not in ("prepare", "pipeline"):
            assert service["healthcheck"]["test"], name
            assert service["restart"] == "unless-stopped", name


def test_no_service_has_capabilities_or_can_gain_privileges(configured: Cluster) -> None:
    for name, service in services(configured, COMPOSE_PROFILES=MONITORING_PROFILES).items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        # The official image of PostgreSQL starts as root.
        assert bool(service.get("cap_add")) is (name == "postgres"), name


def test_no_command_contains_a_secret(configured: Cluster) -> None:
    options = {"COMPOSE_PROFILES", "SPARK_WORKERS", "RAY_WORKERS", "WEATHERGLASS_SOURCE", "KAFKA_CLUSTER_ID"}
    secrets = [value for name, value in configured.secrets.items() if name not in options]
    for name, service in services(configured, COMPOSE_PROFILES=MONITORING_PROFILES).items():
        arguments = json.dumps([service.get("command"), service.get("entrypoint"), service.get("healthcheck")])
        assert not any(secret in arguments for secret in secrets), name
        assert "TOKEN" not in arguments, name  # a shell would put its value into the arguments of the command


def test_no_page_of_spark_can_end_an_application(configured: Cluster) -> None:
    options = services(configured)["spark-master"]["environment"]["SPARK_MASTER_OPTS"].split()
    assert {"-Dspark.ui.killEnabled=false", "-Dspark.ui.filters=weatherglass.UiRequestFilter"} <= set(options)


def test_all_services_of_airflow_have_users_in_its_database(configured: Cluster) -> None:
    managers = {
        name: service["environment"]["AIRFLOW__CORE__AUTH_MANAGER"]
        for name, service in services(configured).items()
        if name.startswith("airflow-") or name == "prepare"
    }
    assert len(managers) == 5
    assert set(managers.values()) == {"plugins.auth.manager.ClusterFabAuthManager"}


def test_the_base_image_can_be_named_by_its_digest(configured: Cluster) -> None:
    image = "registry.example/debian@sha256:" + "0" * 64
    for name in ("kafka-controller", "prepare"):
        assert services(configured, BASE_IMAGE=image)[name]["build"]["args"]["BASE_IMAGE"] == image


def test_drivers_and_executors_share_the_volume_of_the_checkpoints(configured: Cluster) -> None:
    resolved = services(configured)
    for name in ("jobs", "spark-worker", "airflow-scheduler"):
        mounted = {volume["target"]: volume["source"] for volume in resolved[name]["volumes"]}
        assert mounted["/var/lib/weatherglass/jobs"] == "checkpoints", name


def test_monitoring_needs_its_profile_and_uses_the_configured_images(configured: Cluster) -> None:
    monitoring = {"prometheus", "alertmanager"}
    without = services(configured)
    images = {"PROMETHEUS_IMAGE": "a/prometheus:1", "ALERTMANAGER_IMAGE": "an/alertmanager:2"}
    with_monitoring = services(configured, COMPOSE_PROFILES=MONITORING_PROFILES, **images)
    assert not monitoring & without.keys()
    assert with_monitoring.keys() - without.keys() == monitoring
    assert {with_monitoring[name]["image"] for name in monitoring} == set(images.values())


RULES = (PROJECT_ROOT / "docker" / "monitoring" / "alerts.yml").read_text(encoding="utf-8").count("- alert:")


@pytest.mark.parametrize(
    ("service", "check", "expected"),
    [
        ("prometheus", "promtool check config /etc/weatherglass/prometheus.yml", f"{RULES} rules found"),
        ("alertmanager", "amtool check-config /etc/alertmanager/weatherglass.yml", "1 receivers"),
    ],
)
def test_promtool_and_amtool_accept_the_configuration(
    engine: dict[str, str], tmp_path: Path, service: str, check: str, expected: str
) -> None:
    """In the containers, with the mounted rules and the token of the API."""
    cluster = Cluster("weatherglass-configuration", tmp_path, engine)
    cluster.environment["COMPOSE_PROFILES"] = MONITORING_PROFILES
    tool, *arguments = check.split()
    try:
        output = cluster.compose("run", "--rm", "--no-deps", "--entrypoint", tool, service, *arguments)
    finally:
        cluster.down("--volumes")
    assert expected in output


def test_a_missing_secret_is_an_error_with_its_name(engine: dict[str, str], tmp_path: Path) -> None:
    cluster = Cluster("weatherglass-configuration", tmp_path, engine)
    for secret in cluster.secrets.keys() - {"COMPOSE_PROFILES", "SPARK_WORKERS", "RAY_WORKERS", "WEATHERGLASS_SOURCE"}:
        content = cluster.env_file.read_text(encoding="utf-8")
        cluster.env_file.write_text(re.sub(rf"(?m)^{secret}=.*$", "", content), encoding="utf-8")
        with pytest.raises(AssertionError, match=f"{secret}.*run make cluster-env"):
            cluster.compose("config", "--quiet")
        cluster.env_file.write_text(content, encoding="utf-8")


def test_each_env_file_has_its_own_secrets_and_only_its_owner_reads_it(engine: dict[str, str], tmp_path: Path) -> None:
    first, second = (Cluster(name, tmp_path, engine) for name in ("first", "second"))
    options = {"COMPOSE_PROFILES", "SPARK_WORKERS", "RAY_WORKERS", "WEATHERGLASS_SOURCE"}
    for name in first.secrets.keys() - options:
        assert first.secrets[name] != second.secrets[name], name
        assert len(first.secrets[name]) >= 16, name
    assert first.env_file.stat().st_mode & 0o077 == 0
    content = first.env_file.read_text(encoding="utf-8")
    Cluster("first", tmp_path, engine)
    assert first.env_file.read_text(encoding="utf-8") == content, "an existing file is kept"


def test_the_image_contains_every_package_of_the_project() -> None:
    project = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    in_wheel = {pattern.removesuffix("*") for pattern in project["tool"]["setuptools"]["packages"]["find"]["include"]}
    copied = re.findall(r"(?m)^COPY (\w+) \1$", (PROJECT_ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8"))
    in_context = re.findall(r"(?m)^!(\w+)$", (PROJECT_ROOT / ".dockerignore").read_text(encoding="utf-8"))
    assert set(copied) == in_wheel | {"benchmarks", "dags", "plugins"}
    assert set(copied) <= set(in_context)


def test_compose_prints_no_warning(configured: Cluster) -> None:
    """Warnings, such as one about an unset variable, go to stderr."""
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


def test_the_brokers_of_the_cluster_have_the_configuration_of_the_embedded_one() -> None:
    """Except for names, folders and the location of the metadata."""
    from weatherglass.launcher.kafka import Broker
    from weatherglass.settings import load_settings

    def read(text: str) -> dict[str, str]:
        return dict(line.split("=", 1) for line in text.splitlines() if line and not line.startswith("#"))

    embedded = read(Broker(load_settings())._configuration())
    different = {name for name in embedded if "listener" in name or name in ("process.roles", "log.dirs", "node.id")}
    different.add("controller.quorum.voters")
    for file in ("broker.properties", "zookeeper-broker.properties"):
        properties = read((PROJECT_ROOT / "docker" / "kafka" / file).read_text(encoding="utf-8"))
        for name in embedded.keys() - different:
            if not (file.startswith("zookeeper") and name.startswith(("share.", "broker."))):
                assert properties.get(name) == embedded[name], f"{file}: {name}"
    controller = read((PROJECT_ROOT / "docker" / "kafka" / "controller.properties").read_text(encoding="utf-8"))
    for name in controller.keys() - different:
        assert controller[name] == embedded[name], name
