"""`POST /observations` with a real broker: what arrives on the topic, and every kind of refusal."""

from __future__ import annotations

import gzip
import json
import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import HTTPException
from fastapi.testclient import TestClient

from producer import own_stations, publish
from producer.own_stations import ProblemCode
from producer.topic_bootstrap import bootstrap_topics
from tests.conftest import TestBroker
from tests.own_station_table import settings_with_own_stations
from tests.producer.topic_reader import TopicReader, reading
from tests.weatherglass.api.conftest import NOW, clock
from weatherglass.api import record_publisher as limits
from weatherglass.api.app import create_app
from weatherglass.api.login_throttle import MAX_FAILURES
from weatherglass.api.routes.publish_observations import EXAMPLE, MAX_BODY_BYTES
from weatherglass.record_headers import Origin, origin
from weatherglass.records import Observation, iso
from weatherglass.settings import Settings
from weatherglass.station_tokens import StationTokens

pytestmark = pytest.mark.integration
PASSKEY = "3BB6B2D81F4A9C1D5E0F7A6B8C9D0E1F"


@pytest.fixture
def settings(tmp_path: Path, broker: TestBroker) -> Settings:
    return settings_with_own_stations(tmp_path, broker)


@pytest.fixture
def token(settings: Settings) -> str:
    return StationTokens(settings).add("garden", ["garden"], NOW)


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    """A client of an app whose other routes refuse every request."""
    with TestClient(create_app(settings, denied, clock), raise_server_exceptions=False) as client:
        yield client


def denied() -> None:
    raise HTTPException(401)


@pytest.fixture
def reader(broker: TestBroker) -> Iterator[TopicReader]:
    bootstrap_topics(broker.settings, log=lambda _: None)
    with reading(broker.bootstrap_servers) as reader:
        yield reader


def record(**changed: Any) -> dict[str, Any]:
    return {**EXAMPLE, "station_id": "garden", "timestamp": iso(NOW), **changed}


def post(client: TestClient, token: str, content: Any, **headers: str) -> httpx.Response:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return client.post("/observations", content=body, headers={"Authorization": f"Bearer {token}", **headers})


def test_a_record_is_on_the_topic_when_the_response_arrives(
    client: TestClient, token: str, reader: TopicReader
) -> None:
    response = post(client, token, record())
    assert reader.count() == 1
    assert (response.status_code, response.json()) == (202, {"accepted": 1, "problems": []})
    (message,) = reader.records()
    assert Observation.from_json(message.value) == Observation(**record())
    assert (message.key, origin(message.headers)) == (b"garden", Origin.OWN)


def test_the_good_records_of_a_batch_are_published_and_the_others_named(
    client: TestClient, token: str, reader: TopicReader
) -> None:
    batch = [
        record(),
        record(temperature="3.2"),
        record(timestamp=iso(NOW - timedelta(minutes=1))),
        record(station_id="roof"),
        record(station_id="unknown"),
        7,
    ]
    text = json.dumps(batch)[:-1] + ', {"station_id": "garden", "station_id": "roof"}, ' + "9" * 5000 + ", NaN]"
    response = post(client, token, text.encode())
    assert response.status_code == 202
    assert response.json()["accepted"] == 2
    assert [(problem["index"], problem["code"], problem["field"]) for problem in response.json()["problems"]] == [
        (1, ProblemCode.WRONG_TYPE, "temperature"),
        (3, ProblemCode.FORBIDDEN_STATION, "station_id"),
        (4, ProblemCode.FORBIDDEN_STATION, "station_id"),
        (5, ProblemCode.WRONG_TYPE, None),
        (6, ProblemCode.REPEATED_NAME, None),
        (7, ProblemCode.WRONG_TYPE, None),
        (8, ProblemCode.WRONG_TYPE, None),
    ]
    assert [observation.timestamp for observation in reader.observations()] == [NOW - timedelta(minutes=1), NOW]


@pytest.mark.parametrize("content", [[], {}, [{}], 7, None, [record(temperature=451)], record(station_id="roof")])
def test_without_a_valid_record_nothing_is_published(
    client: TestClient, token: str, reader: TopicReader, content: Any
) -> None:
    response = post(client, token, content)
    assert (response.status_code, response.json()["code"]) == (422, "no_valid_record")
    assert len(response.json()["problems"]) == (0 if content == [] else 1)
    assert reader.count() == 0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"temperature=3.2",
        b"\xff\xfe{}",
        json.dumps(record()).encode("utf-16"),
        gzip.compress(json.dumps(record()).encode()),
        b"[" * 100_000,
        json.dumps(record()).encode() + b"{}",
    ],
)
def test_a_body_that_is_not_json_is_refused(client: TestClient, token: str, reader: TopicReader, body: bytes) -> None:
    response = post(client, token, body)
    assert (response.status_code, response.json()["code"]) == (422, "malformed_json")
    assert reader.count() == 0


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer wrong", "Basic {token}", "Bearer {token}x", "{token}"])
def test_without_the_token_nothing_is_published(
    client: TestClient, token: str, reader: TopicReader, header: str | None
) -> None:
    headers = {} if header is None else {"Authorization": header.format(token=token)}
    response = client.post("/observations", json=record(), headers=headers)
    assert (response.status_code, response.json()["code"]) == (401, "unauthorized")
    assert response.headers["WWW-Authenticate"] == "Bearer"
    response = client.post(f"/observations?token={token}&access_token={token}", json=record())
    assert response.status_code == 401
    assert reader.count() == 0


