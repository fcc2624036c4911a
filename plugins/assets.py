"""Airflow assets that the DAGs read and write. Airflow's asset view draws the pipeline from them."""

from __future__ import annotations

from airflow.sdk import Asset

from weatherglass import topics


def _topic(name: str) -> Asset:
    return Asset(name=name, uri=f"x-kafka://weatherglass/{name}", group="topic")


RAW = _topic(topics.RAW)
FEATURES = _topic(topics.FEATURES)
HOURS = _topic(topics.HOURS)
PREDICTIONS = _topic(topics.PREDICTIONS)
GUIDANCE = _topic(topics.GUIDANCE)
REJECTED = _topic(topics.REJECTED)

HISTORY = Asset(name="history", uri="x-weatherglass://history", group="data")
"""The prepared history; new history triggers training."""
MODELS = Asset(name="models", uri="x-weatherglass://models", group="model")
"""The registry's champions."""
STORE = Asset(name="store", uri="x-weatherglass://store", group="data")
"""Observations and predictions in SQL, which the API reads."""
SCORES = Asset(name="scores", uri="x-weatherglass://scores", group="data")
"""Verification scores of forecasts."""
