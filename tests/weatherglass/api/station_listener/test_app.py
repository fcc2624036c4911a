"""The endpoints for consumer stations with a real broker: what arrives on the topic, refusals, and what is logged."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from starlette.testclient import TestClient

from producer.topic_bootstrap import bootstrap_topics
from tests.conftest import TestBroker
from tests.own_station_table import settings_with_own_stations
from tests.producer.topic_reader import TopicReader, reading
from tests.weatherglass.api.conftest import NOW, clock
from weatherglass.api.login_throttle import MAX_FAILURES
from weatherglass.api.station_listener.app import MAX_FORM_BYTES, create_listener
from weatherglass.record_headers import Origin, origin
from weatherglass.records import Observation, iso
from weatherglass.settings import Settings
from weatherglass.station_tokens import StationTokens

pytestmark = pytest.mark.integration
PASSKEY = "3BB6B2D81F4A9C1D5E0F7A6B8C9D0E1F"
WEATHER_UNDERGROUND = "/weatherstation/updateweatherstation.php"
ECOWITT = "/data/report/"
VALUES = {"tempf": "50", "humidity": "81", "windspeedmph": "10", "winddir": "220", "baromin": "29.92"}


@pytest.fixture
def settings(tmp_path: Path, broker: TestBroker) -> Settings:
    return settings_with_own_stations(tmp_path, broker)


@pytest.fixture
def tokens(settings: Settings) -> StationTokens:
    return StationTokens(settings)


@pytest.fixture
def password(tokens: StationTokens) -> str:
    """The generated token of `garden`; `roof` has the PASSKEY of an Ecowitt station."""
    tokens.add("roof", ["roof"], NOW, PASSKEY)
    return tokens.add("garden", ["garden"], NOW)


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_listener(settings, clock)) as client:
        yield client


@pytest.fixture
def reader(broker: TestBroker) -> Iterator[TopicReader]:
    bootstrap_topics(broker.settings, log=lambda _: None)
    with reading(broker.bootstrap_servers) as reader:
        yield reader


def logged(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """What the listener has logged: the levels of other loggers depend on the tests that ran before."""
    return [entry for entry in caplog.records if entry.name.startswith("weatherglass")]


def update(client: TestClient, password: str, **changed: str) -> httpx.Response:
    """A request of Weather Underground's protocol, without the fields that are changed to nothing."""
    fields = {"ID": "garden", "PASSWORD": password, "dateutc": "now", "action": "updateraw", **VALUES, **changed}
    return client.get(WEATHER_UNDERGROUND, params={name: value for name, value in fields.items() if value})


def report(client: TestClient, passkey: str = PASSKEY, **changed: str) -> httpx.Response:
    """A request of Ecowitt's protocol, without the fields that are changed to nothing."""
    fields = {"PASSKEY": passkey, "dateutc": f"{NOW:%Y-%m-%d %H:%M:%S}", "baromabsin": "29.5", **VALUES, **changed}
    return client.post(ECOWITT, data={name: value for name, value in fields.items() if value})


def test_a_reading_of_weather_underground_is_on_the_topic_when_the_response_arrives(
    client: TestClient, password: str, reader: TopicReader
) -> None:
    response = update(client, password)
    assert (response.status_code, response.text.strip()) == (200, "success")
    (message,) = reader.records()
    observation = Observation.from_json(message.value)
    assert (message.key, origin(message.headers)) == (b"garden", Origin.OWN)
    assert (observation.timestamp, observation.temperature, observation.wind_speed) == (NOW, 10.0, 4.47)
    assert observation.pressure == pytest.approx(998.9, abs=0.1)


@pytest.mark.parametrize("path", [ECOWITT, ECOWITT.rstrip("/")])
def test_a_reading_of_ecowitt_is_on_the_topic_when_the_response_arrives(
    client: TestClient, password: str, reader: TopicReader, path: str
) -> None:
    response = client.post(path, data={"PASSKEY": PASSKEY, "dateutc": "now", "tempf": "50", "baromabsin": "29.5"})
    assert response.status_code == 200
    (observation,) = reader.observations()
    assert (observation.station_id, observation.temperature) == ("roof", 10.0)
    assert observation.pressure == pytest.approx(999.0, abs=0.1)


def test_the_same_reading_again_is_an_equal_record(client: TestClient, password: str, reader: TopicReader) -> None:
    assert [report(client).status_code for _ in range(2)] == [200, 200]
    assert len(set(map(repr, reader.observations()))) == 1
    assert reader.count() == 2


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"PASSWORD": ""}, 422),
        ({"PASSWORD": "wrong-password-of-the-garden"}, 401),
        ({"PASSWORD": PASSKEY}, 422),  # of another station
        ({"ID": ""}, 422),
        ({"ID": "roof"}, 422),
        ({"ID": "new-york"}, 422),
        ({"dateutc": ""}, 422),
        ({"dateutc": "2026-01-05"}, 422),
        ({"dateutc": iso(NOW + timedelta(hours=1))[:-1]}, 422),
        ({"dateutc": "2000-01-01 00:00:00"}, 422),
        ({"action": "delete"}, 422),
        (dict.fromkeys(VALUES, ""), 422),
    ],
)
def test_a_bad_request_publishes_nothing(
    client: TestClient, password: str, reader: TopicReader, changed: dict[str, str], status: int
) -> None:
    response = update(client, password, **changed)
    assert response.status_code == status, response.text
    assert "success" not in response.text
    assert response.text.startswith("INVALIDPASSWORDID") is (status == 401)
    assert reader.count() == 0


