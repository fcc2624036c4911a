"""`weatherglass check`: find faults in the readings of a station from a file, without server or model."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from weatherglass.anomaly.single_series import CLOCK, SeriesReport, TooFewReadings, check_series
from weatherglass.history.sources.refusal import RefusedError, Skipped
from weatherglass.history.sources.series_file import Statements, StationSeries, read_series
from weatherglass.records import Quality, iso

CLEAN, FLAGGED, REFUSED, NOTHING_CHECKED = range(4)
MAX_LISTED = 20
"""Events listed per check; `--all` and `--json` list all."""


def check(files: Sequence[Path], stated: Statements, budget: float, as_json: bool, list_all: bool) -> int:
    """Check files, each with the readings of one station, and print the results.

    Returns:
        The exit code: 1 something is flagged; otherwise 2 a file or one of its columns is refused, 3 no value of a file
        could be checked, 0 nothing is flagged.
    """
    now = datetime.now(UTC)
    codes = [_check_file(file, stated, budget, as_json, list_all, now) for file in files]
    return min((code for code in codes if code != CLEAN), default=CLEAN)


def _check_file(file: Path, stated: Statements, budget: float, as_json: bool, list_all: bool, now: datetime) -> int:
    try:
        series = read_series(file, now, stated)
    except RefusedError as error:
        if as_json:
            print(json.dumps({"file": str(file), "refused": [asdict(error.refusal)]}, ensure_ascii=False, indent=1))
        print(f"Refused: {error}", file=sys.stderr)
        return REFUSED
    try:
        report = check_series(series.times, series.values, series.lines, budget, now)
    except TooFewReadings as error:
        print(f"Not checked: {file}: {error}", file=sys.stderr)
        return NOTHING_CHECKED
    print(_json(file, series, report) if as_json else "\n".join(_lines(file, series, report, budget, list_all)))
    if report.events:
        return FLAGGED
    if series.refused:
        return REFUSED
    return CLEAN if _any_value_checked(report) else NOTHING_CHECKED


def _any_value_checked(report: SeriesReport) -> bool:
    return any(
        state is not Quality.NOT_CHECKED
        for check, states in report.checks.items()
        if check != CLOCK
        for state in states.values()
    )


def _json(file: Path, series: StationSeries, report: SeriesReport) -> str:
    events = [{**asdict(event), "onset": iso(event.onset), "end": iso(event.end)} for event in report.events]
    document = {
        "file": str(file),
        "weeks": round(report.weeks, 2),
        "columns": series.columns,
        "refused": [asdict(refusal) for refusal in series.refused],
        "skipped": [asdict(skipped) for skipped in series.skipped],
        "unused_columns": series.unused_columns,
        "checks": report.checks,
        "not_checked": report.not_checked,
        "events": events,
    }
    return json.dumps(document, ensure_ascii=False, indent=1)


def _lines(file: Path, series: StationSeries, report: SeriesReport, budget: float, list_all: bool) -> list[str]:
    lines = [
        f"{file}: {len(series.times)} readings over {report.weeks:.1f} weeks, "
        f"usually {_interval(report.step_minutes)} apart",
        "Columns: " + "; ".join(f"{_words(name)} from {column}" for name, column in series.columns.items()),
        f"False-alarm budget for soft flags: {budget:g} per variable and week",
    ]
    lines += [f"Refused: {refusal}" for refusal in series.refused]
    lines += [_skipped(skipped) for skipped in series.skipped]
    if series.unused_columns:
        lines.append(f"Unused columns: {', '.join(series.unused_columns)}")
    for name, states in report.checks.items():
        events = [event for event in report.events if event.check == name]
        results = "; ".join(f"{subject} {_words(state.value)}" for subject, state in states.items())
        lines.append(f"\n{_words(name).capitalize()}: {results}" + (f" ({len(events)} events)" if events else ""))
        listed = events if list_all else sorted(events, key=lambda event: -event.severity)[:MAX_LISTED]
        for event in sorted(listed, key=lambda event: event.onset):
            until = "" if event.end == event.onset else f" to {iso(event.end)}"
            lines.append(
                f"  {iso(event.onset)}{until}, severity {event.severity:.2f}, line {event.line}: {event.reason}"
            )
        if len(listed) < len(events):
            lines.append(f"  … and {len(events) - len(listed)} more (use --all to list them)")
    not_checked = [f"  {_words(name)}: {reason}" for name, reason in report.not_checked.items()]
    if not_checked:
        lines += ["", "Not checked (this does not mean that the values are good):", *not_checked]
    return [*lines, "", _conclusion(report), ""]


def _interval(minutes: float) -> str:
    return f"{minutes:.0f} minutes" if minutes >= 2 else f"{minutes * 60:.0f} seconds"


def _skipped(skipped: Skipped) -> str:
    what = f"values of {skipped.column!r}" if skipped.column else "lines"
    return f"Skipped {what}: {skipped.count}, {skipped.reason} (line {skipped.first_lines})"


def _conclusion(report: SeriesReport) -> str:
    if report.events:
        return f"Flagged: {', '.join(sorted({event.subject for event in report.events}))}"
    return "Nothing is flagged" if _any_value_checked(report) else "No value could be checked"


def _words(code: str) -> str:
    return code.replace("_", " ")
