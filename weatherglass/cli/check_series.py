"""`weatherglass check`: find faults in the readings of one station from a file, without server or model."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from weatherglass.anomaly.single_series import SeriesReport, TooFewReadings, check_series
from weatherglass.history.sources import SourceError
from weatherglass.history.sources.series_file import StationSeries, read_series
from weatherglass.records import Quality, iso

CLEAN, FLAGGED, UNUSABLE = 0, 1, 2
MAX_LISTED = 20
"""Events listed per check; `--all` and `--json` list all."""


def check(file: Path, budget: float, as_json: bool, list_all: bool) -> int:
    """Check a file and print the result.

    Returns:
        The exit code: 0 nothing is flagged, 1 something is flagged, 2 the file cannot be used.
    """
    try:
        series = read_series(file)
        report = check_series(series.times, series.values, series.rows, budget, datetime.now(UTC))
    except (SourceError, TooFewReadings) as error:
        print(f"Not checked: {error}", file=sys.stderr)
        return UNUSABLE
    print(_json(report) if as_json else "\n".join(_lines(file, series, report, budget, list_all)))
    return FLAGGED if report.events else CLEAN


def _json(report: SeriesReport) -> str:
    events = [{**asdict(event), "onset": iso(event.onset), "end": iso(event.end)} for event in report.events]
    document = {
        "weeks": round(report.weeks, 2),
        "checks": report.checks,
        "not_checked": report.not_checked,
        "events": events,
    }
    return json.dumps(document, ensure_ascii=False, indent=1)


def _lines(file: Path, series: StationSeries, report: SeriesReport, budget: float, list_all: bool) -> list[str]:
    lines = [
        f"{file}: {len(series.times)} readings over {report.weeks:.1f} weeks, "
        f"usually {report.step_minutes:.0f} minutes apart",
        f"False-alarm budget for soft flags: {budget:g} per variable and week",
    ]
    if series.rows_without_time:
        lines.append(f"Rows without a readable time: {series.rows_without_time}")
    if series.unused_columns:
        lines.append(f"Unused columns: {', '.join(series.unused_columns)}")
    for name, states in report.checks.items():
        events = [event for event in report.events if event.check == name]
        results = "; ".join(f"{subject} {_words(state.value)}" for subject, state in states.items())
        lines.append(f"\n{_words(name).capitalize()}: {results}" + (f" ({len(events)} events)" if events else ""))
        listed = events if list_all else sorted(events, key=lambda event: -event.severity)[:MAX_LISTED]
        for event in sorted(listed, key=lambda event: event.onset):
            until = "" if event.end == event.onset else f" to {iso(event.end)}"
            lines.append(f"  {iso(event.onset)}{until}, severity {event.severity:.2f}, row {event.row}: {event.reason}")
        if len(listed) < len(events):
            lines.append(f"  … and {len(events) - len(listed)} more (use --all to list them)")
    skipped = [f"  {_words(name)}: {reason}" for name, reason in report.not_checked.items()]
    if skipped:
        lines += ["", "Not checked (this does not mean that the values are good):", *skipped]
    flagged = sorted({event.subject for event in report.events})
    clean = all(state is not Quality.FAILED for states in report.checks.values() for state in states.values())
    return [*lines, "", "Nothing is flagged" if clean else f"Flagged: {', '.join(flagged)}"]


def _words(code: str) -> str:
    return code.replace("_", " ")
