"""The running cluster: what is there, what flows, and that it comes back whatever is taken away.

The tests share one cluster and run in this order; each leaves it whole, the last two with one worker of each kind.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.cluster.running import Cluster, until
from tests.cluster.test_configuration import PROPER
from tests.e2e.test_stack import last_windows, observed
from tests.oracle import Features, differences, expected_features
from weatherglass.alerts.health import JOBS
from weatherglass.launcher.pipeline import INGEST
from weatherglass.stations import known_stations
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

RESTARTED = [
    *("airflow-triggerer", "airflow-dag-processor", "airflow-api", "api", "replay", "postgres"),
    *("kafka-controller", "spark-master", "ray-head", "jobs", "kafka-broker"),
]


@pytest.fixture(scope="module", autouse=True)
def report(cluster: Cluster) -> None:
    """Shown with `-s`: the memory that each container really uses."""
    print(cluster.docker("stats", "--no-stream", "--format", "{{.Name}}: {{.MemUsage}}"))


def ill(cluster: Cluster) -> list[str]:
    """What does not run healthy, of all that should."""
    return [
        f"{one['Name']}: {one['State']['Status']}, {one['State'].get('Health', {}).get('Status')}"
        for one in cluster.inspect()
        if "Health" in one["State"] and one["State"]["Health"]["Status"] != "healthy"
    ]


def healthy(cluster: Cluster) -> None:
    until("all containers to be healthy", lambda: not ill(cluster))


@contextmanager
def settled(cluster: Cluster) -> Iterator[None]:
    """Ingestion pauses, and everything published has been worked off."""
    airflow = cluster.airflow()

    def polling() -> bool:
        """By its tasks: a run whose task has not begun, or lost its scheduler, stays one while its DAG is paused."""
        tasks = [task for run in airflow.runs(INGEST, "running") for task in airflow.tasks(INGEST, run["dag_run_id"])]
        return any(task["state"] in ("queued", "running") for task in tasks)

    airflow.pause(INGEST)
    try:
        until("the poll that runs to end", lambda: not polling())
        settle(cluster)
        yield
    finally:
        airflow.unpause(INGEST)


def settle(cluster: Cluster) -> None:
    """Wait until everything published has been worked off."""
    for group, topic in ((SPARK_GROUP, RAW), (INFERENCE_GROUP, FEATURES), (STORE_GROUP, PREDICTIONS)):
        until(f"{group} to read {topic} to its end", lambda g=group, t=topic: cluster.lag(g, t) == 0)


def test_all_are_healthy(cluster: Cluster) -> None:
    healthy(cluster)


def test_the_engine_holds_the_limits(cluster: Cluster) -> None:
    limits = {}
    for service, expected in PROPER.items():
        hosts = [one["HostConfig"] for one in cluster.inspect(service)]
        limits[service] = (len(hosts), hosts[0]["NanoCpus"] / 1e9, hosts[0]["Memory"] / 2**30)
        assert len({(host["NanoCpus"], host["Memory"]) for host in hosts}) == 1
        assert limits[service] == expected
    assert all(one["HostConfig"]["Memory"] and one["HostConfig"]["NanoCpus"] for one in cluster.inspect())


def test_containers_run_as_a_plain_user_who_cannot_change_the_code(cluster: Cluster) -> None:
    for service in ("jobs", "spark-worker", "ray-worker", "airflow-scheduler", "kafka-broker"):
        container = cluster.containers(service)[0]
        code = "/opt/kafka" if service.startswith("kafka") else "/opt/weatherglass"
        found = cluster.docker("exec", container, "sh", "-c", f"id -u; find {code} -writable | head -n 3")
        assert found.split() == ["10001"]


def test_the_workers_are_registered(cluster: Cluster) -> None:
    assert_workers(cluster, 4)


def ray_workers(cluster: Cluster) -> list[str]:
    """The living Ray nodes that offer a CPU."""
    nodes = cluster.ray("nodes")
    return [node["node_id"] for node in nodes if node["state"] == "ALIVE" and node["resources_total"].get("CPU")]


def test_pages_answer(cluster: Cluster) -> None:
    assert "Spark Master" in cluster.get("SPARK_MASTER_PORT", "/").text
    assert cluster.get("RAY_DASHBOARD_PORT", "/").ok
    assert cluster.get("AIRFLOW_PORT", "/").ok
    assert cluster.get("SPARK_UI_PORT", "/").ok


def test_topics_are_those_of_the_table(cluster: Cluster) -> None:
    found = cluster.kafka("topics")
    for topic in TOPICS:
        assert found[topic.name]["partitions"] == topic.partitions
        config = {name: found[topic.name]["config"][name] for name in topic.broker_config}
        assert config == topic.broker_config


def test_the_groups_are_known_with_their_lag(cluster: Cluster) -> None:
    assert set(GROUPS) <= set(cluster.kafka("groups"))
    assert all(cluster.lag(group, topic) >= 0 for group, topics in GROUPS.items() for topic in topics)


def test_executors_and_actors_are_spread_over_the_workers(cluster: Cluster) -> None:
    cluster.flow()
    apps = cluster.get("SPARK_UI_PORT", "/api/v1/applications").json()
    executors = cluster.get("SPARK_UI_PORT", f"/api/v1/applications/{apps[0]['id']}/executors").json()
    hosts = {one["hostPort"].split(":")[0] for one in executors if one["id"] != "driver" and one["isActive"]}
    assert len(hosts) == 4
    assert hosts == {worker["host"] for worker in cluster.spark()["workers"] if worker["state"] == "ALIVE"}
    wait_for_an_actor_on_each_worker(cluster)


def wait_for_an_actor_on_each_worker(cluster: Cluster) -> None:
    """They need not be there at once: an actor moves to a worker that came later."""

    def spread() -> bool:
        actors = [one for one in cluster.ray("actors") if one["name"].startswith("inference-")]
        return sorted(one["node_id"] for one in actors if one["state"] == "ALIVE") == sorted(ray_workers(cluster))

    until("an inference actor on each Ray worker", spread)


def test_the_replays_observations_are_predicted(cluster: Cluster) -> None:
    """By the broker's clock: from the arrival of an observation to that of its answer."""
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
    waited = {}
    for record in cluster.records(PREDICTIONS):
        value = json.loads(record.value)
        if value["station_id"] in replayed:
            waited[value["station_id"]] = (record.timestamp - arrived[value["station_id"], value["timestamp"]]) / 1000
    print("seconds from an observation to its answer:", waited)
    assert set(waited) == set(replayed)


