"""The HTML report of a prepared history, to review it before training.

It shows the coverage by station and month, gaps, and suspicious values (`weatherglass.qc.history_checks`): flat lines,
straight lines, interpolated values, jumps, and pressures reduced to another level. The page is self-contained.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from weatherglass.history.grid import HourGrid
from weatherglass.history.prepared import FLAG_COLUMNS, Manifest, empty_grid
from weatherglass.qc.history_checks import HistoryFlag, runs
from weatherglass.records import VARIABLES
from weatherglass.stations import Station

FILE = "report.html"
MAX_LISTED = 12
"""Periods listed for each flag."""
SUSPICIOUS = (
    HistoryFlag.RANGE,
    HistoryFlag.JUMP,
    HistoryFlag.FLAT,
    HistoryFlag.LINE,
    HistoryFlag.INTERPOLATED,
    HistoryFlag.OTHER_LEVEL,
)
DESCRIPTIONS = {
    HistoryFlag.RANGE: "outside the range limits, excluded",
    HistoryFlag.JUMP: "jump within an hour",
    HistoryFlag.FLAT: "constant for many hours",
    HistoryFlag.LINE: "on a straight line, filled in by interpolation",
    HistoryFlag.INTERPOLATED: "finer than the resolution of measured values, computed from other stations",
    HistoryFlag.OTHER_LEVEL: "sea-level pressure at a station well above sea level",
    HistoryFlag.MISSING: "no value",
}

STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#1c2733;background:#fff}
h1,h2{line-height:1.2} table{border-collapse:collapse;margin:1rem 0} caption{text-align:left;font-weight:600}
th,td{padding:.2rem .7rem;border-bottom:1px solid #d7dde3;text-align:right}
th:first-child,td:first-child{text-align:left}
img{max-width:100%} .wide{overflow-x:auto}
"""


@dataclass(frozen=True)
class StationFlags:
    """Flags of one station at every hour of the history: (variables, hours), as `CODES`."""

    station: Station
    codes: npt.NDArray[np.int8]


CODES = {flag.value: code for code, flag in enumerate(HistoryFlag)}


def write_report(folder: Path, manifest: Manifest, problems: Sequence[str] = ()) -> Path:
    """Write `report.html` into the folder of a prepared history.

    Args:
        problems: what of the source is not used, and why.
    """
    grid = empty_grid(folder)
    hours = grid.hours
    records = _records(folder, grid)
    body = [
        f"<h1>History from {escape(manifest.source)}</h1>",
        f"<p>{manifest.rows:,} hours of {manifest.stations} stations, {_time(manifest.first_hour)} to "
        f"{_time(manifest.last_hour)} (UTC). Fingerprint <code>{escape(manifest.fingerprint[:16])}</code>.</p>",
        *_problems(problems),
        "<h2>Coverage</h2>",
        _image(_coverage(records, hours), "Share of hours with a value, by station and month, for each variable"),
        "<h2>Suspicious values</h2>",
        "<p>Only values outside the range limits were excluded; all others are kept and flagged.</p>",
        _flag_table(records),
        _by_station(records),
        _image(_flags_by_month(records, hours), "Share of suspicious values by month, for each variable"),
        "<h2>Longest periods</h2>",
        *(
            _periods(records, flag, hours)
            for flag in (
                HistoryFlag.MISSING,
                HistoryFlag.FLAT,
                HistoryFlag.LINE,
                HistoryFlag.INTERPOLATED,
                HistoryFlag.OTHER_LEVEL,
            )
        ),
    ]
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>History from {escape(manifest.source)}'
        f"</title><style>{STYLE}</style></head><body><main>{''.join(body)}</main></body></html>"
    )
    file = folder / FILE
    file.write_text(page, encoding="utf-8")
    return file


def _problems(problems: Sequence[str]) -> list[str]:
    items = "".join(f"<li>{escape(problem)}</li>" for problem in problems)
    return ["<h2>Not used</h2>", f"<ul>{items}</ul>"] if items else []


def _records(folder: Path, grid: HourGrid) -> list[StationFlags]:
    from pyarrow import parquet

    stations = grid.stations
    row = {station.station_id: i for i, station in enumerate(stations)}
    codes = np.full((len(stations), len(VARIABLES), grid.values.shape[1]), CODES[HistoryFlag.MISSING], dtype=np.int8)
    for file in sorted((folder / "observations").rglob("*.parquet")):
        table = parquet.ParquetFile(file).read(["station_id", "hour", *FLAG_COLUMNS])
        rows = np.array([row[name] for name in table["station_id"].to_pylist()])
        at = grid.positions(table["hour"].to_numpy())
        for v, column in enumerate(FLAG_COLUMNS):
            flags = table[column].combine_chunks().dictionary_encode()
            meaning = np.array([CODES[flag] for flag in flags.dictionary.to_pylist()], dtype=np.int8)
            codes[rows, v, at] = meaning[flags.indices.to_numpy()]
    return [StationFlags(station, codes[i]) for i, station in enumerate(stations)]


def _known(codes: npt.NDArray[np.int8]) -> npt.NDArray[np.bool_]:
    return (codes != CODES[HistoryFlag.MISSING]) & (codes != CODES[HistoryFlag.RANGE])


