"""Records of the user's own stations: what is accepted, and their publication to `weather-raw`.

Every way for own stations into the pipeline uses these rules. A record is a JSON object in the published schema of
observations (`docs/schemas/observation.json`). A record that is refused says why and does not affect the others. The
topic itself is more tolerant: what is refused here in addition would otherwise be ignored or rejected later, unknown to
its sender: unknown fields, impossible values, times that the stream rejects, and stations that something else observes.

Publishing a record again is harmless: the stream counts an observation of the same station and time once, the last
values count, and the store replaces its row.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from time import monotonic
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError
from pydantic import ValidationError

from producer.publish import ACKNOWLEDGEMENT_TIMEOUT_SECONDS, PublishError, open_producer, publish_batch
from weatherglass.consumer.rejected_copy import RejectedCopy
from weatherglass.qc.limits import range_limits
from weatherglass.qc.observation_checks import RejectionReason, check_timestamp
from weatherglass.record_headers import Origin
from weatherglass.records import UNITS, Observation, iso
from weatherglass.settings import Settings
from weatherglass.stations import Station, known_stations, own_stations

RETRY_SECONDS = 5.0
"""After a failure to connect to the broker, requests within this time fail at once."""
MAX_SHOWN = 60
"""Characters of a refused text in a message."""


class ProblemCode(StrEnum):
    """Why a record is refused. Those that the stream rejects too have the code of `RejectionReason`."""

    WRONG_TYPE = RejectionReason.WRONG_TYPE
    REPEATED_NAME = "repeated_name"
    UNKNOWN_FIELD = "unknown_field"
    MISSING_STATION = RejectionReason.MISSING_STATION
    BAD_STATION = RejectionReason.BAD_STATION
    UNKNOWN_STATION = "unknown_station"
    POLLED_STATION = "polled_station"
    """Weatherglass requests the observations of the station itself; records of two sources would be mixed."""
    FORBIDDEN_STATION = "forbidden_station"
    """The token of the sender is not for this station."""
    MISSING_TIME = RejectionReason.MISSING_TIME
    BAD_TIME = RejectionReason.BAD_TIME
    NO_ZONE = RejectionReason.NO_ZONE
    FUTURE = RejectionReason.FUTURE
    PAST = RejectionReason.PAST
    NOT_FINITE = RejectionReason.NOT_FINITE
    OUT_OF_RANGE = RejectionReason.OUT_OF_RANGE
    NO_VALUE = "no_value"


class RefusedRecord(ValueError):
    """A record that is not published.

    Attributes:
        field: the field concerned, as in a Python string; None if it is the whole record.
        detail: what is wrong and what is allowed; printable ASCII, except for units.
    """

    def __init__(self, code: ProblemCode, field: str | None, detail: str):
        super().__init__(f"{code}: {detail}")
        self.code, self.field, self.detail = code, field, detail


@dataclass(frozen=True)
class RepeatedName:
    """Stands for a JSON object with two members of the same name, whose value is therefore not certain."""

    name: str


@dataclass(frozen=True)
class RecordProblem:
    """Why the record at `index` of a batch is refused; the other fields are those of `RefusedRecord`."""

    index: int
    code: ProblemCode
    field: str | None
    detail: str


@dataclass
class CheckedRecords:
    """The records of a batch that are to be published, and the problems of the others, in the order of the batch."""

    accepted: list[Observation] = field(default_factory=list)
    problems: list[RecordProblem] = field(default_factory=list)


def check_records(
    records: Sequence[Any], settings: Settings, now: datetime, permitted: Callable[[str], bool] = lambda _: True
) -> CheckedRecords:
    """Check the records of a batch, each on its own.

    Args:
        records: decoded JSON values.
        now: UTC.
        permitted: whether the sender may publish for a station id.

    Raises:
        StationsError: the station table cannot be used.
    """
    stations, checked = own_stations(settings), CheckedRecords()
    for index, record in enumerate(records):
        try:
            observation = _parse(record)
            station = _station(observation.station_id, stations, settings, permitted)
            _check_time(observation, now, settings)
            _check_values(observation, station)
        except RefusedRecord as refused:
            checked.problems.append(RecordProblem(index, refused.code, refused.field, refused.detail))
        else:
            checked.accepted.append(observation)
    return checked


def shown(value: object) -> str:
    """A value of a sender for a message: printable ASCII, and not too long."""
    text = ascii(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def _parse(record: object) -> Observation:
    if isinstance(record, RepeatedName):
        raise RefusedRecord(ProblemCode.REPEATED_NAME, None, f"the name {shown(record.name)} is repeated")
    if not isinstance(record, dict):
        raise RefusedRecord(ProblemCode.WRONG_TYPE, None, f"{shown(record)} is not an object")
    names = Observation.model_fields
    if unknown := [shown(name) for name in record if name not in names]:
        detail = f"unknown field {unknown[0]}; allowed: {', '.join(names)}"
        raise RefusedRecord(ProblemCode.UNKNOWN_FIELD, unknown[0][1:-1], detail)
    for name, code in (("station_id", ProblemCode.MISSING_STATION), ("timestamp", ProblemCode.MISSING_TIME)):
        if record.get(name) is None:
            raise RefusedRecord(code, name, f"{name} is missing")
    try:
        observation = Observation.model_validate(record, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        name = str(first["loc"][0])
        detail = f"{name} is {shown(record[name])}; {first['msg']}"
        raise RefusedRecord(_code(name, first["type"]), name, detail) from None
    for name, value in record.items():  # what the topic ignores
        if value is not None and getattr(observation, name) is None:
            raise RefusedRecord(ProblemCode.WRONG_TYPE, name, f"{name} is {shown(value)}; allowed: a number, or null")
    return observation


def _code(name: str, error_type: str) -> ProblemCode:
    """The code of one of pydantic's errors."""
    if name == "timestamp":
        return ProblemCode.NO_ZONE if error_type == "timezone_aware" else ProblemCode.BAD_TIME
    if name == "station_id":
        is_text = error_type in ("string_pattern_mismatch", "string_too_long", "string_unicode")
        return ProblemCode.BAD_STATION if is_text else ProblemCode.WRONG_TYPE
    return ProblemCode.NOT_FINITE if error_type == "finite_number" else ProblemCode.WRONG_TYPE