def test_no_default_password_opens_anything(cluster: Cluster) -> None:
    usual = ("admin", "airflow", "postgres", "weatherglass", "password", "")
    for word in usual:
        assert cluster.get("API_PORT", "/stations", word).status_code == 401
        assert cluster.get("RAY_DASHBOARD_PORT", "/api/v0/nodes", word).status_code in (401, 403)
        login = f"http://127.0.0.1:{cluster.ports['AIRFLOW_PORT']}/auth/token"
        for user in ("admin", "airflow"):
            answer = requests.post(login, json={"username": user, "password": word}, timeout=60)
            assert answer.status_code == (401 if word else 400)
    attempt = "import sys, psycopg; psycopg.connect(host='postgres', user=sys.argv[1], password=sys.argv[2])"
    jobs = cluster.containers("jobs")[0]
    for user in ("weatherglass", "postgres", "airflow"):
        for word in usual:
            with pytest.raises(AssertionError, match=r"authentication failed|no password supplied"):
                cluster.docker("exec", "--env", "PGPASSWORD=", jobs, "python", "-c", attempt, user, word)


def values(features: Features) -> Features:
    """Without the verdicts of the checks: which climate they knew depends on when the job was started."""
    return {key: {name: one for name, one in found.items() if name != "checks"} for key, found in features.items()}


