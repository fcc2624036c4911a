"""Test messages for `weather-raw`, and readers of the output topics of the features job."""

from __future__ import annotations

import json
import random
from datetime import datetime
from typing import Any

import jsonschema

from tests.oracle import Features, time_of
from tests.spark_jobs.driver import read_all
from weatherglass.record_schemas import json_schema
from weatherglass.records import Observation
from weatherglass.stations import bundled_stations
from weatherglass.topics import FEATURES, RAW, REJECTED

ELEVATIONS = {name: at.elevation for name, at in bundled_stations().items() if at.elevation is not None}


def observe(station: str, time: datetime, seed: int) -> dict[str, Any]:
    draw = random.Random(seed)
    record = Observation(
        station_id=station,
        timestamp=time,
        temperature=round(draw.gauss(12, 3), 1),
        humidity=draw.randint(40, 100),
        pressure=round(draw.gauss(1000, 5), 1),
        wind_speed=round(draw.uniform(0, 9), 2),
        wind_direction=draw.choice([None, draw.randint(0, 360)]),
    )
    return json.loads(record.to_json())


def keyed(observations: list[dict[str, Any]]) -> list[tuple[bytes | None, bytes | None]]:
    return [(o["station_id"].encode(), json.dumps(o).encode()) for o in observations]


def features_on_topic(servers: str) -> Features:
    """The features of the last record of each (station, window end); checks every record against the JSON schema."""
    schema = jsonschema.Draft202012Validator(json_schema("window-features"))
    last: Features = {}
    for message in read_all(servers, FEATURES):
        record = json.loads(message.value)
        schema.validate(record)
        assert message.key.decode() == record["station_id"]
        headers = dict(message.headers)
        assert headers["schema"] == b"window-features/1"
        assert time_of(headers["produced_at"].decode())
        last[record["station_id"], time_of(record["window_end"])] = record["aggregated_features"]
    return last


def rejected_on_topic(servers: str) -> list[tuple[str, bytes | None, bytes | None]]:
    """(reason, key, value) of each rejected message, once per original partition and offset."""
    rejected = {}
    for message in read_all(servers, REJECTED):
        headers = {name: value.decode() for name, value in message.headers}
        assert headers["topic"] == RAW
        origin = (int(headers["partition"]), int(headers["offset"]))
        rejected[origin] = (headers["reason"], message.key, message.value)
    return list(rejected.values())