def _station(
    station_id: str, stations: Mapping[str, Station], settings: Settings, permitted: Callable[[str], bool]
) -> Station:
    name = shown(station_id)
    if not permitted(station_id):
        detail = f"the token is not for {name}; see: weatherglass tokens list"
        raise RefusedRecord(ProblemCode.FORBIDDEN_STATION, "station_id", detail)
    if station := stations.get(station_id):
        return station
    if known := known_stations(settings).get(station_id):
        sources = " and ".join(known.sources) or "a replay or simulation"
        detail = f"{name} is observed by {sources}; add a station of another id: weatherglass stations add"
        raise RefusedRecord(ProblemCode.POLLED_STATION, "station_id", detail)
    detail = f"{name} is not in the station table; add it: weatherglass stations add"
    raise RefusedRecord(ProblemCode.UNKNOWN_STATION, "station_id", detail)


def _check_time(observation: Observation, now: datetime, settings: Settings) -> None:
    reason = check_timestamp(observation.timestamp, now, settings)
    if reason is None:
        return
    allowed = (
        f"at most {settings.past_horizon_hours:g} h before and {settings.future_tolerance_minutes:g} min after the "
        f"clock of this machine, {iso(now)}"
    )
    detail = f"timestamp is {iso(observation.timestamp)}; allowed: {allowed}"
    raise RefusedRecord(ProblemCode(reason), "timestamp", detail)


def _check_values(observation: Observation, station: Station) -> None:
    limits = range_limits(station.latitude, station.elevation)
    present = False
    for name, limit in (*limits.items(), ("wind_gust", limits["wind_speed"])):
        value = getattr(observation, name)
        present = present or value is not None
        if value is not None and not limit.contains(value):
            unit = UNITS["wind_speed" if name == "wind_gust" else name]
            detail = f"{name} is {value:g}; allowed: {limit.low:g} to {limit.high:g} {unit}"
            raise RefusedRecord(ProblemCode.OUT_OF_RANGE, name, detail)
    if not present:
        raise RefusedRecord(ProblemCode.NO_VALUE, None, f"no value; give one of {', '.join(limits)}")


class OwnStationPublisher:
    """Publishes accepted records, from any thread. It connects to the broker when it is first used."""

    def __init__(self, settings: Settings):
        self._settings, self._topics = settings, settings.topics
        self._lock = threading.Lock()
        self._producer: KafkaProducer | None = None
        self._resources = ExitStack()
        self._failed: tuple[float, str] | None = None

    def publish(self, observations: Sequence[Observation], now: datetime) -> None:
        """Publish observations in order of time, and wait until the broker has acknowledged all of them.

        Args:
            now: UTC; the header `produced_at`.

        Raises:
            PublishError: the broker cannot be reached, or did not acknowledge all of them; publish them again.
        """
        ordered = sorted(observations, key=lambda observation: observation.timestamp)
        origins = dict.fromkeys((observation.station_id for observation in ordered), Origin.OWN)
        if ordered:
            self._send(lambda producer: publish_batch(producer, self._topics.raw, ordered, origins, now))

    def keep_rejected(self, copies: Sequence[RejectedCopy]) -> None:
        """Publish messages that are not used to `weather-rejected`, and wait for the acknowledgement.

        Raises:
            PublishError: as for `publish`.
        """
        if copies:
            self._send(lambda producer: _publish_rejected(producer, self._topics.rejected, copies))

    def _send(self, send: Callable[[KafkaProducer], None]) -> None:
        producer = self._open()
        try:
            send(producer)
        except PublishError:
            self._discard(producer)  # an idempotent producer may not recover from a lost batch
            raise

    def close(self) -> None:
        with self._lock:
            self._producer = None
            self._resources.close()

    def _open(self) -> KafkaProducer:
        with self._lock:
            if self._producer is None:
                if self._failed and monotonic() < self._failed[0]:
                    raise PublishError(self._failed[1])
                try:
                    self._producer = self._resources.enter_context(open_producer(self._settings))
                except PublishError as error:
                    self._failed = monotonic() + RETRY_SECONDS, str(error)
                    raise
            return self._producer

    def _discard(self, producer: KafkaProducer) -> None:
        with self._lock:
            if self._producer is producer:
                self._producer = None
                self._resources.close()


def _publish_rejected(producer: KafkaProducer, topic: str, copies: Sequence[RejectedCopy]) -> None:
    try:
        for sent in [producer.send(topic, **copy._asdict()) for copy in copies]:
            sent.get(timeout=ACKNOWLEDGEMENT_TIMEOUT_SECONDS)
    except KafkaError as error:
        raise PublishError(f"Rejected messages were not acknowledged on {topic}: {error!r}") from error
