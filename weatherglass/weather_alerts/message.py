"""Messages about weather alerts, as text for people and as JSON for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from weatherglass.alerts.notification import Links, Message
from weatherglass.record_headers import LIVE_ORIGINS
from weatherglass.records import iso
from weatherglass.store.readable import read_row
from weatherglass.store.weather_alerts import WeatherAlert

CONDITIONS = {"above": "above", "below": "below", "rise": "rises by more than", "fall": "falls by more than"}


@dataclass(frozen=True)
class WeatherAlertNotice:
    """The start of a weather alert or, if it has ended, its end.

    Attributes:
        station_name: for display.
        page: address of the station's page.
    """

    alert: WeatherAlert
    station_name: str
    page: str

    @property
    def key(self) -> tuple[int, bool]:
        """Id of the alert, and whether it has ended."""
        return self.alert.id, self.has_ended

    @property
    def start_key(self) -> tuple[int, bool]:
        """The key of the notice about the start."""
        return self.alert.id, False

    @property
    def has_ended(self) -> bool:
        return self.alert.ended_at is not None

    @property
    def kind(self) -> str:
        """`weather alert` or `station fault`."""
        return "station fault" if self.alert.details.get("kind") == "fault" else "weather alert"

    @property
    def title(self) -> str:
        return f"{self.alert.rule_name}: {self.station_name}"


def notice(alert: WeatherAlert, station_names: Mapping[str, str], links: Links) -> WeatherAlertNotice:
    """The notice of an alert; a station without a name has its id."""
    name = station_names.get(alert.station_id, alert.station_id)
    return WeatherAlertNotice(alert, name, links.page(f"station?id={quote(alert.station_id, safe='')}"))


def message(notices: Sequence[WeatherAlertNotice]) -> Message:
    """One message about all notices."""
    started = [one for one in notices if not one.has_ended]
    first, *others = started or notices
    state = first.kind if started else f"{first.kind} ended"
    more = f" and {len(others)} more" if others else ""
    subject = f"[Weatherglass: {state}] {first.title}{more}"
    text = "\n\n".join("\n".join(_lines(one)) for one in notices) + "\n"
    return Message(
        subject, text, {"text": f"{subject}\n\n{text}", "weather_alerts": [_document(one) for one in notices]}
    )


def _document(one: WeatherAlertNotice) -> dict[str, Any]:
    alert = one.alert
    return {
        "id": alert.id,
        "rule_id": alert.rule_id,
        "rule": alert.rule_name,
        "station_id": alert.station_id,
        "status": "ended" if one.has_ended else "started",
        "since": iso(alert.since),
        "ended_at": iso(alert.ended_at) if alert.ended_at else None,
        "end_reason": alert.end_reason,
        "details": alert.details,
        "page": one.page,
    }


def _lines(one: WeatherAlertNotice) -> list[str]:
    alert, since = one.alert, iso(one.alert.since)
    if alert.ended_at:
        return [f"ENDED ({alert.end_reason}) at {iso(alert.ended_at)}: {one.title} (since {since})"]
    found = read_row(alert, _found_lines) or []
    return [f"{one.kind.upper()} since {since}: {one.title}", *found, f"Page: {one.page}"]


def _found_lines(alert: WeatherAlert) -> list[str]:
    details = alert.details
    found = _fault_lines(details) if details["kind"] == "fault" else _forecast_lines(details)
    source = details["source"]
    return found if source in LIVE_ORIGINS else [*found, f"Not live weather: source {source or 'unknown'}"]


def _forecast_lines(details: Mapping[str, Any]) -> list[str]:
    variable, unit = details["variable"].replace("_", " "), details["unit"]
    first = f"; first at {details['first_time']}" if details["first_time"] else ""
    probability = details["probability"]
    chance = "more than 99 %" if probability > 0.99 else f"{100 * probability:.0f} %"  # it is never certain
    return [
        f"{variable} {CONDITIONS[details['condition']]} {details['threshold']:g} {unit}: "
        f"probability {chance} at {details['valid_time']}{first}",
        f"Forecast of {details['forecast_of']}: {details['value']:.1f} {unit}, {100 * details['interval_level']:.0f} % "
        f"interval {details['lower']:.1f} to {details['upper']:.1f} {unit}",
    ]


def _fault_lines(details: Mapping[str, Any]) -> list[str]:
    reasons = "; ".join(details["reasons"]) or ", ".join(details["checks"])
    return [
        f"{details['readings']} flagged readings, the last one at {details['last_reading']}, "
        f"score {details['score']:.2f}",
        reasons,
    ]
