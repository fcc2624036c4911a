"""Settings: what is wrong is refused with its name and what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from weatherglass.settings import SettingsError, load_settings


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("WEATHERGLASS_AIRFLOW_PORT", "eighty", "integer"),
        ("WEATHERGLASS_AIRFLOW_PORT", "80", "1024"),
        ("WEATHERGLASS_POLL_MINUTES", "0", "1"),
        ("WEATHERGLASS_SOURCE", "crystal-ball", "open-meteo"),
        ("WEATHERGLASS_KAGGLE_ZIP", "/nowhere/weather.zip", "file"),
        ("WEATHERGLASS_PAST_HORIZON_HOURS", "3", "backfill"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert name in str(refused.value)
    assert said in str(refused.value)


def test_a_misspelt_setting_is_refused_with_the_nearest_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEATHERGLASS_KAFKAPORT", "9092")
    with pytest.raises(SettingsError, match="did you mean WEATHERGLASS_KAFKA_PORT"):
        load_settings()


def test_two_services_cannot_share_a_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEATHERGLASS_REPLAY_PORT", "8088")
    with pytest.raises(SettingsError, match=r"WEATHERGLASS_REPLAY_PORT and WEATHERGLASS_AIRFLOW_PORT are both 8088"):
        load_settings()


def test_every_wrong_setting_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEATHERGLASS_POLL_MINUTES", "60")
    monkeypatch.setenv("WEATHERGLASS_KAFKA_PORT", "x")
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert {"WEATHERGLASS_POLL_MINUTES", "WEATHERGLASS_KAFKA_PORT"} <= {
        line.partition("=")[0] for line in str(refused.value).splitlines()
    }


def test_a_relative_folder_means_the_same_from_everywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEATHERGLASS_STATE_DIR", "state")
    assert load_settings().state_dir == tmp_path / "state"
