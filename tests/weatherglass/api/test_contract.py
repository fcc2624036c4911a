"""The responses to generated valid and invalid requests match the OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as examples
from schemathesis.checks import CheckFunction, not_a_server_error
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tests.conftest import make_settings
from tests.weatherglass.api.conftest import clock, fill
from tests.weatherglass.api.serving import serving
from weatherglass.api.app import create_app
from weatherglass.settings import Settings
from weatherglass.station_tokens import StationTokens
from weatherglass.store.engine import open_store
from weatherglass.store.migrate import migrate

DOCUMENT = create_app(Settings()).openapi()
OPERATIONS = [
    (path, method)
    for path, methods in DOCUMENT["paths"].items()
    for method in methods
    if path != "/events"  # an endless stream; see routes/test_events.py
]


def excluded(path: str, method: str) -> list[CheckFunction]:
    """Checks that do not apply to an operation."""
    parameters = {parameter["name"] for parameter in DOCUMENT["paths"][path][method].get("parameters", ())}
    has_range = parameters >= {"from", "to"}  # a schema cannot express that `from` is before `to`
    is_health = path == "/health"  # 503 is a regular response if a component is failing
    has_rule = path.startswith("/weather-alerts/")  # a schema cannot express which unit and threshold a variable has
    return [positive_data_acceptance] * (has_range or has_rule) + [not_a_server_error] * is_health


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BaseSchema]:
    settings = make_settings(tmp_path_factory.mktemp("contract") / "state")
    migrate(settings.store_url)
    store = open_store(settings.store_url)
    fill(store)
    store.dispose()
    with serving(create_app(settings, clock=clock)) as address:
        yield schemathesis.openapi.from_url(f"{address}/openapi.json")


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_responses_match_the_openapi_document(schema: BaseSchema, path: str, method: str) -> None:
    operation = schema[path][method]

    @given(case=operation.as_strategy())
    @examples(
        max_examples=25,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def validate(case: schemathesis.Case) -> None:
        case.call_and_validate(excluded_checks=excluded(path, method))

    validate()


def test_responses_to_a_station_with_a_token_match_the_openapi_document(tmp_path: Path) -> None:
    """None of the generated stations exists, so nothing is published, and no broker is needed."""
    settings = make_settings(tmp_path / "state")
    token = StationTokens(settings).add("every", ["*"], clock())
    bearer = {"Authorization": f"Bearer {token}"}
    statuses = set()
    with serving(create_app(settings, clock=clock)) as address:
        operation = schemathesis.openapi.from_url(f"{address}/openapi.json")["/observations"]["POST"]

        @given(case=operation.as_strategy())
        @examples(
            max_examples=50, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
        )
        def validate(case: schemathesis.Case) -> None:
            response = case.call(headers=bearer)
            case.validate_response(response, excluded_checks=[positive_data_acceptance], headers=bearer)
            statuses.add(response.status_code)

        validate()
    assert statuses == {422}


def test_openapi_document_contains_the_routes() -> None:
    app = create_app(Settings())
    assert set(app.openapi()["paths"]) >= {
        "/predictions/{station_id}",
        "/predictions/{station_id}/history",
        "/anomalies/{anomaly_id}/verdict",
        "/features/{station_id}",
        "/models/compare",
        "/verification",
        "/alerts",
        "/metrics",
        "/events",
    }
