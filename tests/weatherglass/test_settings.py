"""Invalid settings raise an error with the variable and the allowed values."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from weatherglass.settings import load_settings
from weatherglass.settings_errors import SettingsError


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("WEATHERGLASS_AIRFLOW_PORT", "eighty", "integer"),
        ("WEATHERGLASS_AIRFLOW_PORT", "80", "1024"),
        ("WEATHERGLASS_POLL_MINUTES", "0", "1"),
        ("WEATHERGLASS_SOURCE", "unknown", "open-meteo"),
        ("WEATHERGLASS_KAGGLE_ZIP", "/missing/weather.zip", "file"),
        ("WEATHERGLASS_PAST_HORIZON_HOURS", "3", "WEATHERGLASS_BACKFILL_HOURS"),
        ("WEATHERGLASS_API_TOKEN", "fifteen letters", "16"),
        ("WEATHERGLASS_MQTT_URL", "mqtt://user:password@broker", "mqtt"),
        ("WEATHERGLASS_MQTT_URL", "broker:1883", "mqtt"),
        ("WEATHERGLASS_MQTT_URL", "mqtt://broker:99999", "65535"),
        ("WEATHERGLASS_MQTT_PASSWORD_FILE", "/missing/password", "file"),
        ("WEATHERGLASS_API_TOKEN", " " * 20, "16"),
        ("WEATHERGLASS_KAFKA_BOOTSTRAP", "broker", "pattern"),
        ("WEATHERGLASS_KAFKA_SASL_MECHANISM", "GSSAPI", "SCRAM-SHA-512"),
        ("WEATHERGLASS_KAFKA_PROTOCOL", "TLS", "SASL_SSL"),
        ("WEATHERGLASS_KAFKA_PROTOCOL", "SSL", "WEATHERGLASS_KAFKA_BOOTSTRAP"),
        ("WEATHERGLASS_KAFKA_USER", "weather", "WEATHERGLASS_KAFKA_BOOTSTRAP"),
        ("WEATHERGLASS_KAFKA_REPLICATION", "3", "WEATHERGLASS_KAFKA_BOOTSTRAP"),
    ],
)
def test_an_invalid_value_is_reported_with_variable_and_allowed_values(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as raised:
        load_settings()
    assert name in str(raised.value)
    assert expected in str(raised.value)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"PROTOCOL": "SASL_SSL"}, {"USER"}),
        ({"PROTOCOL": "SASL_SSL", "USER": "weather"}, {"PASSWORD_FILE"}),
        ({"PROTOCOL": "SASL_SSL", "PASSWORD_FILE": "{file}"}, {"USER"}),
        ({"PROTOCOL": "SSL", "USER": "weather", "PASSWORD_FILE": "{file}"}, {"USER", "PROTOCOL"}),
        ({"PROTOCOL": "SSL", "CERTIFICATE_FILE": "{file}"}, {"CERTIFICATE_FILE", "KEY_FILE"}),
        ({"PROTOCOL": "SSL", "KEY_FILE": "{file}"}, {"CERTIFICATE_FILE", "KEY_FILE"}),
        ({"CA_FILE": "{file}"}, {"CA_FILE", "PROTOCOL"}),
        ({"SASL_MECHANISM": "PLAIN"}, {"SASL_MECHANISM", "PROTOCOL"}),
        (
            {"PROTOCOL": "SASL_PLAINTEXT", "SASL_MECHANISM": "PLAIN", "USER": "weather", "PASSWORD_FILE": "{file}"},
            {"SASL_MECHANISM", "PROTOCOL"},
        ),
        ({"REPLICATION": "2", "MIN_INSYNC_REPLICAS": "3"}, {"REPLICATION", "MIN_INSYNC_REPLICAS"}),
    ],
)
def test_contradictory_settings_of_kafka_are_reported_with_their_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, values: dict[str, str], expected: set[str]
) -> None:
    file = tmp_path / "file"
    file.write_text("content", encoding="utf-8")
    monkeypatch.setenv("WEATHERGLASS_KAFKA_BOOTSTRAP", "a:9092,b:9092")
    assert load_settings().bootstrap_servers == "a:9092,b:9092"
    for name, value in values.items():
        monkeypatch.setenv(f"WEATHERGLASS_KAFKA_{name}", value.format(file=file))
    with pytest.raises(SettingsError) as raised:
        load_settings()
    assert {f"WEATHERGLASS_KAFKA_{name}" for name in expected} <= set(
        re.findall(r"WEATHERGLASS_\w+", str(raised.value))
    )


def test_an_unknown_setting_is_reported_with_the_most_similar_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEATHERGLASS_KAFKAPORT", "9092")
    with pytest.raises(SettingsError) as raised:
        load_settings()
    assert {"WEATHERGLASS_KAFKAPORT", "WEATHERGLASS_KAFKA_PORT"} <= set(
        re.findall(r"WEATHERGLASS_\w+", str(raised.value))
    )


def test_the_same_port_for_two_services_is_reported_with_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEATHERGLASS_REPLAY_PORT", "8088")
    with pytest.raises(SettingsError) as raised:
        load_settings()
    for text in ("WEATHERGLASS_REPLAY_PORT", "WEATHERGLASS_AIRFLOW_PORT", "8088"):
        assert text in str(raised.value)


def test_all_invalid_settings_are_reported_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEATHERGLASS_POLL_MINUTES", "60")
    monkeypatch.setenv("WEATHERGLASS_KAFKA_PORT", "x")
    with pytest.raises(SettingsError) as raised:
        load_settings()
    assert {"WEATHERGLASS_POLL_MINUTES", "WEATHERGLASS_KAFKA_PORT"} <= {
        line.partition("=")[0] for line in str(raised.value).splitlines()
    }


def test_a_relative_folder_becomes_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEATHERGLASS_STATE_DIR", "state")
    assert load_settings().state_dir == tmp_path / "state"
