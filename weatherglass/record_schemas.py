"""The records by the name of their schema."""

from __future__ import annotations

from typing import Any, Literal

from weatherglass.guidance_record import Guidance
from weatherglass.records import Hour, Observation, Prediction, Record, WindowFeatures

RECORDS: dict[str, type[Record]] = {
    "observation": Observation,
    "window-features": WindowFeatures,
    "hour": Hour,
    "prediction": Prediction,
    "guidance": Guidance,
}
"""The records by the name of their schema, as in `docs/schemas/<name>.json` and in the header `schema`."""


def json_schema(name: str) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a record, as in `docs/schemas/`."""
    mode: Literal["serialization"] = "serialization"
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **RECORDS[name].model_json_schema(mode=mode),
    }
