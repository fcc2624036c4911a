"""Weather alerts in Chromium: the rules on their page, and the alerts on the map and the page of a station."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect
from sqlalchemy import delete

from tests.weatherglass.api.browser import TIMEOUT_MS
from tests.weatherglass.api.dashboard import scene
from tests.weatherglass.api.dashboard.conftest import STATIONS, OpenPage, Served
from weatherglass.store.schema import weather_alert_rules, weather_alerts

pytestmark = pytest.mark.integration
expect.set_options(timeout=TIMEOUT_MS)

STATION = STATIONS[1]
MALICIOUS = "<img src=x onerror=\"document.title='taken'\">"


@pytest.fixture(autouse=True)
def without_rules(served: Served) -> None:
    with served.store.begin() as connection:
        connection.execute(delete(weather_alerts))
        connection.execute(delete(weather_alert_rules))


def rules(served: Served) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = httpx.get(f"{served.address}/weather-alerts/rules", timeout=60).json()["rules"]
    return listed


def field(page: Page, name: str) -> Locator:
    return page.locator(f"#rule [name={name}]")


def open_form(served: Served, open_page: OpenPage, preset: str) -> Page:
    page = open_page(f"{served.address}/dashboard/weather-alerts").page
    page.get_by_role("button", name=preset, exact=True).click()
    return page


def test_a_rule_of_the_form_is_added_and_deleted(served: Served, open_page: OpenPage) -> None:
    opened = open_page(f"{served.address}/dashboard/weather-alerts")
    page = opened.page
    page.get_by_role("button", name="Gale", exact=True).click()
    field(page, "name").fill(MALICIOUS)
    field(page, "scope").select_option("some")
    field(page, "stations").select_option([STATIONS[2].station_id, STATIONS[0].station_id])
    field(page, "unit").select_option("kt")
    field(page, "threshold").fill("33.5")
    field(page, "start").fill("22:00")
    field(page, "end").fill("06:30")
    field(page, "time_zone").fill("America/New_York")
    page.get_by_role("button", name="Add rule").click()
    row = page.locator("#rules tr[data-rule]")
    expect(row).to_have_count(1)
    expect(row.locator("th")).to_have_text(MALICIOUS)
    (item,) = rules(served)
    assert item["rule"] == {
        "kind": "forecast",
        "name": MALICIOUS,
        "stations": sorted([STATIONS[0].station_id, STATIONS[2].station_id], key=item["rule"]["stations"].index),
        "variable": "wind_speed",
        "condition": "above",
        "threshold": 33.5,
        "unit": "kt",
        "first_lead": 1,
        "last_lead": 24,
        "probability": 0.5,
        "end_probability": 0.3,
        "quiet_hours": {"start": "22:00", "end": "06:30", "time_zone": "America/New_York"},
    }
    row.get_by_role("button", name="Delete").click()
    expect(row).to_have_count(0)
    assert rules(served) == []
    assert page.title() != "taken"
    assert opened.console_errors == []


def test_a_rule_about_faults_is_added(served: Served, open_page: OpenPage) -> None:
    page = open_form(served, open_page, "Fault")
    expect(field(page, "threshold")).to_be_hidden()
    field(page, "min_readings").fill("4")
    page.get_by_role("button", name="Add rule").click()
    expect(page.locator("#rules tr[data-rule]")).to_have_count(1)
    (item,) = rules(served)
    expected = {"kind": "fault", "name": "Fault", "stations": None, "min_readings": 4, "min_score": 0.5}
    assert {name: item["rule"][name] for name in expected} == expected


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("time_zone", "Mars/Olympus", "quiet_hours"),
        ("end_probability", "60", "end_probability"),
        ("threshold", "200", ""),
    ],
)
def test_the_reason_why_a_rule_is_refused_is_shown(
    served: Served, open_page: OpenPage, name: str, value: str, problem: str
) -> None:
    page = open_form(served, open_page, "Heat")
    if name == "time_zone":
        field(page, "start").fill("22:00")
        field(page, "end").fill("06:00")
    field(page, name).fill(value)
    page.get_by_role("button", name="Add rule").click()
    expect(page.locator("#rule-problem")).to_contain_text(problem or "temperature")
    assert rules(served) == []


def test_open_alerts_are_on_their_page_the_map_and_the_page_of_the_station(served: Served, open_page: OpenPage) -> None:
    with served.store.begin() as connection:
        rule_id = scene.save_weather_alerts(connection, STATION.station_id, served.newest)
    page = open_page(f"{served.address}/dashboard/weather-alerts").page
    expect(page.locator("#open > li")).to_have_count(1)
    expect(page.locator("#open > li")).to_contain_text(re.compile(r"72\s%"))
    expect(page.locator("#open > li")).to_contain_text("−1.2 °C")
    expect(page.locator("#ended > li")).to_have_count(1)
    expect(page.locator(f"#rules tr[data-rule='{rule_id}'] .doubt")).to_contain_text("nowhere")
    violations = Axe().run(page).response["violations"]
    assert [v["id"] for v in violations if v["impact"] in ("serious", "critical")] == []
    overview = open_page(f"{served.address}/dashboard").page
    marker = overview.locator(f"#map .marker[data-id='{STATION.station_id}']")
    expect(marker.locator(".warning")).to_have_count(1)
    expect(overview.locator("#map .marker .warning")).to_have_count(1)
    expect(marker.locator("a")).to_have_attribute("aria-label", re.compile("Frost in the orchard"))
    row = overview.locator("#stations tr").filter(has_text=STATION.name)
    expect(row.locator(".tag.warn")).to_have_text("Frost in the orchard")
    station = open_page(f"{served.address}/dashboard/station?id={STATION.station_id}").page
    expect(station.locator("#weather-alerts > li")).to_have_count(1)
    other = open_page(f"{served.address}/dashboard/station?id={STATIONS[0].station_id}").page
    expect(other.locator("#name")).to_have_text(STATIONS[0].name)
    expect(other.locator("#weather-alerts-card")).to_be_hidden()


def test_a_back_test_of_the_form_and_of_a_rule_shows_what_the_api_returns(served: Served, open_page: OpenPage) -> None:
    """The forecasts of the scene have errors, so that a rule near the usual temperature raises alerts."""
    station = STATION.station_id
    with served.store.begin() as connection:
        scene.save_weather_alerts(connection, station, served.newest)
    opened = open_page(f"{served.address}/dashboard/weather-alerts")
    page = opened.page
    page.get_by_role("button", name="Heat", exact=True).click()
    field(page, "threshold").fill("5")
    page.locator("#backtest-days").select_option("7")
    page.locator("#try-rule").click()
    expect(page.locator("#backtest")).to_be_visible()
    rule = {"kind": "forecast", "name": "Heat", "variable": "temperature", "condition": "above", "threshold": 5}
    rule |= {"unit": "°C", "probability": 0.5, "end_probability": 0.3}
    response = httpx.post(f"{served.address}/weather-alerts/backtest?days=7", json=rule, timeout=60).json()
    assert response["fired"] > 0
    shown = page.locator("#backtest-summary .figure")
    expect(shown).to_have_text(
        [
            *(str(response[name]) for name in ("fired", "right", "wrong", "unknown")),
            f"{response['missed']} of {response['occurrences']}",
        ]
    )
    expect(page.locator("#backtest-alerts tr")).to_have_count(response["fired"])
    violations = Axe().run(page).response["violations"]
    assert [v["id"] for v in violations if v["impact"] in ("serious", "critical")] == []
    page.get_by_role("button", name="Back-test: Frost in the orchard").click()
    expect(page.locator("#backtest-rule")).to_contain_text("Frost in the orchard")
    assert rules(served)[0]["rule"]["stations"][1] == "nowhere"
    assert opened.console_errors == []