def assert_nothing_lost_or_doubled(cluster: Cluster) -> None:
    """Each window's last record is the oracle's, of everything published so far; and each answer stands once."""
    with settled(cluster):
        raw, windows, answers = observed(cluster), last_windows(cluster), cluster.records(PREDICTIONS)  # type: ignore[arg-type]
    elevations = {name: at.elevation for name, at in known_stations().items() if at.elevation is not None}
    expected, found = values(expected_features(raw, elevations)), values(windows)
    assert found.keys() == expected.keys()
    different = [line for key in expected for line in differences(found[key], expected[key], str(key))]
    assert not different, f"{len(different)} values differ, among them {different[:3]}"
    answered = Counter(
        (prediction["station_id"], prediction["timestamp"])
        for prediction in (json.loads(record.value) for record in answers)
    )
    assert answered
    assert set(answered.values()) == {1}


def test_the_scheduler_stopped_hard_comes_back_and_its_poll_is_tried_again(cluster: Cluster) -> None:
    airflow = cluster.airflow()
    scheduler, replay = (cluster.containers(service)[0] for service in ("airflow-scheduler", "replay"))

    def asking() -> str | None:
        running = (str(run["dag_run_id"]) for run in airflow.runs(INGEST, "running"))
        return next((id for id in running if any(t["state"] == "running" for t in airflow.tasks(INGEST, id))), None)

    with silenced(cluster, replay):
        airflow.trigger(INGEST, "loses its scheduler, or waits for another that does")
        poll = until("a poll to ask", asking)
        cluster.kill(scheduler)
    assert airflow.run(INGEST, poll)["state"] == "running"  # it was lost, and not just done
    cluster.start(scheduler)
    began = time.monotonic()
    seconds = cluster.flow()
    until("the poll to succeed", lambda: airflow.run(INGEST, poll)["state"] == "success")
    print(f"airflow-scheduler: flow after {seconds:.0f} s, its poll done after {time.monotonic() - began:.0f} s")
    healthy(cluster)
    assert_nothing_lost_or_doubled(cluster)


@contextmanager
def silenced(cluster: Cluster, container: str) -> Iterator[None]:
    """It is there, and does not answer."""
    cluster.docker("pause", container)
    try:
        yield
    finally:
        cluster.docker("unpause", container)


@pytest.mark.parametrize("service", RESTARTED)
def test_a_service_stopped_hard_and_started_comes_back(cluster: Cluster, service: str) -> None:
    container = cluster.containers(service)[0]
    cluster.kill(container)
    missed = "" if service == "kafka-broker" else cluster.observe()  # published while it is away
    cluster.start(container)
    seconds = cluster.flow()
    print(f"{service}: flow after {seconds:.0f} s")
    if missed:
        cluster.await_answers(missed)
    healthy(cluster)
    if service == "ray-head":
        wait_for_an_actor_on_each_worker(cluster)
    cluster.flow()  # what lives on for a while without a lost service has ended by now
    assert_nothing_lost_or_doubled(cluster)


@pytest.mark.parametrize("kind", ["spark-worker", "ray-worker"])
def test_a_worker_lost_for_good_is_done_without(cluster: Cluster, kind: str) -> None:
    lost = cluster.containers(kind)[0]
    cluster.kill(lost)
    seconds = cluster.flow()
    print(f"{kind} lost: flow after {seconds:.0f} s")
    assert_nothing_lost_or_doubled(cluster)
    cluster.start(lost)
    assert_workers(cluster, 4)
    healthy(cluster)
    if kind == "ray-worker":
        wait_for_an_actor_on_each_worker(cluster)
    assert_nothing_lost_or_doubled(cluster)


@dataclass(frozen=True)
class Standing:
    """What must outlive the containers."""

    records: set[tuple[str, int, int, bytes]]
    windows: set[tuple[str, datetime]]
    models: set[tuple[str, str]]
    batch: int
    """The stream's newest, by its checkpoint."""

    @classmethod
    def of(cls, cluster: Cluster) -> Standing:
        records = {(t, r.partition, r.offset, r.value) for t in (RAW, PREDICTIONS) for r in cluster.records(t)}
        models = {(one["kind"], one["version"]) for one in cluster.api("/models")["versions"]}
        commits = "/var/lib/weatherglass/jobs/stream_features/checkpoint/features/commits"
        names = cluster.docker("exec", cluster.containers("jobs")[0], "ls", commits).split()
        batch = max(int(name) for name in names if name.isdigit())
        return cls(records, set(last_windows(cluster)), models, batch)  # type: ignore[arg-type]