def test_a_bad_report_of_ecowitt_publishes_nothing(
    client: TestClient, tokens: StationTokens, password: str, reader: TopicReader
) -> None:
    network = tokens.add("network", ["garden", "roof"], NOW)
    every = tokens.add("every", ["*"], NOW)
    responses = {
        "missing": report(client, ""),
        "wrong": report(client, PASSKEY[::-1]),
        "lower case": report(client, PASSKEY.lower()),
        "two stations": report(client, network),
        "all stations": report(client, every),
        "in the query": client.post(f"{ECOWITT}?PASSKEY={PASSKEY}&dateutc=now&tempf=50"),
        "no time": report(client, dateutc=""),
        "no form": client.post(ECOWITT, content=b"\xff\x00{}"),
    }
    statuses = {name: response.status_code for name, response in responses.items()}
    assert statuses == {
        **dict.fromkeys(("missing", "in the query", "no time", "no form"), 422),
        **dict.fromkeys(("wrong", "lower case"), 401),
        **dict.fromkeys(("two stations", "all stations"), 403),
    }
    assert reader.count() == 0


def test_a_broken_sensor_does_not_affect_the_others_and_is_reported_until_it_works(
    client: TestClient, password: str, reader: TopicReader, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "weatherglass")
    for temperature in ("-9999", "-9999", "50"):
        assert update(client, password, tempf=temperature).status_code == 200
    assert [observation.temperature for observation in reader.observations()] == [None, None, 10.0]
    entries = [(entry.levelname, "tempf" in entry.getMessage()) for entry in logged(caplog)]
    assert entries == [("WARNING", True), ("INFO", False)]


def test_a_station_that_the_token_does_not_permit_is_not_logged(
    client: TestClient, password: str, reader: TopicReader, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "weatherglass")
    assert update(client, password, dateutc="2000-01-01 00:00:00").status_code == 422
    for other in ("roof", "any text"):
        assert update(client, password, ID=other).status_code == 422
    (entry,) = logged(caplog)
    assert "garden" in entry.getMessage()


def test_texts_that_are_not_a_station_are_not_logged_raw_and_share_an_entry(
    client: TestClient, tokens: StationTokens, reader: TopicReader, caplog: pytest.LogCaptureFixture
) -> None:
    """A token for a prefix permits any text that begins with it."""
    caplog.set_level(logging.INFO, "weatherglass")
    network = tokens.add("network", ["net-*"], NOW)
    for other in ("net-\nforged", "net-\nforged", "net-b"):
        assert update(client, network, ID=other).status_code == 422
    messages = [entry.getMessage() for entry in logged(caplog)]
    assert len(messages) == 2
    for message in messages:
        assert "network" in message.partition(":")[0]
        assert "\n" not in message


def test_only_these_paths_and_methods_exist(client: TestClient, password: str, reader: TopicReader) -> None:
    query = {"ID": "garden", "PASSWORD": password, "dateutc": "now", **VALUES}
    for method in ("HEAD", "POST", "PUT", "DELETE", "OPTIONS"):
        assert client.request(method, WEATHER_UNDERGROUND, params=query).status_code == 405, method
    for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS"):
        assert client.request(method, ECOWITT, params={"PASSKEY": PASSKEY, "dateutc": "now"}).status_code == 405, method
    for path in ("/", "/docs", "/openapi.json", "/stations", "/observations", "/data/report/x", "/weatherstation"):
        assert {client.get(path).status_code, client.post(path).status_code} == {404}, path
    assert reader.count() == 0


def test_a_large_query_or_form_is_refused(client: TestClient, password: str, reader: TopicReader) -> None:
    assert update(client, password, softwaretype="x" * MAX_FORM_BYTES).status_code == 413
    assert report(client, model="x" * MAX_FORM_BYTES).status_code == 413
    assert report(client, model="x" * (MAX_FORM_BYTES // 2)).status_code == 200
    many = {f"f{number}": "1" for number in range(1000)}
    assert update(client, password, **many).status_code == 422
    assert reader.count() == 1


def test_guesses_are_limited_and_do_not_stop_a_generated_token(
    client: TestClient, password: str, reader: TopicReader
) -> None:
    statuses = [report(client, f"{number:032X}").status_code for number in range(MAX_FAILURES)]
    assert statuses == [401] * MAX_FAILURES
    for refused in (report(client, "F" * 32), report(client)):
        assert refused.status_code == 429
        assert int(refused.headers["Retry-After"]) > 0
    assert update(client, password).status_code == 200


def test_no_secret_is_logged_or_returned(
    client: TestClient, tokens: StationTokens, password: str, caplog: pytest.LogCaptureFixture, reader: TopicReader
) -> None:
    caplog.set_level(logging.DEBUG)
    wrong = "wrong-password-of-the-garden"
    responses = [
        update(client, password),
        update(client, password, ID="roof"),
        update(client, password, dateutc="never"),
        update(client, password, tempf="-9999"),
        update(client, wrong),
        report(client),
        report(client, dateutc=""),
    ]
    tokens.file.write_text("[")
    responses += [update(client, password), report(client)]
    assert [response.status_code for response in responses[-2:]] == [503, 503]
    own = "\n".join(entry.getMessage() for entry in caplog.records if not entry.name.startswith("httpx"))
    for secret in (password, wrong, PASSKEY):
        assert secret not in own
        assert [response.text for response in responses if secret in response.text] == []
