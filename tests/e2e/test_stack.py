"""One stack, started as `make up` does, looked at, fed rubbish, stopped and started again.

The tests of this file share the stack and run in order: the later ones look at what the earlier ones left.
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
from kafka import KafkaProducer
from playwright.sync_api import expect

from producer.sources import observed_stations
from tests.conftest import make_settings
from tests.e2e.running import RunningStack, replay_without_a_gap, until
from tests.oracle import Features, differences, expected_features, time_of
from weatherglass.cli.generate_docs import DOCS
from weatherglass.jobs.folder import JobFolder
from weatherglass.records import RECORDS, VARIABLES, Method, Observation, Origin, headers, iso
from weatherglass.settings import Source
from weatherglass.stations import known_stations
from weatherglass.topics import (
    FEATURES,
    HOURS,
    INFERENCE_GROUP,
    PREDICTIONS,
    RAW,
    REJECTED,
    SPARK_GROUP,
    STORE_GROUP,
)

pytestmark = [pytest.mark.e2e, pytest.mark.integration, pytest.mark.timeout(1800)]

SCHEMAS = {RAW: "observation", FEATURES: "window-features", HOURS: "hour", PREDICTIONS: "prediction"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    folder = tmp_path_factory.mktemp("stack")
    gapless = replay_without_a_gap(datetime.now(UTC))
    settings = make_settings(folder / "state", source=Source.REPLAY, train_full_model=False, **gapless)
    running = RunningStack(settings, folder)
    try:
        running.up()
        yield running
    finally:
        running.down()
        for process in running.processes():
            process.kill()


def newest_answers(stack: RunningStack) -> dict[str, Any]:
    """The latest prediction of each station of the replay in the API; empty while one is missing."""
    names = [station.station_id for station in observed_stations(stack.settings)]
    found = {name: stack.api(f"/predictions/{name}") for name in names}
    return found if all(found.values()) else {}


def settle(stack: RunningStack) -> None:
    """Stop ingestion, and wait until everything published has been worked off."""
    stack.pause("ingest_observations", True)
    for group, topic in ((SPARK_GROUP, RAW), (INFERENCE_GROUP, FEATURES), (STORE_GROUP, PREDICTIONS)):
        until(f"{group} to read {topic} to its end", lambda g=group, t=topic: stack.lag(g, t) == 0)  # type: ignore[misc]


def observed(stack: RunningStack) -> list[dict[str, Any]]:
    """What lies on `weather-raw` and was not laid aside, in the order of its offsets: every bit of it is usable."""
    aside = {origin(record) for record in stack.records(REJECTED)}
    kept = [r for r in stack.records(RAW) if (RAW, r.partition, r.offset) not in aside]
    kept.sort(key=lambda record: (record.partition, record.offset))
    return [{**RECORDS["observation"].from_json(r.value).model_dump(), "offset": r.offset} for r in kept]


def origin(rejected: Any) -> tuple[str, int, int]:
    """Topic, partition and offset from which a record was laid aside."""
    told = dict(rejected.headers)
    return told["topic"].decode(), int(told["partition"]), int(told["offset"])


def last_windows(stack: RunningStack) -> Features:
    """The last record of each (station, window end) on `weather-features`."""
    records = sorted(stack.records(FEATURES), key=lambda record: (record.partition, record.offset))
    windows = (json.loads(record.value) for record in records)
    return {(w["station_id"], time_of(w["window_end"])): w["aggregated_features"] for w in windows}


def assert_features_are_the_oracles(stack: RunningStack) -> None:
    elevations = {name: at.elevation for name, at in known_stations().items() if at.elevation is not None}
    expected, found = expected_features(observed(stack), elevations), last_windows(stack)
    assert expected
    assert set(found) == set(expected)
    for window in [*expected.values(), *found.values()]:
        del window["checks"]["climate"]  # known from the first start of the driver after the history was prepared
    different = [line for key in expected for line in differences(found[key], expected[key], str(key))]
    assert not different, f"{len(different)} values differ, among them {different[:3]}"


def test_each_station_has_a_forecast(stack: RunningStack) -> None:
    answers = until("a prediction for each station", lambda: newest_answers(stack))
    assert set(stack.stations()) == set(answers)
    assert Method.MODEL in {answer["method"] for answer in answers.values()}
    for answer in answers.values():
        assert not answer["live"]
        issued = time_of(answer["timestamp"])
        assert answer["leads"]
        for lead in answer["leads"]:
            assert issued < time_of(lead["valid_time"]) <= issued + timedelta(hours=24)
            for variable in VARIABLES:
                assert lead[variable]["lower"] <= lead[variable]["value"] <= lead[variable]["upper"]


def test_status_is_green(stack: RunningStack) -> None:
    assert stack.is_green()
    assert stack.get("/weatherglass/health").status_code == 200


def test_the_watcher_sees_every_part(stack: RunningStack) -> None:
    wanted = (
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
        shown = stack.get("/weatherglass/metrics").text
        return [line for line in wanted if line not in shown]

    until("the watcher to measure every part", lambda: not missing())


def test_topics_are_made_once(stack: RunningStack) -> None:
    assert stack.run_dag("bootstrap_topics")["state"] == "success"


def test_a_poll_by_hand_brings_new_predictions(stack: RunningStack) -> None:
    stack.pause("ingest_observations", False)
    before = newest_answers(stack)

    def moved_on() -> bool:
        assert stack.run_dag("ingest_observations")["state"] == "success"
        now = newest_answers(stack)
        return all(now[station]["timestamp"] > before[station]["timestamp"] for station in before)

    until("an answer to a newer observation of each station", moved_on)


def test_the_dashboard_within_airflow_shows_it_and_what_is_new(stack: RunningStack, pictures: Path) -> None:
    """A fault is published, and is on the map, in the lists and a notification, without a reload."""
    settle(stack)  # a poll that came before the fault would make it a late one
    rows = {row["station"]["station_id"]: row for row in stack.api("/stations")["stations"]}
    with stack.browsing() as page:
        page.locator("a[href='/plugin/weatherglass']").first.click()
        frame = page.frame_locator("iframe[title=Weather]")
        expect(frame.locator("#stations tr")).to_have_count(len(rows))
        expect(frame.locator("#origin")).to_have_text("Replayed")
        expect(frame.locator("#state.ok, #state.degraded")).to_be_visible()
        expect(frame.locator("#glance")).to_contain_text(f"{len(rows)} of {len(rows)}")  # though what they say is old
        page.screenshot(path=str(pictures / "airflow-overview.png"))
        station, row = next((name, row) for name, row in sorted(rows.items()) if row["newest"])
        newest = stack.api(f"/predictions/{station}")
        broken = Observation(
            **{name: row["newest"][name] for name in ("humidity", "pressure", "wind_speed", "wind_direction")},
            station_id=station,
            timestamp=time_of(newest["timestamp"]) + timedelta(minutes=1),
            temperature=row["newest"]["temperature"] + 30,
        )
        about = headers(broken, Origin.SIMULATED, datetime.now(UTC))
        producer = KafkaProducer(bootstrap_servers=stack.settings.bootstrap_servers)
        producer.send(RAW, key=station.encode(), value=broken.to_json(), headers=about).get(60)
        producer.close()
        expect(frame.locator("#toasts")).to_contain_text(f"Suspect reading: {station}")
        expect(frame.locator("#suspects > li").first).to_contain_text(row["station"]["name"])
        expect(frame.locator(f"#map .place.suspect[data-id='{station}']")).to_have_count(1)
        page.screenshot(path=str(pictures / "airflow-suspect.png"))
        for name in ("Station", "Anomalies", "Models", "System"):
            frame.get_by_role("link", name=name, exact=True).click()
            expect(frame.locator("#state.ok, #state.degraded, #state.failing")).to_be_visible()
            expect(frame.locator(".js-plotly-plot, .chart .nothing").first).to_be_visible()
            page.screenshot(path=str(pictures / f"airflow-{name.lower()}.png"))


def test_features_are_those_of_an_independent_computation(stack: RunningStack) -> None:
    settle(stack)
    assert_features_are_the_oracles(stack)


@pytest.mark.parametrize("topic", SCHEMAS)
def test_every_record_fits_its_published_schema(stack: RunningStack, topic: str) -> None:
    schema = json.loads((DOCS / "schemas" / f"{SCHEMAS[topic]}.json").read_text())
    validator = jsonschema.Draft202012Validator(schema)
    records = stack.records(topic)
    assert records
    for record in records:
        validator.validate(json.loads(record.value))
        assert dict(record.headers)["schema"].decode() == f"{SCHEMAS[topic]}/1"


def test_an_input_is_answered_once(stack: RunningStack) -> None:
    answered = Counter(
        (prediction["station_id"], prediction["timestamp"])
        for prediction in (json.loads(record.value) for record in stack.records(PREDICTIONS))
    )
    assert answered
    assert set(answered.values()) == {1}


def test_rubbish_is_laid_aside_and_the_stream_goes_on(stack: RunningStack) -> None:
    now = datetime.now(UTC)
    station = stack.stations()[0]
    good = {"temperature": 11.0, "humidity": 50, "pressure": 1010, "wind_speed": 2.0, "wind_direction": 180}

    def message(time: datetime, **changed: object) -> bytes:
        return json.dumps({"station_id": station, "timestamp": iso(time), **good, **changed}).encode()

    rubbish = [
        b"\xff\xfe\x00",
        b"not json",
        message(now)[:40],
        message(now, temperature="warm"),
        message(now).replace(b"11.0", b"NaN"),
        message(now + timedelta(days=365)),
        message(now - timedelta(days=3650)),
        json.dumps({"timestamp": iso(now), **good}).encode(),
    ]
    newest = max(row["timestamp"] for row in observed(stack))
    unknown = message(newest, station_id="nobody-knows-me")
    producer = KafkaProducer(bootstrap_servers=stack.settings.bootstrap_servers)
    for value in [*rubbish, unknown]:
        producer.send(RAW, value, key=station.encode()).get(60)
    producer.close()

    def laid_aside() -> set[bytes]:
        return {record.value for record in stack.records(REJECTED)} & set(rubbish)

    until("the rubbish in weather-rejected", lambda: laid_aside() == set(rubbish))
    assert all({"reason", "topic", "partition", "offset"} <= dict(r.headers).keys() for r in stack.records(REJECTED))
    until(
        "an answer for a station that nobody knows",
        lambda: any(
            json.loads(record.value)["station_id"] == "nobody-knows-me" for record in stack.records(PREDICTIONS)
        ),
    )
    assert stack.api("/health") is not None


def test_the_watcher_tells_each_fault_by_its_name_and_when_it_is_over(stack: RunningStack) -> None:
    """A run fails, Airflow's triggerer hangs, the Ray head is lost, and `make up` cannot put another in its place."""
    wanted = {("dag_failed", "replay_rejected"), ("airflow_unwell", "triggerer"), ("ray_unreachable", "pipeline")}

    def open_alerts() -> set[tuple[str, str]]:
        return {(alert["rule"], alert["subject"]) for alert in stack.api("/alerts?open=true")["alerts"]}

    assert stack.run_dag("replay_rejected", reasons=["whatever"])["state"] == "failed"
    with stack.held("airflow triggerer"):
        (gcs,) = stack.programs("gcs_server")
        gcs.kill()
        until("an alert for each fault", lambda: wanted <= open_alerts())
    assert stack.run_dag("replay_rejected")["state"] == "success"
    until("the alerts to be over", lambda: not wanted & open_alerts())
    until("everything to be green again", stack.is_green)