def test_the_token_opens_nothing_else(client: TestClient, token: str) -> None:
    bearer = {"Authorization": f"Bearer {token}"}
    paths = client.app.openapi()["paths"]  # type: ignore[attr-defined]
    for path, methods in paths.items():
        for method in methods:
            if (path, method) != ("/observations", "post"):
                address = path.replace("{station_id}", "garden").replace("{anomaly_id}", "1").replace("{alert_id}", "1")
                assert client.request(method, address, headers=bearer).status_code == 401, (method, path)


def test_a_removed_token_is_refused_at_once(client: TestClient, settings: Settings, token: str) -> None:
    assert post(client, token, record()).status_code == 202
    StationTokens(settings).remove("garden")
    assert post(client, token, record()).status_code == 401


def test_guesses_are_limited_and_do_not_stop_a_generated_token(
    client: TestClient, settings: Settings, token: str
) -> None:
    StationTokens(settings).add("roof", ["roof"], NOW, PASSKEY)
    assert post(client, PASSKEY, record(station_id="roof")).status_code == 202
    statuses = [post(client, f"wrong-{number}", record()).status_code for number in range(MAX_FAILURES + 1)]
    assert statuses == [401] * MAX_FAILURES + [429]
    refused = post(client, PASSKEY, record(station_id="roof"))
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
    assert int(refused.headers["Retry-After"]) > 0
    assert post(client, token, record()).status_code == 202


def test_sending_a_record_again_gives_the_same_response_and_an_equal_record(
    client: TestClient, token: str, reader: TopicReader
) -> None:
    responses = [post(client, token, [record(), record(timestamp=iso(NOW - timedelta(minutes=1)))]) for _ in range(2)]
    assert [response.json() for response in responses] == [{"accepted": 2, "problems": []}] * 2
    assert len(set(map(repr, reader.observations()))) == 2


def test_a_large_body_and_a_large_batch_are_refused(client: TestClient, token: str, reader: TopicReader) -> None:
    large = json.dumps(record()).encode() + b" " * MAX_BODY_BYTES
    for content in (large, iter([large])):  # the second one is sent in chunks, without its length
        headers = {"Authorization": f"Bearer {token}"}
        response = client.post("/observations", content=content, headers=headers)  # type: ignore[arg-type]
        assert (response.status_code, response.json()["code"]) == (413, "too_large")
    many = post(client, token, [0] * (limits.MAX_RECORDS + 1))
    assert (many.status_code, many.json()["code"]) == (413, "too_large")
    assert reader.count() == 0


def test_a_token_has_a_limited_rate(
    settings: Settings, token: str, monkeypatch: pytest.MonkeyPatch, reader: TopicReader
) -> None:
    monkeypatch.setattr(limits, "BURST", 3)
    monkeypatch.setattr(limits, "PER_SECOND", 0.001)
    other = StationTokens(settings).add("roof", ["roof"], NOW)
    with TestClient(create_app(settings, clock=clock)) as client:
        assert post(client, token, [record()] * 2).status_code == 202
        refused = post(client, token, [record()] * 2)
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
        assert int(refused.headers["Retry-After"]) > 0
        assert post(client, token, record()).status_code == 202
        assert post(client, other, [record(station_id="roof")] * 3).status_code == 202
    assert reader.count() == 6


def test_without_a_broker_the_sender_is_asked_to_try_again(
    settings: Settings, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "ACKNOWLEDGEMENT_TIMEOUT_SECONDS", 2.0)
    lost = Settings(**{**settings.model_dump(), "kafka_bootstrap": "127.0.0.1:1"})
    with TestClient(create_app(lost, clock=clock)) as client:
        response = post(client, token, record())
        assert (response.status_code, response.json()["code"]) == (503, "broker_unavailable")
        assert int(response.headers["Retry-After"]) >= own_stations.RETRY_SECONDS - 1


def test_damaged_tokens_accept_nothing(client: TestClient, settings: Settings, token: str) -> None:
    StationTokens(settings).file.write_text("[")
    response = post(client, token, record())
    assert (response.status_code, response.json()["code"]) == (503, "tokens_unavailable")


def test_no_token_is_logged(
    client: TestClient, token: str, settings: Settings, caplog: pytest.LogCaptureFixture, reader: TopicReader
) -> None:
    caplog.set_level(logging.DEBUG)
    for content in (record(), record(station_id=token), b"{"):
        post(client, token, content)
    post(client, f"{token}-wrong", record())
    StationTokens(settings).file.write_text("[")
    post(client, token, record())
    own = [entry for entry in caplog.records if not entry.name.startswith(("httpx", "httpcore"))]
    assert [entry for entry in own if token in entry.getMessage()] == []