def test_all_down_restored_from_a_backup_and_up_again_with_one_worker_goes_on(cluster: Cluster, tmp_path: Path) -> None:
    """A backup is of volumes that outlived their containers; then these go too, and what stands comes from the backup.

    As many workers as the settings say; that of two is read in the resolved configuration.
    """
    with settled(cluster):
        before = Standing.of(cluster)
    cluster.leave()
    cluster.follow("Backup", tmp_path)
    assert cluster.inspect() == []
    cluster.down("--volumes")
    cluster.follow("Restore", tmp_path)
    cluster.environment |= {"SPARK_WORKERS": "1", "RAY_WORKERS": "1"}
    began = time.monotonic()
    cluster.up()
    print(f"up again after {time.monotonic() - began:.0f} s")
    seconds = cluster.flow()
    print(f"flow after {seconds:.0f} s more")
    healthy(cluster)
    until("all jobs to be well", lambda: states_of_jobs(cluster) == dict.fromkeys(JOBS, "ok"))
    after = Standing.of(cluster)
    assert before.records < after.records
    assert before.windows < after.windows
    assert before.models <= after.models
    assert before.batch < after.batch  # from its checkpoint, not from the beginning
    assert_nothing_lost_or_doubled(cluster)
    assert_workers(cluster, 1)


def assert_workers(cluster: Cluster, count: int) -> None:
    until(f"{count} Spark workers", lambda: cluster.spark()["aliveworkers"] == count)
    until(f"{count} Ray workers with a CPU", lambda: len(ray_workers(cluster)) == count)


def states_of_jobs(cluster: Cluster) -> dict[str, str]:
    """As the API tells them, whatever else may be amiss."""
    parts = cluster.get("API_PORT", "/health", cluster.secrets["WEATHERGLASS_API_TOKEN"]).json()["parts"]
    return {part["name"]: part["state"] for part in parts if part["name"] in JOBS}


def test_prometheus_sees_the_pipeline_and_finds_alertmanager(cluster: Cluster) -> None:
    cluster.compose("--profile", "monitoring", "up", "--detach", "--wait", "prometheus", "alertmanager")

    def asked(what: str) -> dict[str, Any]:
        return dict(cluster.get("PROMETHEUS_PORT", f"/api/v1/{what}").json()["data"])

    def targets() -> Counter[tuple[str, str]]:
        return Counter((one["labels"]["job"], one["health"]) for one in asked("targets")["activeTargets"])

    nodes = 2 + len(ray_workers(cluster))  # the head's, and the one beside the jobs
    parts = {"weatherglass": 1, "spark": 1, "ray": nodes, "monitoring": 2}
    until(f"{parts} to be up", lambda: targets() == {(job, "up"): count for job, count in parts.items()})
    assert asked("query?query=weatherglass_watch_look_seconds")["result"]
    rules = [rule for group in asked("rules")["groups"] for rule in group["rules"]]
    assert {rule["name"] for rule in rules} >= {"no_new_observations", "watcher_gone"}
    assert {rule["health"] for rule in rules} <= {"ok", "unknown"}
    until("Prometheus to find Alertmanager", lambda: asked("alertmanagers")["activeAlertmanagers"])
    cluster.compose("stop", "api")

    def alerts() -> set[str]:
        return {one["labels"]["alertname"] for one in cluster.get("ALERTMANAGER_PORT", "/api/v2/alerts").json()}

    until("the silence to arrive at Alertmanager", lambda: "watcher_gone" in alerts())
    cluster.compose("start", "api")
    until("it to be over", lambda: "watcher_gone" not in alerts())
    cluster.compose("--profile", "monitoring", "rm", "--stop", "--force", "prometheus", "alertmanager")
