"""From an MQTT message to records in the published schema, by the mappings of its topic."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from pydantic_core import PydanticCustomError

from producer.mappings import MqttMapping
from producer.own_stations import ProblemCode, shown
from weatherglass.history.sources.units import DECIMALS, find_unit
from weatherglass.qc.observation_checks import RejectionReason
from weatherglass.records import iso
from weatherglass.strict_json import STRICT_DECODER


class UnusablePayload(ValueError):
    """A message that cannot become a record: the reason, and a detail that names the field."""

    def __init__(self, reason: RejectionReason | ProblemCode, detail: str):
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


def decode(payload: bytes) -> dict[str, Any]:
    """The JSON object of a message.

    Raises:
        UnusablePayload: it is none.
    """
    if not payload:
        raise UnusablePayload(RejectionReason.EMPTY, "no payload")
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        raise UnusablePayload(RejectionReason.NOT_UTF8, "not UTF-8") from None
    try:
        content = json.loads(text)
        STRICT_DECODER.decode(text)
    except (ValueError, RecursionError, PydanticCustomError) as error:
        raise UnusablePayload(RejectionReason.MALFORMED_JSON, str(error)) from None
    if not isinstance(content, dict):
        raise UnusablePayload(RejectionReason.WRONG_TYPE, f"{shown(content)} is not an object")
    return content


def to_record(mapping: MqttMapping, topic: str, content: dict[str, Any], retained: bool, arrived: datetime) -> Any:
    """The record, as a JSON object that `producer.own_stations` checks.

    Args:
        retained: whether the broker had kept the message; it may be of any age.
        arrived: UTC.

    Raises:
        UnusablePayload: the time is not certain, or a value is not a number.
    """
    if not mapping.values:
        return content
    record: dict[str, Any] = {"station_id": _station(mapping, topic, content)}
    record["timestamp"] = _time(mapping, content, retained, arrived)
    for name, value in mapping.values.items():
        number = _find(content, value.field)
        if number is None:
            continue
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise UnusablePayload(RejectionReason.WRONG_TYPE, f"{value.field} is {shown(number)}; allowed: a number")
        unit = find_unit(name, value.unit)
        assert unit
        try:
            record[name] = round(unit.convert(number), DECIMALS)
        except OverflowError:
            raise UnusablePayload(RejectionReason.NOT_FINITE, f"{value.field} is {shown(number)}") from None
    return record


def _find(content: Any, path: str) -> Any:
    """The value at a path; None if there is none."""
    for name in path.split("."):
        content = content.get(name) if isinstance(content, dict) else None
    return content


def _station(mapping: MqttMapping, topic: str, content: dict[str, Any]) -> Any:
    if mapping.station_level is not None:
        levels = topic.split("/")
        if len(levels) < mapping.station_level:  # the filter `a/#` also matches the topic `a`
            detail = f"the topic has {len(levels)} levels; station_level is {mapping.station_level}"
            raise UnusablePayload(RejectionReason.MISSING_STATION, detail)
        return levels[mapping.station_level - 1]
    return mapping.station or _find(content, mapping.station_field or "")


def _time(mapping: MqttMapping, content: dict[str, Any], retained: bool, arrived: datetime) -> str:
    if mapping.time is None:
        if retained:
            raise UnusablePayload(RejectionReason.MISSING_TIME, "a retained message without a time may be of any age")
        return iso(arrived)
    value = _find(content, mapping.time)
    if value is None:
        raise UnusablePayload(RejectionReason.MISSING_TIME, f"{mapping.time} is missing")
    try:
        return iso(_local_or_utc(value, mapping) if mapping.time_format == "iso" else _since_1970(value, mapping))
    except UnusablePayload:
        raise
    except (ValueError, TypeError, OverflowError, OSError):
        detail = f"{mapping.time} is {shown(value)}; expected: {mapping.time_format}"
        raise UnusablePayload(RejectionReason.BAD_TIME, detail) from None


def _since_1970(value: Any, mapping: MqttMapping) -> datetime:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("not a number")
    return datetime.fromtimestamp(value / (1000 if mapping.time_format == "epoch-ms" else 1), UTC)


def _local_or_utc(value: Any, mapping: MqttMapping) -> datetime:
    time = datetime.fromisoformat(value)
    if len(value) <= len("2026-11-30"):
        raise ValueError("no time of day")
    if time.tzinfo is not None:
        return time
    if mapping.zone is None:
        detail = f"{mapping.time} is {shown(value)}, without a time zone; time_zone in the mapping states it"
        raise UnusablePayload(RejectionReason.NO_ZONE, detail)
    first, second = (time.replace(tzinfo=mapping.zone, fold=fold) for fold in (0, 1))
    if first.utcoffset() != second.utcoffset():
        raise ValueError("a local time that occurs twice or never, when the clocks change")
    return first
