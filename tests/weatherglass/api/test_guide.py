"""Runs the curl examples of docs/api.md and compares the structure of the responses with the documented ones."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from tests.weatherglass.api.dashboard.scene import save_monitoring_data
from tests.weatherglass.store.samples import NOON, a_prediction
from weatherglass.record_headers import Origin
from weatherglass.records import UsedGuidance, UsedRun
from weatherglass.settings import PROJECT_ROOT
from weatherglass.stations import bundled_stations
from weatherglass.store import predictions

GUIDE = (PROJECT_ROOT / "docs" / "api.md").read_text(encoding="utf-8")
BASE_URL = "http://127.0.0.1:8000"
EXAMPLES = [
    (block, documented)
    for block, documented in re.findall(r"```sh\n(.*?)```\n(?:```json\n(.*?)```)?", GUIDE, re.DOTALL)
    if BASE_URL in block and "/events" not in block
]


def differences(documented: Any, actual: Any, path: str = "") -> list[str]:
    """Documented fields that are missing or have another type. Of a list, only the first element is compared."""
    if isinstance(documented, dict) and isinstance(actual, dict):
        missing = [f"{path}.{name} is missing" for name in documented.keys() - actual.keys()]
        common = documented.keys() & actual.keys()
        return missing + [
            line for name in common for line in differences(documented[name], actual[name], f"{path}.{name}")
        ]
    if isinstance(documented, list) and isinstance(actual, list):
        if documented and not actual:
            return [f"{path} is empty"]
        return differences(documented[0], actual[0], f"{path}[0]") if documented else []
    types = [(int, float) if type(value) in (int, float) else type(value) for value in (documented, actual)]
    return [] if types[0] == types[1] else [f"{path} is {actual!r}, documented as {documented!r}"]


def test_there_are_examples_with_responses() -> None:
    assert len(EXAMPLES) >= 8
    assert sum(bool(documented) for _, documented in EXAMPLES) >= 6


@pytest.mark.parametrize(("block", "documented"), EXAMPLES, ids=[re.sub(r"\W+", "-", b)[:60] for b, _ in EXAMPLES])
def test_examples_return_the_documented_fields(client: TestClient, store: Engine, block: str, documented: str) -> None:
    with store.begin() as connection:
        save_monitoring_data(connection, [bundled_stations()["new-york"]], NOON)
        flagged = a_prediction(timestamp=NOON + timedelta(minutes=1), failed=("step",))
        runs = [UsedRun(model="best_match", run=NOON)]
        used = UsedGuidance(model_version="2", runs=runs, variables=["temperature"], simulated=False)
        combined = flagged.predictions.model_copy(update={"guidance": used})
        flagged = flagged.model_copy(update={"predictions": combined})
        predictions.save(connection, [flagged], NOON, Origin.OPEN_METEO)
    command = block.replace("\\\n", " ")
    path = re.search(rf"{BASE_URL}([^'\s]+)", command)
    assert path is not None
    headers = dict(header.split(": ") for header in re.findall(r"-H '([^']+)'", command))
    if body := re.search(r"-d '([^']+)'", command):
        response = client.post(path[1], content=body[1], headers=headers)
    else:
        response = client.get(path[1], headers=headers)
    expected = json.loads(documented).get("status", 200) if documented else 200
    assert response.status_code == (503 if path[1] == "/health" else expected), response.text
    if headers.get("Accept") == "text/csv":
        assert response.text.count("\n") > 1
    if documented:
        assert differences(json.loads(documented), response.json()) == []


def test_every_route_is_documented(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    routes = [f"`{method.upper()} {path}`" for path, methods in paths.items() for method in methods]
    assert [route for route in routes if route not in GUIDE] == []
