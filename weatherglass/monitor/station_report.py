"""The daily station report, worst stations first, as HTML and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from html import escape
from pathlib import Path

from weatherglass.files import write_atomically
from weatherglass.formatting import format_duration
from weatherglass.qc.station_status import StationDay, Status, midnight, station_day
from weatherglass.records import iso
from weatherglass.settings import Settings
from weatherglass.stations import known_stations
from weatherglass.store import station_days
from weatherglass.store.engine import open_store

COLORS = {Status.UP: "#2e7d32", Status.LATE: "#f9a825", Status.SUSPECT: "#6a1b9a", Status.SILENT: "#c62828"}
COLUMNS = (
    "station_id",
    "name",
    "day",
    "expected",
    "received",
    "interval_s",
    "timeliness_median_s",
    "timeliness_p95_s",
    "longest_gap_s",
    *(f"{status.value}_s" for status in Status),
    "failed_checks",
)

_PAGE = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Stations on {day}</title><style>
body {{ font: 15px/1.4 system-ui, sans-serif; margin: 2em; color: #1a1a1a; background: #fff }}
table {{ border-collapse: collapse }} th, td {{ padding: .35em .8em; border-bottom: 1px solid #ccc; text-align: right }}
th:first-child, td:first-child, td.text {{ text-align: left }} svg {{ vertical-align: middle }}
</style></head><body>
<h1>Stations on {day}</h1>
<p>{summary} Times in UTC; created {created}. Worst first, by the share of the day that a station was silent or suspect,
plus half the share that it was late.</p>
<table><thead><tr><th scope="col">Station</th><th scope="col">Received</th><th scope="col">Expected</th>
<th scope="col">Delay (median, 95 %)</th><th scope="col">Longest gap</th><th scope="col">Status, 0 to 24 h</th>
<th scope="col">Checks failed</th></tr></thead><tbody>
{rows}
</tbody></table>
<p>{legend}</p>
</body></html>
"""


def make_report(settings: Settings, day: date, now: datetime) -> tuple[list[StationDay], Path, Path]:
    """Rate every station's day, save the result in the store, and write the report to `reports` in the state folder.

    Args:
        day: a day in UTC.

    Returns:
        The days, worst first, and the paths of the HTML and the CSV file.
    """
    engine = open_store(settings.store_url)
    try:
        with engine.begin() as connection:
            since = station_days.first_stored_at(connection)
            days = []
            if since is not None and since < min(now, midnight(day) + timedelta(days=1)):
                found = station_days.readings(connection, day)
                days = [station_day(station_id, day, readings, now, since) for station_id, readings in found.items()]
            station_days.save(connection, days)
    finally:
        engine.dispose()
    days.sort(key=lambda one: (-one.problem_share, one.received - one.expected, one.station_id))
    names = {station.station_id: station.name for station in known_stations(settings).values()}
    folder = settings.state_dir / "reports"
    folder.mkdir(parents=True, exist_ok=True)
    page, table = folder / f"stations-{day}.html", folder / f"stations-{day}.csv"
    write_atomically(page, html(days, names, day, now))
    write_atomically(table, as_csv(days, names))
    return days, page, table


def summary(days: Sequence[StationDay]) -> str:
    """Summary in one or two sentences."""
    if not days:
        return "No stations to report: the pipeline had not received any observation by the end of this day."
    up_all_day = sum(all(part.status is Status.UP for part in day.log) for day in days)
    silent = [day.station_id for day in days if day.received == 0]
    text = f"{up_all_day} of {len(days)} stations were up all day."
    return f"{text} No observations from {', '.join(silent)}." if silent else text


def html(days: Sequence[StationDay], names: Mapping[str, str], day: date, now: datetime) -> str:
    """A page without external resources, so that it can be sent by e-mail."""
    legend = " ".join(f'<span style="color:{color}">■</span> {status.value}' for status, color in COLORS.items())
    rows = "\n".join(_row(station, names.get(station.station_id, station.station_id)) for station in days)
    return _PAGE.format(day=day, summary=escape(summary(days)), created=iso(now), rows=rows, legend=legend)


def as_csv(days: Sequence[StationDay], names: Mapping[str, str]) -> str:
    """One line per station; durations in seconds."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for day in days:
        failed = " ".join(f"{check}={share:.3f}" for check, share in day.failed.items() if share)
        text = (_plain(day.station_id), _plain(names.get(day.station_id, day.station_id)), day.day)
        numbers = (
            day.interval_seconds,
            day.timeliness_median,
            day.timeliness_p95,
            day.longest_gap,
            *(day.seconds(status) for status in Status),
        )
        rounded = ["" if number is None else f"{number:.0f}" for number in numbers]
        writer.writerow([*text, day.expected, day.received, *rounded, failed])
    return out.getvalue()


def _row(day: StationDay, name: str) -> str:
    failed = ", ".join(f"{check} {share:.0%}" for check, share in day.failed.items() if share) or "none"
    cells = (
        f"<td>{escape(name)}</td><td>{day.received}</td><td>{day.expected}</td>"
        f"<td>{_age(day.timeliness_median)}, {_age(day.timeliness_p95)}</td><td>{_age(day.longest_gap)}</td>"
        f'<td>{_bar(day)}</td><td class="text">{escape(failed)}</td>'
    )
    return f"<tr>{cells}</tr>"


def _bar(day: StationDay) -> str:
    """The status log as a bar of 240 x 14 px, ten pixels per hour."""
    parts = []
    for part in day.log:
        x = (part.start - midnight(day.day)).total_seconds() / 360
        width = (part.end - part.start).total_seconds() / 360
        label = f"{part.status.value} {part.start:%H:%M} to {part.end:%H:%M}"
        color = COLORS[part.status]
        parts.append(f'<rect x="{x:.1f}" width="{width:.1f}" height="14" fill="{color}"><title>{label}</title></rect>')
    shares = ", ".join(f"{status.value} {format_duration(timedelta(seconds=day.seconds(status)))}" for status in Status)
    return f'<svg width="240" height="14" role="img" aria-label="{shares}">{"".join(parts)}</svg>'


def _age(seconds: float | None) -> str:
    return "-" if seconds is None else format_duration(timedelta(seconds=seconds))


def _plain(text: str) -> str:
    """Prefix text that a spreadsheet would interpret as a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
