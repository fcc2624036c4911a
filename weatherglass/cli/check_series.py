"""`weatherglass check`: the faults of one station's readings, from a file, without any server or model."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from weatherglass.anomaly.single_series import SeriesVerdict, TooFewReadings, check_series
from weatherglass.history.sources import SourceError
from weatherglass.history.sources.series_file import StationSeries, read_series
from weatherglass.records import Quality, iso

CLEAN, FLAGGED, UNUSABLE = 0, 1, 2
SHOWN = 20
"""Events of one check that are listed; `--all` and `--json` give every one."""


def check(file: Path, budget: float, as_json: bool, every: bool) -> int:
    """Check a file and print what was found; 0 nothing, 1 something is flagged, 2 the file cannot be used."""
    try:
        series = read_series(file)
        verdict = check_series(series.times, series.values, series.rows, budget, datetime.now(UTC))
    except (SourceError, TooFewReadings) as error:
        print(f"nothing is checked: {error}", file=sys.stderr)
        return UNUSABLE
    print(_json(verdict) if as_json else "\n".join(_lines(file, series, verdict, budget, every)))
    return FLAGGED if verdict.events else CLEAN


def _json(verdict: SeriesVerdict) -> str:
    events = [{**asdict(event), "onset": iso(event.onset), "end": iso(event.end)} for event in verdict.events]
    said = {"weeks": round(verdict.weeks, 2), "checks": verdict.checks, "not_checked": verdict.not_checked}
    return json.dumps({**said, "events": events}, ensure_ascii=False, indent=1)


def _lines(file: Path, series: StationSeries, verdict: SeriesVerdict, budget: float, every: bool) -> list[str]:
    lines = [
        f"{file}: {len(series.times)} readings over {verdict.weeks:.1f} weeks, usually {verdict.step_minutes:.0f} "
        f"minutes apart; soft flags may cry wolf {budget:g} times a week and variable"
    ]
    if series.unread:
        lines.append(f"{series.unread} rows have no time that can be read")
    if series.passed_over:
        lines.append(f"columns not used: {', '.join(series.passed_over)}")
    for name, states in verdict.checks.items():
        mine = [event for event in verdict.events if event.check == name]
        said = "; ".join(f"{what} {state.value.replace('_', ' ')}" for what, state in states.items())
        lines.append(f"\n{name.replace('_', ' ')}: {said}" + (f" ({len(mine)} events)" if mine else ""))
        shown = mine if every else sorted(mine, key=lambda event: -event.severity)[:SHOWN]
        for event in sorted(shown, key=lambda event: event.onset):
            until = "" if event.end == event.onset else f" to {iso(event.end)}"
            lines.append(f"  {iso(event.onset)}{until}, severity {event.severity:.2f}, row {event.row}: {event.reason}")
        if len(shown) < len(mine):
            lines.append(f"  … and {len(mine) - len(shown)} more (--all lists them)")
    unchecked = [f"  {what.replace('_', ' ')}: {reason}" for what, reason in verdict.not_checked.items()]
    if unchecked:
        lines += ["", "not checked, which is not the same as good:", *unchecked]
    failed = sorted({event.what for event in verdict.events})
    clean = all(state is not Quality.FAILED for states in verdict.checks.values() for state in states.values())
    return [*lines, "", "nothing is flagged" if clean else f"flagged: {', '.join(failed)}"]
