"""`GET /weather-alerts`, and `GET`, `POST` and `DELETE` of `/weather-alerts/rules`.

`weather_alert_backtest` has the back-test of a rule.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Path, Query, Request
from pydantic import BaseModel, Field

from weatherglass.api.dependencies import (
    ConnectionDep,
    NowDep,
    SettingsDep,
    StationQuery,
    require_known_station,
)
from weatherglass.api.problems import TOO_MANY_RULES, UNKNOWN_RULE, Problem, error_responses
from weatherglass.api.routes.anomalies import MAX_ID
from weatherglass.records import Time
from weatherglass.store import weather_alerts
from weatherglass.store.readable import read_row
from weatherglass.store.weather_alerts import EndReason, StoredRule
from weatherglass.weather_alerts.outlook import NotEvaluated
from weatherglass.weather_alerts.rule import FaultRule, ForecastRule, WeatherAlertRule, parse_rule

router = APIRouter(tags=["weather alerts"])

MAX_RULES = 200

EXAMPLE = {
    "kind": "forecast",
    "name": "Frost in the orchard",
    "stations": ["new-york"],
    "variable": "temperature",
    "condition": "below",
    "threshold": 0,
    "unit": "°C",
    "last_lead": 18,
    "probability": 0.5,
    "quiet_hours": {"start": "22:00", "end": "06:00", "time_zone": "America/New_York"},
}
RuleBody = Annotated[WeatherAlertRule, Body(examples=[EXAMPLE])]


class RuleItem(BaseModel):
    """A weather alert rule in use."""

    id: int = Field(examples=[3])
    rule: WeatherAlertRule
    created_by: str = Field(description="Name of the user.", examples=["admin"])
    created_at: Time = Field(examples=["2026-01-05T12:15:00Z"])
    evaluated_at: Time | None = Field(
        description="Null before the first evaluation.", examples=["2026-01-05T12:16:00Z"]
    )
    not_evaluated: dict[str, NotEvaluated] = Field(
        description="Stations for which the rule could not be evaluated, each with the reason.",
        examples=[{"boston": "no_forecast"}],
    )


class RulesResponse(BaseModel):
    rules: list[RuleItem] = Field(description="The oldest first.")
    unreadable: list[int] = Field(
        description="Ids of stored rules that this version cannot read; they are not evaluated.", examples=[[]]
    )


class WeatherAlertItem(BaseModel):
    """A rule whose condition was met at a station."""

    id: int = Field(examples=[17])
    rule_id: int = Field(examples=[3])
    rule_name: str = Field(examples=["Frost in the orchard"])
    station_id: str = Field(examples=["new-york"])
    since: Time = Field(description="When the alert started.", examples=["2026-01-05T12:16:00Z"])
    seen_at: Time = Field(description="When the rule was last met.", examples=["2026-01-05T12:30:00Z"])
    ended_at: Time | None = Field(description="Null while the alert is open.", examples=[None])
    end_reason: EndReason | None = Field(
        description="`cleared`: the condition for the end was met; `expired`: its hours passed without a newer "
        "forecast; `deleted`: the rule was deleted.",
        examples=[None],
    )
    details: dict[str, Any] = Field(
        description="What the rule found at the last evaluation. Forecast: the hour with the highest `probability` "
        "(`valid_time`, with `value`, `lower` and `upper` in `unit`), the first hour that reaches the rule's "
        "probability (`first_time`), the last hour looked at (`until`), and the observation that the forecast is "
        "based on (`forecast_of`, `source`). Fault: `checks`, `reasons`, `score` and number of `readings`.",
        examples=[{"variable": "temperature", "probability": 0.72, "valid_time": "2026-01-06T04:00:00Z"}],
    )
    sent_at: Time | None = Field(description="When it was sent to all channels; null if not sent.", examples=[None])


class WeatherAlertsResponse(BaseModel):
    alerts: list[WeatherAlertItem] = Field(description="The newest first.")
    next_cursor: int | None = Field(
        description="Value of `cursor` for the next page; null on the last page.", examples=[None]
    )


@router.get("/weather-alerts", summary="List weather alerts", responses=error_responses(422, 503))
def list_weather_alerts(
    store: ConnectionDep,
    open_only: Annotated[
        bool | None, Query(alias="open", description="`true`: open alerts only; `false`: ended alerts only.")
    ] = None,
    station_id: StationQuery = None,
    limit: Annotated[int, Query(ge=1, le=500, description="Maximum number of alerts per page.")] = 50,
    cursor: Annotated[int | None, Query(ge=1, le=MAX_ID, description="`next_cursor` of the previous page.")] = None,
) -> WeatherAlertsResponse:
    """Alerts that the rules of users raised about forecasts and faults of stations."""
    rows = weather_alerts.list_alerts(store, limit + 1, cursor, open_only, station_id)
    page = [WeatherAlertItem.model_validate(row, from_attributes=True) for row in rows[:limit]]
    return WeatherAlertsResponse(alerts=page, next_cursor=page[-1].id if len(rows) > limit else None)


@router.get("/weather-alerts/rules", summary="List weather alert rules", responses=error_responses(503))
def list_rules(store: ConnectionDep) -> RulesResponse:
    """The rules of all users. The monitor evaluates them every minute."""
    stored = weather_alerts.rules(store)
    items = {rule.id: read_row(rule, rule_item) for rule in stored}
    readable = [item for item in items.values() if item is not None]
    return RulesResponse(rules=readable, unreadable=[rule_id for rule_id, item in items.items() if item is None])


def rule_item(stored: StoredRule) -> RuleItem:
    """The item of a stored rule.

    Raises:
        pydantic.ValidationError: the definition is not a rule.
    """
    return RuleItem(
        id=stored.id,
        rule=parse_rule(stored.definition),
        created_by=stored.created_by,
        created_at=stored.created_at,
        evaluated_at=stored.evaluated_at,
        not_evaluated={station: NotEvaluated(reason) for station, reason in stored.not_evaluated.items()},
    )


def require_known_stations(rule: ForecastRule | FaultRule, store: ConnectionDep, settings: SettingsDep) -> None:
    """Raise the problem `unknown_station` for a rule with a station that does not exist."""
    stations: Sequence[str] = rule.stations or ()
    for station_id in stations:
        require_known_station(station_id, store, settings)


def write_routes(require_writer: Callable[..., str]) -> APIRouter:
    """The routes that change rules. `require_writer` is a dependency that returns the user name or raises."""
    router = APIRouter(tags=["weather alerts"])

    @router.post(
        "/weather-alerts/rules",
        summary="Add a weather alert rule",
        status_code=201,
        responses=error_responses(403, 404, 409, 422, 503),
    )
    def add_rule(
        body: RuleBody, request: Request, settings: SettingsDep, now: NowDep, user: str = Depends(require_writer)
    ) -> RuleItem:
        """Add a rule; the monitor evaluates it within a minute.

        An unknown variable, unit, station or time zone is refused, and so is a threshold that the variable cannot have.
        """
        with request.app.state.store.begin() as connection:
            require_known_stations(body, connection, settings)
            if weather_alerts.count_rules(connection) >= MAX_RULES:
                raise Problem(TOO_MANY_RULES, f"There are {MAX_RULES} rules already. Delete one first.")
            rule_id = weather_alerts.add_rule(connection, body.model_dump(mode="json"), user, now)
            stored = weather_alerts.get_rule(connection, rule_id)
            assert stored is not None
            return rule_item(stored)

    @router.delete(
        "/weather-alerts/rules/{rule_id}",
        summary="Delete a weather alert rule",
        status_code=204,
        responses=error_responses(403, 404, 422, 503),
    )
    def delete_rule(
        rule_id: Annotated[
            int, Path(ge=1, le=MAX_ID, description="Rule id, as returned by `/weather-alerts/rules`.", examples=[3])
        ],
        request: Request,
        now: NowDep,
        user: str = Depends(require_writer),  # noqa: ARG001 (checks the permission)
    ) -> None:
        """Delete a rule and end its open alerts, without a message. Its past alerts are kept."""
        with request.app.state.store.begin() as connection:
            if not weather_alerts.delete_rule(connection, rule_id, now):
                raise Problem(UNKNOWN_RULE, f"Weather alert rule {rule_id} does not exist. See /weather-alerts/rules.")

    return router
