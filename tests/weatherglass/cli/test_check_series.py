from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from weatherglass.cli.check_series import CLEAN, FLAGGED, NOTHING_CHECKED, REFUSED
from weatherglass.cli.main import main
from weatherglass.history.sources.series_times import TimeFormat
from weatherglass.history.sources.statement_arguments import TIME_FORMATS

LINES = ["time,temperature (°C)", *(f"2023-05-01T{hour:02d}:00:00Z,{10 + hour / 10}" for hour in range(5))]
Check = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "s.csv"


@pytest.fixture
def check(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Check:
    """Run the command on the file with further arguments; return the exit status and the JSON document."""
    monkeypatch.setenv("WEATHERGLASS_STATE_DIR", str(tmp_path / "state"))

    def run(*arguments: str) -> tuple[int, dict[str, Any]]:
        status = main(["check", "--series", str(file), "--json", *arguments])
        output = capsys.readouterr().out
        return status, json.loads(output) if output else {}

    return run


def test_a_missing_file_is_refused_and_named(check: Check, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, document = check()
    assert status == REFUSED
    assert [refusal["code"] for refusal in document["refused"]] == ["unreadable"]
    main(["check", "--series", str(file)])
    assert str(file) in capsys.readouterr().err


def test_a_file_without_faults_is_clean(check: Check, file: Path) -> None:
    file.write_text("\n".join(LINES))
    status, report = check()
    assert status == CLEAN
    assert report["events"] == report["refused"] == report["skipped"] == []
    assert report["checks"]["range"] == {
        "temperature": "ok",
        "humidity": "not_checked",
        "pressure": "not_checked",
        "wind_speed": "not_checked",
    }
    assert {"neighbours", "climatology", "isolation_forest", "humidity"} <= report["not_checked"].keys()


def test_an_impossible_value_is_flagged_with_its_line(check: Check, file: Path) -> None:
    file.write_text("\n".join(["# a comment", *LINES, "", "2023-05-01T05:00:00Z,99"]))
    status, report = check()
    assert status == FLAGGED
    [event] = report["events"]
    assert (event["check"], event["subject"], event["severity"], event["line"]) == ("range", "temperature", 1, 9)
    assert event["onset"] == event["end"] == "2023-05-01T05:00:00Z"


def test_each_of_several_files_is_checked_and_the_most_important_result_counts(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WEATHERGLASS_STATE_DIR", str(tmp_path / "state"))
    clean, single, flagged, missing = (tmp_path / f"{name}.csv" for name in ("clean", "single", "flagged", "missing"))
    clean.write_text("\n".join(LINES))
    single.write_text("\n".join(LINES[:2]))
    flagged.write_text("\n".join([*LINES, "2023-05-01T05:00:00Z,99"]))

    def run(*files: Path) -> tuple[int, list[dict[str, Any]]]:
        status = main(["check", "--json", "--series", *map(str, files)])
        text, documents = capsys.readouterr().out, []
        while text:
            document, end = json.JSONDecoder().raw_decode(text)
            documents.append(document)
            text = text[end:].lstrip()
        return status, documents

    status, documents = run(missing, clean, flagged, single)
    assert status == FLAGGED
    assert [document["file"] for document in documents] == [str(missing), str(clean), str(flagged)]
    assert [len(document.get("events", ())) for document in documents] == [0, 0, 1]
    assert [len(document["refused"]) for document in documents] == [1, 0, 0]
    assert run(clean, single, missing)[0] == REFUSED
    assert run(clean, single)[0] == NOTHING_CHECKED
    assert run(clean, clean)[0] == CLEAN


@pytest.mark.parametrize("values", [["NA"] * 5, ["", "-999", "", "", ""]])
def test_a_file_without_values_is_not_clean(check: Check, file: Path, values: list[str]) -> None:
    file.write_text("\n".join([LINES[0], *(f"2023-05-01T{i:02d}:00:00Z,{value}" for i, value in enumerate(values))]))
    status, report = check()
    assert status == NOTHING_CHECKED
    assert {state for check, states in report["checks"].items() if check != "clock" for state in states.values()} == {
        "not_checked"
    }


def test_a_single_reading_cannot_be_checked(check: Check, file: Path) -> None:
    file.write_text("\n".join(LINES[:2]))
    assert check()[0] == NOTHING_CHECKED


def test_a_refused_column_is_reported_and_the_others_are_checked(check: Check, file: Path) -> None:
    header, *rows = LINES
    file.write_text("\n".join([f"{header},wind_speed", *(f"{row},3" for row in rows)]))
    status, report = check()
    assert status == REFUSED
    assert [(refusal["code"], refusal["line"], refusal["column"]) for refusal in report["refused"]] == [
        ("unit_missing", 1, "wind_speed")
    ]
    assert report["checks"]["range"]["temperature"] == "ok"
    status, report = check("--unit", "wind_speed=mph")
    assert (status, report["checks"]["range"]["wind_speed"]) == (CLEAN, "ok")
    file.write_text(file.read_text() + "\n2023-05-01T05:00:00Z,99,3")
    assert check()[0] == FLAGGED


def test_skipped_lines_are_reported(check: Check, file: Path) -> None:
    rows = [f"2023-05-{1 + i // 24:02d}T{i % 24:02d}:00:00Z,{10 + i % 7}" for i in range(40)]
    file.write_text("\n".join([LINES[0], *rows[:20], "2023-05-0", *rows[20:]]))
    status, report = check()
    assert status == CLEAN
    assert report["skipped"] == [{"code": "field_count", "count": 1, "lines": [22], "column": None}]


def test_the_user_states_time_zone_and_format(check: Check, file: Path) -> None:
    file.write_text("\n".join(["time,temperature (°C)", *(f"03/05/2023 {hour:02d}:00,99" for hour in range(2))]))
    assert check()[1]["refused"][0]["code"] == "time_format_ambiguous"
    assert check("--time-format", "dd/mm/yyyy")[1]["refused"][0]["code"] == "time_zone"
    status, report = check("--time-format", "dd/mm/yyyy", "--time-zone", "Europe/Paris")
    assert (status, report["events"][0]["onset"]) == (FLAGGED, "2023-05-02T22:00:00Z")


@pytest.mark.parametrize(
    "arguments",
    [("--unit", "temperature=furlongs"), ("--unit", "snow=m"), ("--unit", "C"), ("--time-zone", "Mars/Olympus_Mons")],
)
def test_an_unknown_unit_or_zone_in_an_option_is_refused(check: Check, file: Path, arguments: tuple[str, str]) -> None:
    file.write_text("\n".join(LINES))
    assert check(*arguments) == (REFUSED, {})


def test_the_option_offers_all_time_formats() -> None:
    assert tuple(TimeFormat) == TIME_FORMATS


@pytest.mark.parametrize(("list_all", "listed"), [(False, 20), (True, 25)])
def test_the_text_lists_twenty_events_of_a_check_or_all(
    file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    list_all: bool,
    listed: int,
) -> None:
    monkeypatch.setenv("WEATHERGLASS_STATE_DIR", str(tmp_path / "state"))
    hours = [f"2023-05-{1 + i // 24:02d}T{i % 24:02d}:00:00Z,{99 if i % 4 == 0 else 10 + i % 7}" for i in range(100)]
    file.write_text("\n".join(["time,temperature (°C)", *hours]))
    assert main(["check", "--series", str(file), *(["--all"] if list_all else [])]) == FLAGGED
    assert capsys.readouterr().out.count("99.0 °C") == listed


@pytest.mark.parametrize("days", [1, 2, 7, 30])
@pytest.mark.parametrize("count", [2, 8, 60])
def test_readings_days_apart_are_checked(check: Check, file: Path, days: int, count: int) -> None:
    first = date(2015, 5, 1)
    rows = [f"{first + timedelta(days=days * i)}T12:00:00Z,{10 + i % 7}" for i in range(count)]
    file.write_text("\n".join([LINES[0], *rows]))
    status, report = check()
    assert status in {CLEAN, FLAGGED}
    assert report["checks"]["range"]["temperature"] == "ok"
    assert {event["check"] for event in report["events"]} <= {"self_prediction"}
    assert report["checks"]["recent_level"]["temperature"] == "not_checked"
    assert "recent_level of temperature" in report["not_checked"]