def test_a_killed_driver_is_replaced_and_a_user_stops_and_starts_it(stack: RunningStack) -> None:
    """What a user does in Airflow's web UI: watch a crash heal, mark the run failed, clear it."""
    folder = JobFolder(stack.settings.jobs_dir / "stream_features")

    def works_after(start: dict[str, Any]) -> bool:
        """Whether a later start of the driver has told its first progress."""
        now, told = folder.started(), folder.last_progress() or {}
        return now["start_id"] != start["start_id"] and folder.alive() and told.get("at", "") > now["at"]

    crashed = folder.started()
    os.killpg(crashed["pgid"], signal.SIGKILL)
    until("a new driver to work after the crash", lambda: works_after(crashed))
    stopped = folder.started()
    stack.mark_failed("stream_features")
    until("the driver to stop", lambda: not folder.alive())
    assert folder.outcome().ok
    stack.clear("stream_features")
    until("a new driver to work after the clearing", lambda: works_after(stopped))
    until("everything to be green again", stack.is_green)


def test_a_stack_stopped_and_started_goes_on_and_loses_nothing(stack: RunningStack) -> None:
    before = newest_answers(stack)
    stack.interrupt()
    stack.up()
    stack.pause("ingest_observations", False)

    def moved_on() -> bool:
        now = newest_answers(stack)
        return bool(now) and all(now[station]["timestamp"] > before[station]["timestamp"] for station in before)

    until("an answer to a newer observation of each station", moved_on)
    settle(stack)
    assert_features_are_the_oracles(stack)
    test_an_input_is_answered_once(stack)
