"""The examples of the API guide are run: each address is answered, in the shape that the guide shows."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from tests.weatherglass.api.dashboard.scene import watched
from tests.weatherglass.store.samples import NOON, a_prediction
from weatherglass.records import Origin
from weatherglass.settings import PROJECT_ROOT
from weatherglass.stations import known_stations
from weatherglass.store import predictions

GUIDE = (PROJECT_ROOT / "docs" / "api.md").read_text(encoding="utf-8")
ALONE = "http://127.0.0.1:8000"
EXAMPLES = [
    (block, shown)
    for block, shown in re.findall(r"```sh\n(.*?)```\n(?:```json\n(.*?)```)?", GUIDE, re.DOTALL)
    if ALONE in block and "/events" not in block
]


def differences(shown: Any, answered: Any, where: str = "") -> list[str]:
    """What the guide shows and the answer has not, or has of another kind. A list shows its first element."""
    if isinstance(shown, dict) and isinstance(answered, dict):
        missing = [f"{where}.{name} is missing" for name in shown.keys() - answered.keys()]
        both = shown.keys() & answered.keys()
        return missing + [line for name in both for line in differences(shown[name], answered[name], f"{where}.{name}")]
    if isinstance(shown, list) and isinstance(answered, list):
        if shown and not answered:
            return [f"{where} is empty"]
        return differences(shown[0], answered[0], f"{where}[0]") if shown else []
    kinds = [(int, float) if type(value) in (int, float) else type(value) for value in (shown, answered)]
    return [] if kinds[0] == kinds[1] else [f"{where} is {answered!r}, not of the kind of {shown!r}"]


@pytest.mark.parametrize(("block", "shown"), EXAMPLES, ids=[re.sub(r"\W+", "-", b)[:60] for b, _ in EXAMPLES])
def test_the_guide_is_true(client: TestClient, store: Engine, block: str, shown: str) -> None:
    with store.begin() as connection:
        watched(connection, [known_stations()["new-york"]], NOON)
        flagged = a_prediction(timestamp=NOON + timedelta(minutes=1), failed=("step",))
        predictions.save(connection, [flagged], NOON, Origin.OPEN_METEO)
    command = block.replace("\\\n", " ")
    path = re.search(rf"{ALONE}([^'\s]+)", command)
    assert path is not None
    headers = dict(header.split(": ") for header in re.findall(r"-H '([^']+)'", command))
    if body := re.search(r"-d '([^']+)'", command):
        answer = client.post(path[1], content=body[1], headers=headers)
    else:
        answer = client.get(path[1], headers=headers)
    assert answer.status_code in (200, 404), answer.text
    if headers.get("Accept") == "text/csv":
        assert answer.text.count("\n") > 1
    if shown:
        assert differences(json.loads(shown), answer.json()) == []


def test_every_route_stands_in_the_guide(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert [path for path in paths if f"`GET {path}`" not in GUIDE and f"`POST {path}`" not in GUIDE] == []
