"""The headers of the messages: schema, time of production and the source of the observations."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

from weatherglass.record_schemas import RECORDS
from weatherglass.records import Record, iso
from weatherglass.settings import Source

SCHEMA_VERSION = 1


class Origin(StrEnum):
    """The header `source`: the source of the observations."""

    METAR = "metar"
    OPEN_METEO = "open-meteo"
    REPLAY = "replay"
    SIMULATED = "simulated"
    KAGGLE = "kaggle"
    OWN = "own"


POLLED_ORIGINS = (Origin.METAR, Origin.OPEN_METEO)
"""Sources of the present weather that are polled: measured by airports, and from models."""
LIVE_ORIGINS = (*POLLED_ORIGINS, Origin.OWN)
"""Sources of the present weather: those, and the user's own stations, which send it."""
MODEL_ORIGINS = (Origin.OPEN_METEO,)
"""Sources whose observations are output of weather models, so no truth to compare weather models with."""


def origin_of(source: Source) -> Origin:
    """The source of the observations that a configured source gives.

    Raises:
        ValueError: `auto`, which has several.
    """
    return Origin.SIMULATED if source is Source.SIMULATE else Origin(source.value)


Headers = list[tuple[str, bytes]]
INPUTS_HEADER = "inputs"
"""Header of a prediction: SHA-256 of the model's inputs."""


def headers(record: type[Record] | Record, source: Origin | None, produced_at: datetime) -> Headers:
    """The headers of a record: `schema` (name and version), `produced_at`, and `source` if it is known."""
    kind = record if isinstance(record, type) else type(record)
    name = next(name for name, candidate in RECORDS.items() if candidate is kind)
    pairs = [("schema", f"{name}/{SCHEMA_VERSION}".encode()), ("produced_at", iso(produced_at).encode())]
    return [*pairs, ("source", source.value.encode())] if source else pairs


def origin(headers: Iterable[tuple[str, bytes]]) -> Origin | None:
    """The header `source` of a message; None if it is missing or unknown."""
    value = dict(headers).get("source")
    return next((origin for origin in Origin if value == origin.value.encode()), None)


def inputs_hash(headers: Iterable[tuple[str, bytes]]) -> str | None:
    """The header `inputs` of a prediction; None if it is missing."""
    value = dict(headers).get(INPUTS_HEADER)
    return value.decode("ascii", "replace")[:64] if value else None