def _months(hours: npt.NDArray[np.datetime64]) -> tuple[npt.NDArray[np.int64], list[str]]:
    names, month_index = np.unique(hours.astype("datetime64[M]"), return_inverse=True)
    return month_index, [str(name) for name in names]


def _by_month(mask: npt.NDArray[np.bool_], month_index: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    return np.bincount(month_index, mask) / np.bincount(month_index)


def _coverage(records: Sequence[StationFlags], hours: npt.NDArray[np.datetime64]) -> Any:
    pyplot = _pyplot()
    month_index, names = _months(hours)
    height = 1.5 + 0.14 * len(records)
    figure, axes = pyplot.subplots(2, 2, figsize=(12, 2 * height), layout="constrained", sharey=True)
    for v, (name, axis) in enumerate(zip(VARIABLES, axes.flat, strict=True)):
        shares = np.array([_by_month(_known(record.codes[v]), month_index) for record in records])
        image = axis.imshow(shares, aspect="auto", vmin=0, vmax=1, cmap="viridis", interpolation="nearest")
        axis.set_title(name.replace("_", " "))
        axis.set_yticks(range(len(records)), [record.station.name for record in records], fontsize=6)
        every = max(1, len(names) // 8)
        axis.set_xticks(range(0, len(names), every), names[::every], fontsize=7, rotation=30)
    figure.colorbar(image, ax=axes, label="share of hours with a value", shrink=0.5)
    return figure


def _flags_by_month(records: Sequence[StationFlags], hours: npt.NDArray[np.datetime64]) -> Any:
    pyplot = _pyplot()
    month_index, names = _months(hours)
    figure, axes = pyplot.subplots(2, 2, figsize=(12, 6), layout="constrained", sharex=True)
    for v, (name, axis) in enumerate(zip(VARIABLES, axes.flat, strict=True)):
        codes = np.array([record.codes[v] for record in records])
        known = np.maximum(np.bincount(month_index, _known(codes).sum(axis=0)), 1)
        for flag in SUSPICIOUS:
            count = np.bincount(month_index, (codes == CODES[flag]).sum(axis=0))
            if count.any():
                axis.plot(count / known * 100, label=flag.value.replace("_", " "))
        axis.set(title=name.replace("_", " "), ylabel="% of values", ylim=0)
        every = max(1, len(names) // 8)
        axis.set_xticks(range(0, len(names), every), names[::every], rotation=30)
        if axis.lines:
            axis.legend(fontsize=8)
    return figure


def _flag_table(records: Sequence[StationFlags]) -> str:
    rows = []
    for flag in (HistoryFlag.MISSING, *SUSPICIOUS):
        cells = []
        for v in range(len(VARIABLES)):
            codes = np.array([record.codes[v] for record in records])
            total = codes.size if flag in (HistoryFlag.MISSING, HistoryFlag.RANGE) else max(int(_known(codes).sum()), 1)
            count = int((codes == CODES[flag]).sum())
            cells.append(f"{count:,} ({count / total:.2%})" if count else "none")
        rows.append([f"{flag.value.replace('_', ' ')}: {DESCRIPTIONS[flag]}", *cells])
    return _table("Values by flag", ["", *(name.replace("_", " ") for name in VARIABLES)], rows)


def _by_station(records: Sequence[StationFlags]) -> str:
    header = ["Station", *(f"{name.replace('_', ' ')}: known, suspicious" for name in VARIABLES)]
    rows = []
    for record in records:
        cells = []
        for codes in record.codes:
            known = _known(codes)
            suspicious = (known & (codes != CODES[HistoryFlag.OK])).sum() / max(int(known.sum()), 1)
            cells.append(f"{known.mean():.1%}, {suspicious:.1%}" if known.any() else "none")
        rows.append([record.station.name, *cells])
    return _table("Stations", header, rows)


def _periods(records: Sequence[StationFlags], flag: HistoryFlag, hours: npt.NDArray[np.datetime64]) -> str:
    periods = sorted(_runs_of(records, flag), key=lambda period: period[3] - period[2], reverse=True)
    rows = [
        [
            station,
            VARIABLES[v].replace("_", " "),
            _time(str(hours[begin])),
            _time(str(hours[end])),
            f"{end - begin + 1:,}",
        ]
        for station, v, begin, end in periods[:MAX_LISTED]
    ]
    title = f"{flag.value.replace('_', ' ')}: {DESCRIPTIONS[flag]}"
    if not rows:
        return f"<p>{escape(title)}: none.</p>"
    return _table(f"{title} ({len(periods):,} periods)", ["Station", "Variable", "From", "To", "Hours"], rows)


def _runs_of(records: Sequence[StationFlags], flag: HistoryFlag) -> Iterator[tuple[str, int, int, int]]:
    for record in records:
        for v, codes in enumerate(record.codes):
            if flag is HistoryFlag.MISSING and not _known(codes).any():
                continue  # never observed, so not a gap
            for begin, end in runs(codes == CODES[flag]):
                yield record.station.name, v, begin, end


def _table(caption: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in header)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return (
        f'<div class="wide"><table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _image(figure: Any, description: str) -> str:
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=80)
    _pyplot().close(figure)
    return f'<img alt="{escape(description)}" src="data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}">'


def _time(iso: str) -> str:
    return escape(iso.replace("T", " ").removesuffix("Z")[:16])


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot
