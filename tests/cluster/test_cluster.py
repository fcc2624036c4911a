"""The running cluster: topology, data flow, and recovery after the loss of each service.

The tests share one cluster and run in this order. Each leaves it complete, the last two with one worker of each kind.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from ray_jobs.inference.deduplication import is_leading
from tests.cluster.running import Cluster, Record, until
from tests.cluster.test_configuration import CORE_SERVICES
from tests.e2e.test_stack import last_windows, observations
from tests.oracle import Features, differences, expected_features
from weatherglass.alerts.health import JOBS
from weatherglass.launcher.pipeline import INGEST
from weatherglass.records import WindowFeatures, iso
from weatherglass.stations import bundled_stations
from weatherglass.topics import (
    FEATURES,
    GROUPS,
    INFERENCE_GROUP,
    PREDICTIONS,
    RAW,
    SPARK_GROUP,
    STORE_GROUP,
    TOPICS,
)

pytestmark = [pytest.mark.timeout(3600)]

RESTARTED_SERVICES = [
    *("airflow-triggerer", "airflow-dag-processor", "airflow-api", "api", "replay", "postgres"),
    *("kafka-controller", "spark-master", "ray-head", "jobs", "kafka-broker"),
]


@pytest.fixture(scope="module", autouse=True)
def report(cluster: Cluster) -> None:
    """Print the memory use of each container (with `-s`)."""
    print(cluster.docker("stats", "--no-stream", "--format", "{{.Name}}: {{.MemUsage}}"))


def unhealthy(cluster: Cluster) -> list[str]:
    """The containers with a health check that are not healthy."""
    return [
        f"{container['Name']}: {container['State']['Status']}, {container['State']['Health']['Status']}"
        for container in cluster.inspect()
        if "Health" in container["State"] and container["State"]["Health"]["Status"] != "healthy"
    ]


def wait_until_healthy(cluster: Cluster) -> None:
    until("all containers to be healthy", lambda: not unhealthy(cluster))


@contextmanager
def ingestion_paused(cluster: Cluster) -> Iterator[None]:
    """Pause ingestion, and wait until all consumers have processed everything."""
    airflow = cluster.airflow()

    def polling() -> bool:
        """By tasks: in a paused DAG, a run stays `running` if its task has not started or has lost its scheduler."""
        tasks = [task for run in airflow.runs(INGEST, "running") for task in airflow.tasks(INGEST, run["dag_run_id"])]
        return any(task["state"] in ("queued", "running") for task in tasks)

    airflow.pause(INGEST)
    try:
        until("the running poll to end", lambda: not polling())
        wait_for_no_lag(cluster)
        yield
    finally:
        airflow.unpause(INGEST)


def wait_for_no_lag(cluster: Cluster) -> None:
    """Wait until all consumers have processed everything."""
    for group, topic in ((SPARK_GROUP, RAW), (INFERENCE_GROUP, FEATURES), (STORE_GROUP, PREDICTIONS)):
        until(f"{group} to read {topic} to its end", lambda g=group, t=topic: cluster.lag(g, t) == 0)


def test_all_containers_are_healthy(cluster: Cluster) -> None:
    wait_until_healthy(cluster)


def test_containers_have_the_limits_of_cores_and_memory(cluster: Cluster) -> None:
    limits = {}
    for service, expected in CORE_SERVICES.items():
        hosts = [container["HostConfig"] for container in cluster.inspect(service)]
        limits[service] = (len(hosts), hosts[0]["NanoCpus"] / 1e9, hosts[0]["Memory"] / 2**30)
        assert len({(host["NanoCpus"], host["Memory"]) for host in hosts}) == 1
        assert limits[service] == expected
    hosts = [container["HostConfig"] for container in cluster.inspect()]
    assert all(host["Memory"] and host["NanoCpus"] for host in hosts)


def test_containers_run_as_an_unprivileged_user_without_write_access_to_the_code(cluster: Cluster) -> None:
    for service in ("jobs", "spark-worker", "ray-worker", "airflow-scheduler", "kafka-broker"):
        container = cluster.containers(service)[0]
        code = "/opt/kafka" if service.startswith("kafka") else "/opt/weatherglass"
        output = cluster.docker("exec", container, "sh", "-c", f"id -u; find {code} -writable | head -n 3")
        assert output.split() == ["10001"]


def test_all_workers_are_registered(cluster: Cluster) -> None:
    assert_workers(cluster, 4)


def ray_workers(cluster: Cluster) -> list[str]:
    """Ids of the live Ray nodes with a CPU."""
    nodes = cluster.ray("nodes")
    return [node["node_id"] for node in nodes if node["state"] == "ALIVE" and node["resources_total"].get("CPU")]


def test_all_pages_are_available(cluster: Cluster) -> None:
    assert cluster.get("SPARK_MASTER_PORT", "/").ok
    assert cluster.get("RAY_DASHBOARD_PORT", "/").ok
    assert cluster.get("AIRFLOW_PORT", "/").ok
    assert cluster.get("SPARK_UI_PORT", "/").ok


@pytest.mark.parametrize("port", ["SPARK_MASTER_PORT", "SPARK_UI_PORT"])
def test_pages_of_other_sites_cannot_use_the_uis_of_spark(cluster: Cluster, port: str) -> None:
    assert cluster.get(port, "/", headers={"Host": "attacker.example"}).status_code == 421
    embedded = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    assert cluster.get(port, "/", headers=embedded).status_code == 403


def test_topics_match_the_table(cluster: Cluster) -> None:
    topics = cluster.kafka("topics")
    for topic in TOPICS:
        assert topics[topic.name]["partitions"] == topic.partitions
        config = {name: topics[topic.name]["config"][name] for name in topic.broker_config}
        assert config == topic.broker_config


def test_consumer_groups_exist_and_have_a_lag(cluster: Cluster) -> None:
    assert set(GROUPS) <= set(cluster.kafka("groups"))
    assert all(cluster.lag(group, topic) >= 0 for group, topics in GROUPS.items() for topic in topics)


def test_executors_and_actors_are_spread_over_the_workers(cluster: Cluster) -> None:
    cluster.measure_flow()
    apps = cluster.get("SPARK_UI_PORT", "/api/v1/applications").json()
    executors = cluster.get("SPARK_UI_PORT", f"/api/v1/applications/{apps[0]['id']}/executors").json()
    active = [executor for executor in executors if executor["id"] != "driver" and executor["isActive"]]
    hosts = {executor["hostPort"].split(":")[0] for executor in active}
    assert len(hosts) == 4
    assert hosts == {worker["host"] for worker in cluster.spark()["workers"] if worker["state"] == "ALIVE"}
    wait_for_an_actor_on_each_worker(cluster)


def wait_for_an_actor_on_each_worker(cluster: Cluster) -> None:
    """Wait, because actors move only later to a worker that has joined after them."""

    def spread() -> bool:
        actors = [actor for actor in cluster.ray("actors") if actor["name"].startswith("inference-")]
        return sorted(actor["node_id"] for actor in actors if actor["state"] == "ALIVE") == sorted(ray_workers(cluster))

    until("an inference actor on each Ray worker", spread)


def test_observations_of_the_replay_get_predictions(cluster: Cluster) -> None:
    """Prints the time from the arrival of an observation to that of its prediction, by the clock of the broker."""
    replayed = ("jfk", "lga", "ewr")
    before = {station: cluster.api(f"/predictions/{station}") for station in replayed}
    cluster.airflow().trigger(INGEST, "the replay's next observations")

    def newer() -> bool:
        now = {station: cluster.api(f"/predictions/{station}") for station in replayed}
        return all(now[s] and (not before[s] or now[s]["timestamp"] > before[s]["timestamp"]) for s in replayed)

    until("predictions for the replay's next observations", newer)
    arrived = {}
    for record in cluster.records(RAW):
        value = json.loads(record.value)
        arrived[value["station_id"], value["timestamp"]] = record.timestamp
    seconds = {}
    for record in cluster.records(PREDICTIONS):
        value = json.loads(record.value)
        if value["station_id"] in replayed:
            seconds[value["station_id"]] = (record.timestamp - arrived[value["station_id"], value["timestamp"]]) / 1000
    print("seconds from an observation to its prediction:", seconds)
    assert set(seconds) == set(replayed)


def test_default_passwords_are_rejected_everywhere(cluster: Cluster) -> None:
    passwords = ("admin", "airflow", "postgres", "weatherglass", "password", "")
    for password in passwords:
        assert cluster.get("API_PORT", "/stations", password).status_code == 401
        assert cluster.get("RAY_DASHBOARD_PORT", "/api/v0/nodes", password).status_code in (401, 403)
        login = f"http://127.0.0.1:{cluster.ports['AIRFLOW_PORT']}/auth/token"
        response = requests.post(login, json={"username": "admin", "password": password}, timeout=60)
        assert response.status_code == (401 if password else 400)
    attempt = "import sys, psycopg; psycopg.connect(host='postgres', user=sys.argv[1], password=sys.argv[2])"
    jobs = cluster.containers("jobs")[0]
    for user in ("weatherglass", "postgres", "airflow"):
        for password in passwords:
            with pytest.raises(AssertionError, match=r"authentication failed|no password supplied"):
                cluster.docker("exec", "--env", "PGPASSWORD=", jobs, "python", "-c", attempt, user, password)


def test_a_viewer_of_airflow_reads_but_changes_nothing(cluster: Cluster) -> None:
    airflow = f"http://127.0.0.1:{cluster.ports['AIRFLOW_PORT']}"
    password = "password-of-the-viewer"
    account = {"username": "viewer", "first_name": "a", "last_name": "viewer", "email": "viewer@weather.example"}

    def token(user: str, password: str) -> dict[str, str]:
        response = requests.post(f"{airflow}/auth/token", json={"username": user, "password": password}, timeout=60)
        response.raise_for_status()
        return {"Authorization": f"Bearer {response.json()['access_token']}"}

    created = requests.post(
        f"{airflow}/auth/fab/v1/users",
        headers=token("admin", cluster.secrets["AIRFLOW_PASSWORD"]),
        json=account | {"password": password, "roles": [{"name": "Viewer"}]},
        timeout=60,
    )
    assert created.ok, created.text
    viewer = token("viewer", password)
    for path in ("/weatherglass/stations", "/api/v2/dags", "/api/v2/plugins"):
        assert requests.get(airflow + path, headers=viewer, timeout=60).status_code == 200
    for path in ("/weatherglass/alerts/1/acknowledge", "/api/v2/dags/train_models/dagRuns"):
        body = {"logical_date": None}
        assert requests.post(airflow + path, headers=viewer, json=body, timeout=60).status_code == 403
    query = "select string_agg(distinct left(password, 7), ' ') from ab_user"
    postgres = cluster.containers("postgres")[0]
    hashes = cluster.docker("exec", postgres, "psql", "-U", "weatherglass", "-d", "airflow", "-qAtc", query)
    assert hashes.strip() == "scrypt:"


def test_the_login_form_of_airflow_starts_a_session_and_a_logout_ends_it(cluster: Cluster) -> None:
    airflow = f"http://localhost:{cluster.ports['AIRFLOW_PORT']}"
    with requests.Session() as browser:
        form = browser.get(f"{airflow}/auth/login/", timeout=60).text
        csrf_token = re.findall(r'name="csrf_token"[^>]* value="([^"]+)"', form)[0]
        given = {"username": "admin", "password": cluster.secrets["AIRFLOW_PASSWORD"], "csrf_token": csrf_token}
        browser.post(f"{airflow}/auth/login/", data=given, timeout=60, allow_redirects=False)
        assert browser.get(f"{airflow}/weatherglass/stations", timeout=60).status_code == 200
        session = browser.cookies["session"]
        for path in ("/api/v2/auth/logout", "/auth/logout/"):  # the address in redirects is AIRFLOW_URL
            browser.get(f"{airflow}{path}", timeout=60, allow_redirects=False)
    with requests.Session() as copy:
        copy.cookies.set("session", session)
        copy.get(f"{airflow}/auth/", timeout=60, allow_redirects=False)
        assert copy.get(f"{airflow}/weatherglass/stations", timeout=60).status_code == 401


def without_checks(features: Features) -> Features:
    """The features without `checks`, which depend on the climate known at the start of the job."""
    return {
        key: {name: value for name, value in window.items() if name != "checks"} for key, window in features.items()
    }


def allowed_predictions(features: list[Record]) -> dict[tuple[str, str], int]:
    """(station, observation) -> how often it is predicted: once for each content of its leading window.

    More than once only if nothing but `checks` differs, which a restart of the stream can change.
    """
    contents: dict[tuple[str, str], set[bytes]] = defaultdict(set)
    values: dict[tuple[str, str], set[bytes]] = defaultdict(set)
    for record in features:
        window = WindowFeatures.from_json(record.value)
        if is_leading(window):
            key = window.station_id, iso(window.aggregated_features.last_observation)
            contents[key].add(record.value)
            unchecked = window.aggregated_features.model_copy(update={"checks": {}})
            values[key].add(window.model_copy(update={"aggregated_features": unchecked}).to_json())
    return {key: len(found) if len(values[key]) == 1 else 1 for key, found in contents.items()}


def assert_nothing_lost_or_duplicated(cluster: Cluster) -> None:
    """The last record of each window equals that of the oracle, and each observation has one prediction.

    A batch of the stream that is repeated after a restart can have other checks, because the climate is known by then:
    that is a revision, and predicted again.
    """
    with ingestion_paused(cluster):
        raw, windows, predictions = observations(cluster), last_windows(cluster), cluster.records(PREDICTIONS)  # type: ignore[arg-type]
        features = cluster.records(FEATURES)
    elevations = {name: at.elevation for name, at in bundled_stations().items() if at.elevation is not None}
    expected, actual = without_checks(expected_features(raw, elevations)), without_checks(windows)
    assert actual.keys() == expected.keys()
    different = [line for key in expected for line in differences(actual[key], expected[key], str(key))]
    assert not different, f"{len(different)} values differ, among them {different[:3]}"
    counts = Counter(
        (prediction["station_id"], prediction["timestamp"])
        for prediction in (json.loads(record.value) for record in predictions)
    )
    assert counts
    allowed = allowed_predictions(features)
    assert {key: count for key, count in counts.items() if count > allowed[key]} == {}


def test_after_a_kill_of_the_scheduler_its_poll_is_repeated(cluster: Cluster) -> None:
    airflow = cluster.airflow()
    scheduler, replay = (cluster.containers(service)[0] for service in ("airflow-scheduler", "replay"))

    def running_poll() -> str | None:
        running = (str(run["dag_run_id"]) for run in airflow.runs(INGEST, "running"))
        return next((id for id in running if any(t["state"] == "running" for t in airflow.tasks(INGEST, id))), None)

    with paused_container(cluster, replay):
        airflow.trigger(INGEST, "test: the scheduler is killed during a poll")
        poll = until("a running poll", running_poll)
        cluster.kill(scheduler)
    assert airflow.run(INGEST, poll)["state"] == "running", "the poll was interrupted"
    cluster.start(scheduler)
    started = time.monotonic()
    seconds = cluster.measure_flow()
    until("the poll to succeed", lambda: airflow.run(INGEST, poll)["state"] == "success")
    print(f"airflow-scheduler: flow after {seconds:.0f} s, its poll done after {time.monotonic() - started:.0f} s")
    wait_until_healthy(cluster)
    assert_nothing_lost_or_duplicated(cluster)


@contextmanager
def paused_container(cluster: Cluster, container: str) -> Iterator[None]:
    """The container exists but does not respond."""
    cluster.docker("pause", container)
    try:
        yield
    finally:
        cluster.docker("unpause", container)


@pytest.mark.parametrize("service", RESTARTED_SERVICES)
def test_after_a_kill_and_a_start_of_a_service_nothing_is_lost(cluster: Cluster, service: str) -> None:
    container = cluster.containers(service)[0]
    cluster.kill(container)
    missed = "" if service == "kafka-broker" else cluster.publish_probes()  # published without the service
    cluster.start(container)
    seconds = cluster.measure_flow()
    print(f"{service}: flow after {seconds:.0f} s")
    if missed:
        cluster.wait_for_predictions(missed)
    wait_until_healthy(cluster)
    if service == "ray-head":
        wait_for_an_actor_on_each_worker(cluster)
    cluster.measure_flow()  # processes that survive the lost service for a while have ended by now
    assert_nothing_lost_or_duplicated(cluster)


@pytest.mark.parametrize("kind", ["spark-worker", "ray-worker"])
def test_the_cluster_works_without_a_lost_worker(cluster: Cluster, kind: str) -> None:
    lost = cluster.containers(kind)[0]
    cluster.kill(lost)
    seconds = cluster.measure_flow()
    print(f"{kind} lost: flow after {seconds:.0f} s")
    assert_nothing_lost_or_duplicated(cluster)
    cluster.start(lost)
    assert_workers(cluster, 4)
    wait_until_healthy(cluster)
    if kind == "ray-worker":
        wait_for_an_actor_on_each_worker(cluster)
    assert_nothing_lost_or_duplicated(cluster)


@dataclass(frozen=True)
class PersistentState:
    """State that must survive the removal of the containers.

    Attributes:
        batch: number of the newest batch in the checkpoint of the stream.
    """

    records: set[tuple[str, int, int, bytes]]
    windows: set[tuple[str, datetime]]
    models: set[tuple[str, str]]
    batch: int

    @classmethod
    def read(cls, cluster: Cluster) -> PersistentState:
        records = {(t, r.partition, r.offset, r.value) for t in (RAW, PREDICTIONS) for r in cluster.records(t)}
        models = {(model["kind"], model["version"]) for model in cluster.api("/models")["versions"]}
        commits = "/var/lib/weatherglass/jobs/stream_features/checkpoint/features/commits"
        names = cluster.docker("exec", cluster.containers("jobs")[0], "ls", commits).split()
        batch = max(int(name) for name in names if name.isdigit())
        return cls(records, set(last_windows(cluster)), models, batch)  # type: ignore[arg-type]


def test_the_cluster_continues_from_a_restored_backup_with_one_worker_of_each_kind(
    cluster: Cluster, tmp_path: Path
) -> None:
    """Backs up the volumes after the removal of the containers, deletes the volumes, and restores them.

    The configuration with two workers is tested in test_configuration.py.
    """
    with ingestion_paused(cluster):
        before = PersistentState.read(cluster)
    cluster.close_kafka_shell()
    cluster.run_documented_commands("Backup", tmp_path)
    assert cluster.inspect() == []
    cluster.down("--volumes")
    cluster.run_documented_commands("Restore", tmp_path)
    cluster.environment |= {"SPARK_WORKERS": "1", "RAY_WORKERS": "1"}
    started = time.monotonic()
    cluster.up()
    print(f"started after {time.monotonic() - started:.0f} s")
    seconds = cluster.measure_flow()
    print(f"flow after {seconds:.0f} s more")
    wait_until_healthy(cluster)
    until("all jobs to be healthy", lambda: job_states(cluster) == dict.fromkeys(JOBS, "ok"))
    after = PersistentState.read(cluster)
    assert before.records < after.records
    assert before.windows < after.windows
    assert before.models <= after.models
    assert before.batch < after.batch, "the stream continues from its checkpoint"
    assert_nothing_lost_or_duplicated(cluster)
    assert_workers(cluster, 1)


def assert_workers(cluster: Cluster, count: int) -> None:
    until(f"{count} Spark workers", lambda: cluster.spark()["aliveworkers"] == count)
    until(f"{count} Ray workers with a CPU", lambda: len(ray_workers(cluster)) == count)


def job_states(cluster: Cluster) -> dict[str, str]:
    """The state of each job according to the API, whatever its status code."""
    components = cluster.get("API_PORT", "/health", cluster.secrets["WEATHERGLASS_API_TOKEN"]).json()["components"]
    return {component["name"]: component["state"] for component in components if component["name"] in JOBS}


def test_prometheus_scrapes_all_targets_and_sends_alerts_to_alertmanager(cluster: Cluster) -> None:
    cluster.compose("--profile", "monitoring", "up", "--detach", "--wait", "prometheus", "alertmanager")

    def prometheus(path: str) -> dict[str, Any]:
        return dict(cluster.get("PROMETHEUS_PORT", f"/api/v1/{path}").json()["data"])

    def targets() -> Counter[tuple[str, str]]:
        active = prometheus("targets")["activeTargets"]
        return Counter((target["labels"]["job"], target["health"]) for target in active)

    nodes = 2 + len(ray_workers(cluster))  # those of the head and of the jobs
    expected = {"weatherglass": 1, "spark": 1, "ray": nodes, "monitoring": 2}
    until(f"{expected} to be up", lambda: targets() == {(job, "up"): count for job, count in expected.items()})
    assert prometheus("query?query=weatherglass_monitor_collection_seconds")["result"]
    rules = [rule for group in prometheus("rules")["groups"] for rule in group["rules"]]
    assert {rule["name"] for rule in rules} >= {"no_new_observations", "monitor_down"}
    assert {rule["health"] for rule in rules} <= {"ok", "unknown"}
    until("Prometheus to find Alertmanager", lambda: prometheus("alertmanagers")["activeAlertmanagers"])
    cluster.compose("stop", "api")

    def alerts() -> set[str]:
        active = cluster.get("ALERTMANAGER_PORT", "/api/v2/alerts").json()
        return {alert["labels"]["alertname"] for alert in active}

    until("the alert in Alertmanager", lambda: "monitor_down" in alerts())
    cluster.compose("start", "api")
    until("the end of the alert", lambda: "monitor_down" not in alerts())
    cluster.compose("--profile", "monitoring", "rm", "--stop", "--force", "prometheus", "alertmanager")
