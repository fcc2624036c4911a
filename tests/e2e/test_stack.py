"""The whole pipeline: started as by `make up`, tested with invalid records and faults, stopped, and restarted.

The tests share one running pipeline and run in order; later tests depend on the state that earlier tests leave.
"""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import requests
from kafka import KafkaProducer
from playwright.sync_api import expect

from producer.sources import observed_stations
from tests.conftest import make_settings
from tests.e2e.running import ASK_SECONDS, RunningStack, replay_without_gaps
from tests.oracle import Features, differences, expected_features, time_of
from tests.own_station_table import add_own_station
from tests.waiting import until
from weatherglass.cli.generate_docs import DOCS
from weatherglass.jobs.folder import JobFolder
from weatherglass.record_headers import Origin, headers
from weatherglass.record_schemas import RECORDS
from weatherglass.records import (
    VARIABLES,
    Method,
    Observation,
    iso,
)
from weatherglass.settings import LOOPBACK, Source
from weatherglass.station_tokens import StationTokens
from weatherglass.stations import bundled_stations
from weatherglass.topics import (
    FEATURES,
    GUIDANCE,
    HOURS,
    INFERENCE_GROUP,
    PREDICTIONS,
    RAW,
    REJECTED,
    SPARK_GROUP,
    STORE_GROUP,
)

pytestmark = [pytest.mark.e2e, pytest.mark.integration, pytest.mark.timeout(1800)]

