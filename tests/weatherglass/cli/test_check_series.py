from __future__ import annotations

import json
from pathlib import Path

import pytest

from weatherglass.cli.check_series import CLEAN, FLAGGED, UNUSABLE, check

LINES = ["time,temperature", *(f"2023-05-01T{hour:02d}:00:00Z,{10 + hour / 10}" for hour in range(5))]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "s.csv"


def test_a_missing_file_is_unusable_and_named(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(file, 0.1, as_json=False, list_all=False) == UNUSABLE
    assert str(file) in capsys.readouterr().err


def test_a_file_without_faults_is_clean(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text("\n".join(LINES))
    assert check(file, 0.1, as_json=True, list_all=False) == CLEAN
    report = json.loads(capsys.readouterr().out)
    assert report["events"] == []
    assert report["checks"]["range"] == {
        "temperature": "ok",
        "humidity": "not_checked",
        "pressure": "not_checked",
        "wind_speed": "not_checked",
    }
    assert {"neighbours", "climatology", "isolation_forest", "humidity"} <= report["not_checked"].keys()


def test_an_impossible_value_is_flagged_with_its_row(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text("\n".join([*LINES, "2023-05-01T05:00:00Z,99"]))
    assert check(file, 0.1, as_json=True, list_all=False) == FLAGGED
    [event] = json.loads(capsys.readouterr().out)["events"]
    assert (event["check"], event["subject"], event["severity"], event["row"]) == ("range", "temperature", 1, 6)
    assert event["onset"] == event["end"] == "2023-05-01T05:00:00Z"


@pytest.mark.parametrize(("list_all", "listed"), [(False, 20), (True, 25)])
def test_the_text_lists_twenty_events_of_a_check_or_all(
    file: Path, capsys: pytest.CaptureFixture[str], list_all: bool, listed: int
) -> None:
    hours = [f"2023-05-{1 + i // 24:02d}T{i % 24:02d}:00:00Z,{99 if i % 4 == 0 else 10 + i % 7}" for i in range(100)]
    file.write_text("\n".join(["time,temperature", *hours]))
    assert check(file, 0.1, as_json=False, list_all=list_all) == FLAGGED
    assert capsys.readouterr().out.count("99.0 °C") == listed
