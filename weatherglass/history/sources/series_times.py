"""Times of readings in text: format and time zone, or a refusal where they are not certain.

All formats are tried on the whole column. A format is certain if no other one fits, or the others that fit give the
same times: one day after the 12th tells day from month. The zone is certain if the times, the header or the user state
it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from enum import StrEnum
from zoneinfo import ZoneInfo, available_timezones

import numpy as np
import numpy.typing as npt
import pandas as pd

from weatherglass.history.sources.refusal import MAX_UNREADABLE, Refusal, RefusalCode, Skipped, skipped
from weatherglass.records import EARLIEST, LATEST

Times = npt.NDArray[np.datetime64]
Mask = npt.NDArray[np.bool_]
Lines = npt.NDArray[np.int64]

NAMES = ("timestamp", "time", "datetime", "date", "hour", "date_time", "date_and_time", "valid", "mess_datum")
"""Names of the column of times, normalised, in the order of preference."""


class TimeFormat(StrEnum):
    """Formats of times; a date may be followed by a time of day and a zone."""

    YEAR_FIRST = "yyyy-mm-dd"
    DIGITS = "yyyymmddhhmm"
    DAY_FIRST = "dd/mm/yyyy"
    MONTH_FIRST = "mm/dd/yyyy"
    EPOCH_SECONDS = "epoch-s"
    EPOCH_MILLISECONDS = "epoch-ms"
    DAY_FIRST_SHORT = "dd/mm/yy"
    MONTH_FIRST_SHORT = "mm/dd/yy"
    EXCEL_1900 = "excel-1900"
    EXCEL_1904 = "excel-1904"


DETECTED = tuple(TimeFormat)[:6]
"""The formats that are recognised; the others only if the user states them. A year with two digits may be a day, and
which day a serial number counts from differs between programs: Excel alone has two date systems, 1,462 days apart."""
EPOCH_FROM = np.datetime64("2000-01-01", "s")
"""Earlier seconds and milliseconds since 1970 are only read if the user states the format; they would have the same
digits as dates."""
FIRST, LAST = (np.datetime64(limit.replace(tzinfo=None), "s") for limit in (EARLIEST, LATEST))
"""A time outside is unreadable, as in records."""
EXCLUDING_LINES = 3
"""Lines that a format must fail to read before it is excluded in favour of another one; fewer may be damaged."""

_TIME_OF_DAY = (
    r"(?P<h>\d{1,2})(?::(?P<mi>\d\d)(?::(?P<s>\d\d)(?:[.,]\d+)?)?)?"
    r"(?:\s*(?P<half>[AaPp])(?:\.?[Mm]\.?)?(?![A-Za-z]))?"
)
_ZONE = r"\s*(?P<zone>(?:UTC|GMT)?[+-]\d{1,2}(?::?\d\d)?|[A-Za-z]+)?"
_AFTER_DATE = rf"(?:(?:T|,?\s+|_){_TIME_OF_DAY})?{_ZONE}"
_PATTERNS = {
    TimeFormat.YEAR_FIRST: r"(?P<y>\d{4})([-/.])(?P<mo>\d{1,2})\2(?P<d>\d{1,2})" + _AFTER_DATE,
    TimeFormat.DIGITS: r"(?P<y>\d{4})(?P<mo>\d\d)(?P<d>\d\d)"
    rf"(?:\s+{_TIME_OF_DAY}|T?(?P<h2>\d\d)(?:(?P<mi2>\d\d)(?P<s2>\d\d)?)?)?{_ZONE}",
    TimeFormat.DAY_FIRST: r"(?P<d>\d{1,2})([-/.])(?P<mo>\d{1,2})\2(?P<y>\d{4})" + _AFTER_DATE,
    # No locale of the CLDR writes a numeric date with dots and the month before the day.
    TimeFormat.MONTH_FIRST: r"(?P<mo>\d{1,2})([-/])(?P<d>\d{1,2})\2(?P<y>\d{4})" + _AFTER_DATE,
    TimeFormat.DAY_FIRST_SHORT: r"(?P<d>\d{1,2})([-/.])(?P<mo>\d{1,2})\2(?P<y>\d\d)" + _AFTER_DATE,
    TimeFormat.MONTH_FIRST_SHORT: r"(?P<mo>\d{1,2})([-/.])(?P<d>\d{1,2})\2(?P<y>\d\d)" + _AFTER_DATE,
}
_NUMBERS = {
    TimeFormat.EPOCH_SECONDS: (r"\d{9,10}(?:\.\d*)?", 1.0, "1970-01-01"),
    TimeFormat.EPOCH_MILLISECONDS: (r"\d{12,13}(?:\.\d*)?", 0.001, "1970-01-01"),
    TimeFormat.EXCEL_1900: (r"\d{5}(?:[.,]\d*)?", 86400.0, "1899-12-30"),
    TimeFormat.EXCEL_1904: (r"\d{5}(?:[.,]\d*)?", 86400.0, "1904-01-01"),
}
"""Pattern, seconds per unit and origin (UTC for those since 1970). Excel's serial numbers of the 1900 system count from
1899-12-30, because the system has a 29 February 1900 (ECMA-376, part 1, 18.17.4)."""
ABBREVIATIONS = {
    **dict.fromkeys(("Z", "UTC", "UT", "GMT", "WET"), 0),
    **dict.fromkeys(("CET", "MEZ", "WEST"), 1),
    **dict.fromkeys(("CEST", "MESZ", "EET"), 2),
    **{"EEST": 3, "JST": 9, "AEST": 10, "AEDT": 11, "NZST": 12, "NZDT": 13, "AKST": -9, "AKDT": -8, "HST": -10},
}
"""Hours ahead of UTC of the abbreviations with one meaning. EST, CST, PST, IST, BST and others have several (they
differ between the sets of PostgreSQL, src/timezone/tznames); the time zone of the station resolves them."""
_OFFSET = re.compile(r"(?:UTC|GMT)?([+-])(\d{1,2})(?::?(\d\d))?")


@dataclass(frozen=True)
class ParsedTimes:
    """Times of a column.

    Attributes:
        times: (n,) `datetime64[s]`, UTC; NaT where unreadable.
        description: format and zone, for the report.
    """

    times: Times
    description: str
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True)
class _LocalTimes:
    """Times (n,) as written: NaT if unreadable, zone "" if not stated, and whether they have a time of day."""

    times: Times
    zones: npt.NDArray[np.object_]
    has_time_of_day: Mask


def parse_zone(text: str) -> tzinfo:
    """Return a time zone: an offset such as `+01:00`, `UTC` or a name of the tz database such as `Europe/Paris`.

    Raises:
        ValueError: it is none of these.
    """
    if text.upper() in ("Z", "UTC", "UT", "GMT"):
        return UTC
    hours = _offset_hours(text)
    if hours is not None:
        return timezone(timedelta(hours=hours))
    if text not in available_timezones():
        raise ValueError(
            f"{text!r} is not a time zone; expected UTC, an offset such as +01:00, or a name such as Europe/Paris"
        )
    return ZoneInfo(text)


def zone_of_header(text: str) -> tzinfo | None:
    """Return the zone that a header states; None for a name whose meaning in summer is not certain, such as CET."""
    if text.upper() in ("Z", "UTC", "UT", "GMT") or _offset_hours(text) is not None or "/" in text:
        try:
            return parse_zone(text)
        except ValueError:
            return None
    return None


def parse_times(
    column: str,
    cells: pd.Series,
    lines: Lines,
    zone: tzinfo | None,
    stated: TimeFormat | None,
    now: datetime,
    max_unreadable: float = MAX_UNREADABLE,
) -> ParsedTimes | Refusal:
    """Parse a column of times.

    Args:
        cells: (n,) text.
        lines: (n,) line numbers.
        zone: of times that state none; None if unknown.
        stated: format stated by the user; None to recognise it.
        now: seconds since 1970 that are later than a day after this are not recognised as such.
        max_unreadable: share of the times above which the column is refused.
    """
    cells = cells.reset_index(drop=True)
    found = (stated, _read(cells, stated)) if stated else _recognise(column, cells, lines, now)
    if isinstance(found, Refusal):
        return found
    time_format, local = found
    readable = ~np.isnat(local.times)
    unread = skipped(RefusalCode.TIME_FORMAT, lines[~readable])
    if (~readable).sum() > max_unreadable * len(cells):
        first = int(np.flatnonzero(~readable)[0])
        message = (
            f"{(~readable).sum()} of {len(cells)} times cannot be read as {time_format}; the first is {cells[first]!r}"
        )
        return Refusal(RefusalCode.TIME_FORMAT, message, int(lines[first]), column)
    dates_only = readable & ~local.has_time_of_day
    if dates_only.any() and (readable & local.has_time_of_day).sum() >= dates_only.sum():
        unread += skipped(RefusalCode.TIME_OF_DAY, lines[dates_only])
        readable &= local.has_time_of_day
    elif dates_only.any() and (again := pd.Series(local.times).duplicated().to_numpy() & readable).any():
        first = int(np.flatnonzero(again)[0])
        message = f"the date {cells[first]!r} is repeated and has no time of day; add it, as in 2021-02-28 23:10"
        return Refusal(RefusalCode.TIME_OF_DAY, message, int(lines[first]), column)
    if time_format in (TimeFormat.EPOCH_SECONDS, TimeFormat.EPOCH_MILLISECONDS):
        return ParsedTimes(local.times, f"{time_format}, UTC", unread)
    times = np.where(readable, local.times, np.datetime64("NaT"))
    local = _LocalTimes(times, local.zones, local.has_time_of_day)
    return _to_utc(column, cells, lines, local, zone, time_format, unread, max_unreadable)


def _recognise(column: str, cells: pd.Series, lines: Lines, now: datetime) -> tuple[TimeFormat, _LocalTimes] | Refusal:
    until = np.datetime64(now.astimezone(UTC).replace(tzinfo=None), "s") + np.timedelta64(1, "D")
    read = {name: _read(cells, name) for name in DETECTED}
    fits = {name: ~np.isnat(local.times) for name, local in read.items()}
    for name in (TimeFormat.EPOCH_SECONDS, TimeFormat.EPOCH_MILLISECONDS):
        fits[name] &= (read[name].times >= EPOCH_FROM) & (read[name].times < until)
    best = max(DETECTED, key=lambda name: int(fits[name].sum()))
    if not fits[best].any():
        first = int((cells != "").argmax())
        stated = ", ".join(TimeFormat)
        message = (
            f"the format of {cells[first]!r} is unknown or not certain; write 2021-02-28 23:10, or state it with "
            f"--time-format, one of {stated}"
        )
        return Refusal(RefusalCode.TIME_FORMAT, message, int(lines[first]), column)
    needed = min(EXCLUDING_LINES, int(fits[best].sum()))
    for other in DETECTED:
        both = fits[best] & fits[other]
        differ = both & (read[best].times != read[other].times)
        if other is not best and differ.any() and (fits[best] & ~fits[other]).sum() < needed:
            first = int(np.flatnonzero(differ)[0])
            message = f"{cells[first]!r} may be {best} or {other}, and no other line tells; --time-format states it"
            return Refusal(RefusalCode.TIME_FORMAT_AMBIGUOUS, message, int(lines[first]), column)
    return best, read[best]


def _read(cells: pd.Series, time_format: TimeFormat) -> _LocalTimes:
    if time_format in _NUMBERS:
        pattern, seconds, origin = _NUMBERS[time_format]
        text = cells.where(cells.str.fullmatch(pattern).astype(bool)).str.replace(",", ".", regex=False)
        number = pd.to_numeric(text, errors="coerce").to_numpy(float) * seconds
        # Serial numbers are rounded: 10 minutes are no finite decimal fraction of a day.
        number = np.floor(number) if origin == "1970-01-01" else np.round(number)
        known = np.isfinite(number)
        times = np.datetime64(origin, "s") + np.where(known, number, 0).astype("timedelta64[s]")
        times = np.where(known & (times >= FIRST) & (times < LAST), times, np.datetime64("NaT"))
        zones = np.full(len(cells), "", dtype=object)
        return _LocalTimes(times, zones, np.ones(len(cells), bool))
    fits = cells.str.fullmatch(_PATTERNS[time_format]).to_numpy(bool)
    if not fits.any():  # as for most of the formats that are tried; taking a million texts apart needs a gigabyte
        return _LocalTimes(np.full(len(cells), np.datetime64("NaT", "s")), np.full(len(cells), "", object), ~fits)
    parts = cells.str.extract(f"^{_PATTERNS[time_format]}$")
    for name in ("h", "mi", "s"):
        if f"{name}2" in parts:
            parts[name] = parts[name].where(parts[name].notna(), parts[f"{name}2"])
    year, month, day, hour, minute, second = (
        pd.to_numeric(parts[name]).to_numpy(float) for name in ("y", "mo", "d", "h", "mi", "s")
    )
    if time_format in (TimeFormat.DAY_FIRST_SHORT, TimeFormat.MONTH_FIRST_SHORT):
        year += 2000
    half = parts["half"].str.upper()
    twelve_hours = half.notna().to_numpy()
    matched = np.isfinite(year) & ~(twelve_hours & ((hour < 1) | (hour > 12)))
    hour = np.where(twelve_hours, hour % 12 + np.where(half == "P", 12, 0), hour)
    times, valid = _combine(*(np.nan_to_num(part) for part in (year, month, day, hour, minute, second)))
    has_time_of_day = parts["h"].notna().to_numpy()
    zones = parts["zone"].fillna("").to_numpy(object)
    return _LocalTimes(np.where(matched & valid, times, np.datetime64("NaT")), zones, has_time_of_day)


def _combine(
    year: npt.NDArray, month: npt.NDArray, day: npt.NDArray, hour: npt.NDArray, minute: npt.NDArray, second: npt.NDArray
) -> tuple[Times, Mask]:
    """Return the times of calendar fields (n,), and which of them exist; 24:00 is the end of the day."""
    months = ((year - 1970) * 12 + month - 1).astype(np.int64).astype("datetime64[M]")
    days = months.astype("datetime64[D]") + (day - 1).astype(np.int64).astype("timedelta64[D]")
    seconds = (hour * 3600 + minute * 60 + second).astype(np.int64)
    times = days.astype("datetime64[s]") + seconds.astype("timedelta64[s]")
    exists = (month >= 1) & (month <= 12) & (day >= 1) & (days.astype("datetime64[M]") == months)
    exists &= ((hour <= 23) & (minute <= 59) & (second <= 59)) | ((hour == 24) & (minute == 0) & (second == 0))
    return times, exists & (times >= FIRST) & (times < LAST)


def _to_utc(
    column: str,
    cells: pd.Series,
    lines: Lines,
    local: _LocalTimes,
    zone: tzinfo | None,
    time_format: TimeFormat,
    unread: tuple[Skipped, ...],
    max_unreadable: float,
) -> ParsedTimes | Refusal:
    readable = ~np.isnat(local.times)
    times = np.full(len(cells), np.datetime64("NaT"), dtype="datetime64[s]")
    unknown, unclear = np.zeros(len(cells), bool), np.zeros(len(cells), bool)
    used = sorted(set(local.zones[readable]))
    for name in used:
        at = readable & (local.zones == name)
        hours = ABBREVIATIONS[name.upper()] if name.upper() in ABBREVIATIONS else _offset_hours(name)
        if hours is not None:
            times[at] = local.times[at] - np.timedelta64(round(hours * 3600), "s")
        elif zone is None:
            unknown |= at
        elif name:
            times[at] = _abbreviated(local.times[at], name.upper(), zone)
            unknown |= at & np.isnat(times)
        else:
            index = pd.DatetimeIndex(local.times[at]).tz_localize(zone, ambiguous="NaT", nonexistent="NaT")
            times[at] = _naive_utc(index)
            unclear |= at & np.isnat(times)
    if unknown.sum() > max_unreadable * len(cells):
        first = int(np.flatnonzero(unknown)[0])
        name = local.zones[first]
        problem = (
            f"the time zone {name!r} has several meanings" if name else "the time zone is not stated, or not certain"
        )
        if name and zone is not None:
            problem = f"{name!r} is not an abbreviation of the time zone {zone} at this time"
        message = f"{problem} ({cells[first]!r}); --time-zone states it, such as UTC, +01:00 or Europe/Paris"
        return Refusal(RefusalCode.TIME_ZONE, message, int(lines[first]), column)
    unread += skipped(RefusalCode.TIME_ZONE, lines[unknown]) + skipped(RefusalCode.LOCAL_TIME, lines[unclear])
    zones = ", ".join(name or str(zone) for name in used[:3]) + (", …" if len(used) > 3 else "")
    return ParsedTimes(times, f"{time_format}, {zones}", unread)


def _abbreviated(local: Times, name: str, zone: tzinfo) -> Times:
    """Return local times in UTC (n,) whose zone's abbreviation at that time is `name`; NaT for the others."""
    result = np.full(len(local), np.datetime64("NaT"), dtype="datetime64[s]")
    for summer in (True, False):
        flags = np.full(len(local), summer)
        index = pd.DatetimeIndex(local).tz_localize(zone, ambiguous=flags, nonexistent="NaT")
        matches = np.array([not pd.isna(time) and time.tzname() == name for time in index])
        result[matches] = _naive_utc(index)[matches]
    return result


def _naive_utc(index: pd.DatetimeIndex) -> Times:
    return index.tz_convert("UTC").tz_localize(None).to_numpy().astype("datetime64[s]")


def _offset_hours(text: str) -> float | None:
    """Return the hours of `+01:00`, `-0530`, `+1` or `UTC+1`; None for other texts and offsets that no place has."""
    match = _OFFSET.fullmatch(text.upper())
    if match is None:
        return None
    hours = int(match[2]) + int(match[3] or 0) / 60
    return None if hours > 14 or int(match[3] or 0) > 59 else (hours if match[1] == "+" else -hours)