SCHEMAS = {
    RAW: "observation",
    FEATURES: "window-features",
    HOURS: "hour",
    PREDICTIONS: "prediction",
    GUIDANCE: "guidance",
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    folder = tmp_path_factory.mktemp("stack")
    replay = replay_without_gaps(datetime.now(UTC))
    options = {"train_full_model": False, "station_listener_host": LOOPBACK, **replay}
    settings = make_settings(folder / "state", source=Source.REPLAY, **options)
    running = RunningStack(settings, folder)
    try:
        running.up()
        yield running
    finally:
        running.down()
        for process in running.processes():
            process.kill()


def newest_predictions(stack: RunningStack) -> dict[str, Any]:
    """The newest prediction of each station of the replay, from the API; empty while one is missing."""
    names = [station.station_id for station in observed_stations(stack.settings)]
    by_station = {name: stack.api(f"/predictions/{name}") for name in names}
    return by_station if all(by_station.values()) else {}


def settle(stack: RunningStack) -> None:
    """Stop ingestion, and wait until all published records are processed."""
    stack.pause("ingest_observations", True)
    for group, topic in ((SPARK_GROUP, RAW), (INFERENCE_GROUP, FEATURES), (STORE_GROUP, PREDICTIONS)):
        until(
            f"{group} to read {topic} to its end",
            lambda g=group, t=topic: stack.lag(g, t) == 0,  # type: ignore[misc]
            interval=ASK_SECONDS,
        )


def observations(stack: RunningStack) -> list[dict[str, Any]]:
    """The observations on `weather-raw` that were not rejected, in the order of their offsets."""
    rejected = {source_position(record) for record in stack.records(REJECTED)}
    kept = [r for r in stack.records(RAW) if (RAW, r.partition, r.offset) not in rejected]
    kept.sort(key=lambda record: (record.partition, record.offset))
    return [{**RECORDS["observation"].from_json(r.value).model_dump(), "offset": r.offset} for r in kept]


def source_position(rejected: Any) -> tuple[str, int, int]:
    """Topic, partition and offset of a record on `weather-rejected` before it was rejected."""
    values = dict(rejected.headers)
    return values["topic"].decode(), int(values["partition"]), int(values["offset"])


def last_windows(stack: RunningStack) -> Features:
    """The last record of each (station, window end) on `weather-features`."""
    records = sorted(stack.records(FEATURES), key=lambda record: (record.partition, record.offset))
    windows = (json.loads(record.value) for record in records)
    return {(w["station_id"], time_of(w["window_end"])): w["aggregated_features"] for w in windows}


def assert_features_match_the_oracle(stack: RunningStack) -> None:
    elevations = {name: at.elevation for name, at in bundled_stations().items() if at.elevation is not None}
    expected, published = expected_features(observations(stack), elevations), last_windows(stack)
    assert expected
    assert set(published) == set(expected)
    for window in [*expected.values(), *published.values()]:
        del window["checks"]["climate"]  # only checked after the first start with prepared history
    different = [line for key in expected for line in differences(published[key], expected[key], str(key))]
    assert not different, f"{len(different)} values differ, among them {different[:3]}"


def test_each_station_has_a_forecast(stack: RunningStack) -> None:
    by_station = until("a prediction for each station", lambda: newest_predictions(stack), interval=ASK_SECONDS)
    assert set(stack.stations()) == set(by_station)
    assert Method.MODEL in {prediction["method"] for prediction in by_station.values()}
    for prediction in by_station.values():
        assert not prediction["live"]
        issued = time_of(prediction["timestamp"])
        assert prediction["leads"]
        for lead in prediction["leads"]:
            assert issued < time_of(lead["valid_time"]) <= issued + timedelta(hours=24)
            for variable in VARIABLES:
                assert lead[variable]["lower"] <= lead[variable]["value"] <= lead[variable]["upper"]


def test_all_components_are_healthy(stack: RunningStack) -> None:
    until("all components to be healthy", stack.is_healthy, interval=ASK_SECONDS)
    assert stack.get("/weatherglass/health").status_code == 200


def test_no_other_user_can_read_the_logs(stack: RunningStack) -> None:
    files = [file for file in (stack.settings.state_dir / "logs").rglob("*") if file.is_file()]
    assert files
    assert {file.name for file in files if file.stat().st_mode & 0o077} == set()


def test_the_monitor_measures_every_component(stack: RunningStack) -> None:
    expected = (
        "weatherglass_kafka_up 1",
        "weatherglass_ray_up 1",
        "weatherglass_store_up 1",
        'weatherglass_airflow_up{component="scheduler"} 1',
        'weatherglass_airflow_up{component="triggerer"} 1',
        'weatherglass_job_up{job="stream_features"} 1',
        'weatherglass_actor_up{actor="inference-0"} 1',
        'weatherglass_dag_failed{dag="bootstrap_topics"} 0',
        'weatherglass_part_processes{part="kafka"} 1',
        'weatherglass_polls_total{outcome="ok"}',
    )

    def missing() -> list[str]:
        metrics = stack.get("/weatherglass/metrics").text
        return [line for line in expected if line not in metrics]

    until("the monitor to measure every component", lambda: not missing(), interval=ASK_SECONDS)


def test_bootstrap_topics_succeeds_if_the_topics_exist(stack: RunningStack) -> None:
    assert stack.run_dag("bootstrap_topics")["state"] == "success"


def test_a_manual_poll_brings_new_predictions(stack: RunningStack) -> None:
    stack.pause("ingest_observations", False)
    before = newest_predictions(stack)

    def moved_on() -> bool:
        assert stack.run_dag("ingest_observations")["state"] == "success"
        now = newest_predictions(stack)
        return all(now[station]["timestamp"] > before[station]["timestamp"] for station in before)

    until("a prediction for a newer observation of each station", moved_on, interval=ASK_SECONDS)


def test_the_dashboard_in_airflow_shows_a_new_anomaly_without_a_reload(stack: RunningStack, pictures: Path) -> None:
    """A faulty observation is published; it appears on the map, in the lists and in a notification."""
    settle(stack)  # a poll before the faulty observation would make it late
    rows = {row["station"]["station_id"]: row for row in stack.api("/stations")["stations"]}
    with stack.browsing() as page:
        page.locator("a[href='/plugin/weatherglass']").first.click()
        frame = page.frame_locator("iframe[title=Weather]")
        expect(frame.locator("#stations tr")).to_have_count(len(rows))
        expect(frame.locator("#source")).to_have_attribute("data-sources", "replay")
        # An open alert, for example about the disk, colours the line as well.
        expect(frame.locator("#state.ok, #state.degraded, #state.failing")).to_be_visible()
        until("no failing component", lambda: stack.get("/weatherglass/health").ok, interval=ASK_SECONDS)
        expect(frame.locator("#summary")).to_contain_text(
            f"{len(rows)} of {len(rows)}"
        )  # although their observations are old
        page.screenshot(path=str(pictures / "airflow-overview.png"))
        station, row = next((name, row) for name, row in sorted(rows.items()) if row["newest"])
        newest = stack.api(f"/predictions/{station}")
        faulty = Observation(
            **{name: row["newest"][name] for name in ("humidity", "pressure", "wind_speed", "wind_direction")},
            station_id=station,
            timestamp=time_of(newest["timestamp"]) + timedelta(minutes=1),
            temperature=row["newest"]["temperature"] + 30,
        )
        faulty_headers = headers(faulty, Origin.SIMULATED, datetime.now(UTC))
        producer = KafkaProducer(bootstrap_servers=stack.settings.bootstrap_servers)
        producer.send(RAW, key=station.encode(), value=faulty.to_json(), headers=faulty_headers).get(60)
        producer.close()
        expect(frame.locator("#toasts [data-kind=anomaly]")).to_contain_text(station)
        expect(frame.locator("#anomalies > li").first).to_contain_text(row["station"]["name"])
        expect(frame.locator(f"#map .marker.flagged[data-id='{station}']")).to_have_count(1)
        page.screenshot(path=str(pictures / "airflow-suspect.png"))
        for name in ("Station", "Anomalies", "Models", "System"):
            frame.get_by_role("link", name=name, exact=True).click()
            expect(frame.locator("#state.ok, #state.degraded, #state.failing")).to_be_visible()
            expect(frame.locator(".js-plotly-plot, .chart .nothing").first).to_be_visible()
            page.screenshot(path=str(pictures / f"airflow-{name.lower()}.png"))


def test_features_match_an_independent_computation(stack: RunningStack) -> None:
    settle(stack)
    assert_features_match_the_oracle(stack)


def test_simulated_guidance_is_published_and_marked(stack: RunningStack) -> None:
    assert stack.run_dag("ingest_guidance")["state"] == "success"

    def stored() -> list[dict[str, Any]]:
        response = stack.get("/weatherglass/guidance/jfk")  # 503 until the sink has stored it
        return response.json()["models"] if response.ok else []

    guidance = until("guidance in the store", stored, interval=ASK_SECONDS)
    assert {run["simulated"] for run in guidance} == {True}


@pytest.mark.parametrize("topic", SCHEMAS)
def test_every_record_matches_its_published_schema(stack: RunningStack, topic: str) -> None:
    schema = json.loads((DOCS / "schemas" / f"{SCHEMAS[topic]}.json").read_text())
    validator = jsonschema.Draft202012Validator(schema)
    records = stack.records(topic)
    assert records
    for record in records:
        validator.validate(json.loads(record.value))
        assert dict(record.headers)["schema"].decode() == f"{SCHEMAS[topic]}/1"


def test_every_observation_has_at_most_one_prediction(stack: RunningStack) -> None:
    predictions = Counter(
        (prediction["station_id"], prediction["timestamp"])
        for prediction in (json.loads(record.value) for record in stack.records(PREDICTIONS))
    )
    assert predictions
    assert set(predictions.values()) == {1}


def test_invalid_records_are_rejected_and_the_stream_continues(stack: RunningStack) -> None:
    now = datetime.now(UTC)
    station = stack.stations()[0]
    values = {"temperature": 11.0, "humidity": 50, "pressure": 1010, "wind_speed": 2.0, "wind_direction": 180}

    def message(time: datetime, **changed: object) -> bytes:
        return json.dumps({"station_id": station, "timestamp": iso(time), **values, **changed}).encode()

    invalid = [
        b"\xff\xfe\x00",
        b"not json",
        message(now)[:40],
        message(now, temperature="warm"),
        message(now).replace(b"11.0", b"NaN"),
        message(now + timedelta(days=365)),
        message(now - timedelta(days=3650)),
        json.dumps({"timestamp": iso(now), **values}).encode(),
    ]
    newest = max(row["timestamp"] for row in observations(stack))
    unknown = message(newest, station_id="unknown-station")
    producer = KafkaProducer(bootstrap_servers=stack.settings.bootstrap_servers)
    for value in [*invalid, unknown]:
        producer.send(RAW, value, key=station.encode()).get(60)
    producer.close()

    def rejected() -> set[bytes]:
        return {record.value for record in stack.records(REJECTED)} & set(invalid)

    until("the invalid records on weather-rejected", lambda: rejected() == set(invalid), interval=ASK_SECONDS)
    assert all({"reason", "topic", "partition", "offset"} <= dict(r.headers).keys() for r in stack.records(REJECTED))
    until(
        "a prediction for the unknown station",
        lambda: any(
            json.loads(record.value)["station_id"] == "unknown-station" for record in stack.records(PREDICTIONS)
        ),
    )
    assert stack.api("/health") is not None


def test_own_stations_have_predictions(stack: RunningStack) -> None:
    """One sends to the API in Airflow, with its token instead of a login, the other one is a console."""
    tokens, now = StationTokens(stack.settings), datetime.now(UTC).replace(microsecond=0)
    for station in ("garden", "roof"):
        add_own_station(stack.settings, station)
    secrets = {station: tokens.add(station, [station], now) for station in ("garden", "roof")}
    values = {"temperature": 11.0, "humidity": 50, "pressure": 1010, "wind_speed": 2.0, "wind_direction": 180}
    records = [{"station_id": "garden", "timestamp": iso(now - timedelta(minutes=age)), **values} for age in range(3)]
    bearer = {"Authorization": f"Bearer {secrets['garden']}"}
    response = requests.post(f"{stack.base}/weatherglass/observations", json=records, headers=bearer, timeout=60)
    assert (response.status_code, response.json()) == (202, {"accepted": 3, "problems": []})
    form = {"ID": "roof", "PASSWORD": secrets["roof"], "dateutc": "now", "tempf": "50", "humidity": "50"}
    console = f"http://{LOOPBACK}:{stack.settings.station_listener_port}/weatherstation/updateweatherstation.php"
    assert requests.get(console, form, timeout=60).text.strip() == "success"
    for station in secrets:
        prediction = until(
            f"a prediction for {station}",
            lambda name=station: stack.api(f"/predictions/{name}"),  # type: ignore[misc]
            interval=ASK_SECONDS,
        )
        assert (prediction["source"], prediction["live"]) == (Origin.OWN, True)
        assert prediction["station"]["name"] == station.title()
    logs = [file for file in (stack.settings.state_dir / "logs").rglob("*.log*") if file.is_file()]
    assert logs
    for secret in secrets.values():
        assert [file for file in logs if secret.encode() in file.read_bytes()] == []


def test_the_monitor_opens_and_resolves_an_alert_for_each_fault(stack: RunningStack) -> None:
    """A run fails, Airflow's triggerer hangs, and the Ray head is killed while the launcher cannot restart it."""
    expected = {("dag_failed", "replay_rejected"), ("airflow_unhealthy", "triggerer"), ("ray_unreachable", "pipeline")}

    def open_alerts() -> set[tuple[str, str]]:
        return {(alert["rule"], alert["subject"]) for alert in stack.api("/alerts?open=true")["alerts"]}

    assert stack.run_dag("replay_rejected", reasons=["unknown"])["state"] == "failed"
    with stack.suspended("airflow triggerer"):
        (gcs,) = stack.programs("gcs_server")
        gcs.kill()
        until("an alert for each fault", lambda: expected <= open_alerts(), interval=ASK_SECONDS)
    assert stack.run_dag("replay_rejected")["state"] == "success"
    until("the alerts to be resolved", lambda: not expected & open_alerts(), interval=ASK_SECONDS)
    until("all components to be healthy", stack.is_healthy, interval=ASK_SECONDS)


def test_a_killed_driver_is_restarted_and_a_user_can_stop_and_start_it(stack: RunningStack) -> None:
    """A crash is followed by a restart; marking the run failed stops the driver, clearing it starts the driver."""
    folder = JobFolder(stack.settings.jobs_dir / "stream_features")

    def works_after(start: dict[str, Any]) -> bool:
        """Whether a later start of the driver has reported progress."""
        now, progress = folder.started(), folder.last_progress() or {}
        return now["start_id"] != start["start_id"] and folder.alive() and progress.get("at", "") > now["at"]

    crashed = folder.started()
    os.killpg(crashed["pgid"], signal.SIGKILL)
    until("progress of a new driver after the crash", lambda: works_after(crashed))
    stopped = folder.started()
    stack.mark_failed("stream_features")
    until("the driver to stop", lambda: not folder.alive())
    assert folder.outcome().ok
    stack.clear("stream_features")
    until("progress of a new driver after the clearing", lambda: works_after(stopped))
    until("all components to be healthy", stack.is_healthy, interval=ASK_SECONDS)


def test_a_restarted_pipeline_continues_and_loses_nothing(stack: RunningStack) -> None:
    before = newest_predictions(stack)
    stack.interrupt()
    stack.up()
    stack.pause("ingest_observations", False)

    def moved_on() -> bool:
        now = newest_predictions(stack)
        return bool(now) and all(now[station]["timestamp"] > before[station]["timestamp"] for station in before)

    until("a prediction for a newer observation of each station", moved_on, interval=ASK_SECONDS)
    settle(stack)
    assert_features_match_the_oracle(stack)
    test_every_observation_has_at_most_one_prediction(stack)
