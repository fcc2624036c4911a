"""The page System in Chromium, and the line with the state of the pipeline."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from playwright.sync_api import expect

from tests.weatherglass.api.browser import TIMEOUT_MS
from tests.weatherglass.api.dashboard.conftest import OpenPage, Served
from weatherglass.alerts.metrics import LAG_SECONDS, PART_MEMORY
from weatherglass.store import alerts, metric_history
from weatherglass.store.metric_history import INTERVAL

pytestmark = pytest.mark.integration
expect.set_options(timeout=TIMEOUT_MS)


def test_an_alert_can_be_acknowledged_and_silenced_by_keyboard(served: Served, open_page: OpenPage) -> None:
    details = {
        "summary": "The rain gauge is blocked.",
        "impact": "Rain is not measured.",
        "unaffected": "All other variables.",
        "runbook": "Clean the gauge.",
    }
    with served.store.begin() as connection:
        alert = alerts.Alert("gauge_blocked", "kiel", alerts.Severity.CRITICAL, " ".join(details.values()), details)
        alerts.raise_alert(connection, alert, datetime.now(UTC))
    opened = open_page(f"{served.address}/dashboard/system")
    page = opened.page
    item = page.locator("#alerts > li").filter(has_text="gauge blocked: kiel")
    for text in details.values():
        expect(item.get_by_text(text)).to_be_visible()
    expect(item.get_by_text("docs/troubleshooting.md#gauge-blocked")).to_be_visible()
    item.get_by_role("button", name="Acknowledge: gauge blocked").focus()
    page.keyboard.press("Enter")
    expect(item.locator(".tag.good")).to_have_count(1)
    expect(item).to_be_focused()
    page.keyboard.press("Tab")
    expect(item.get_by_label("Silence for")).to_be_focused()
    item.get_by_label("Silence for").select_option("8 hours")
    item.get_by_role("button", name="Silence: gauge blocked").press("Enter")
    end_silence = item.get_by_role("button", name="End silence")
    expect(end_silence).to_be_visible()
    stored = httpx.get(f"{served.address}/alerts", timeout=60).json()["alerts"]
    (silenced,) = [alert for alert in stored if alert["subject"] == "kiel"]
    hours = (datetime.fromisoformat(silenced["silenced_until"]) - datetime.now(UTC)).total_seconds() / 3600
    assert hours == pytest.approx(8, abs=0.5)
    end_silence.press("Enter")
    expect(item.get_by_role("button", name="Silence: gauge blocked")).to_be_visible()
    with served.store.begin() as connection:
        alerts.resolve(connection, "gauge_blocked", "kiel", datetime.now(UTC))
    page.reload()
    page.locator("#resolved-count").click()
    expect(page.locator("#resolved > li").filter(has_text="gauge blocked: kiel")).to_be_visible()
    assert opened.console_errors == []


def test_an_old_critical_alert_is_first_among_more_alerts_than_a_response_contains(
    served: Served, open_page: OpenPage
) -> None:
    critical = alerts.Alert("gauge_blocked", "kiel", alerts.Severity.CRITICAL, "The rain gauge is blocked.")
    many = [alerts.Alert("gauge_dirty", f"s{n}", alerts.Severity.WARNING, "The gauge is dirty.") for n in range(501)]
    with served.store.begin() as connection:
        for alert in (critical, *many):
            alerts.raise_alert(connection, alert, datetime.now(UTC))
    items = open_page(f"{served.address}/dashboard/system").page.locator("#alerts > li")
    expect(items.first).to_contain_text("kiel")
    expect(items.filter(has_text="gauge dirty")).to_have_count(len(many))
    with served.store.begin() as connection:
        for rule in ("gauge_blocked", "gauge_dirty"):
            alerts.set_open_alerts(connection, rule, [], datetime.now(UTC))


@pytest.mark.parametrize(("severity", "state"), [("warning", "degraded"), ("critical", "failing")])
def test_the_status_line_reflects_the_most_severe_alert_and_links_to_it(
    served: Served, open_page: OpenPage, severity: str, state: str
) -> None:
    with served.store.begin() as connection:
        alert = alerts.Alert("gauge_blocked", "kiel", alerts.Severity(severity), "The rain gauge is blocked.")
        alerts.raise_alert(connection, alert, datetime.now(UTC))
    # No server runs here, so the components are reported as if they were healthy.
    health = httpx.get(f"{served.address}/dashboard/health", timeout=60).json()
    components = [{**component, "state": "ok"} for component in health["components"]]
    health |= {"components": components, "state": "ok", "overall_state": state}
    page = open_page(f"{served.address}/dashboard").page
    page.route("**/dashboard/health", lambda route: route.fulfill(json=health))
    page.reload()
    line = page.locator(f"#state.{state}")
    expect(line).to_contain_text("kiel")
    line.click()
    expect(page).to_have_url(re.compile("/dashboard/system#alert-"))
    expect(page.locator("#alerts > li:focus")).to_contain_text("kiel")
    with served.store.begin() as connection:
        alerts.resolve(connection, "gauge_blocked", "kiel", datetime.now(UTC))


@pytest.mark.parametrize("hours", [1, 6, 24, 168])
def test_system_page_shows_metrics_of_the_selected_range(served: Served, open_page: OpenPage, hours: int) -> None:
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    # The range of one hour would exclude the last full hour, so it gets metrics of the last five minutes.
    end = now.replace(minute=now.minute // 5 * 5 if hours == 1 else 0)
    with served.store.begin() as connection:
        for back in range(2 * 12):  # the last two hours, and two hours six days ago
            for at in (end - back * INTERVAL, end - timedelta(days=6) - back * INTERVAL):
                values = {(PART_MEMORY.name, ("kafka",)): 3e8, (LAG_SECONDS.name, ("inference", "raw")): 2.0}
                metric_history.save(connection, at, values)
    opened = open_page(f"{served.address}/dashboard/system?hours={hours}")
    page = opened.page
    page.locator("#memory.js-plotly-plot").wait_for()
    expect(page.locator("#range button[aria-pressed=true]")).to_have_attribute("data-value", str(hours))
    times = page.evaluate("document.getElementById('memory').data[0].x")
    old = (end - timedelta(days=6)).strftime("%Y-%m-%d")
    assert any(time.startswith(old) for time in times) == (hours == 168), times
    if hours > 1:
        assert page.evaluate("document.getElementById('lag').data[0].name") == "inference, raw"
    assert opened.console_errors == []


@pytest.mark.parametrize("size", ["wide", "narrow"])
def test_a_legend_of_many_rows_leaves_the_plot_its_space(served: Served, open_page: OpenPage, size: str) -> None:
    end = datetime.now(UTC).replace(second=0, microsecond=0)
    with served.store.begin() as connection:
        values = {(PART_MEMORY.name, (f"component-{number}",)): 1e8 * number for number in range(1, 17)}
        metric_history.save(connection, end - timedelta(minutes=end.minute % 5), values)
    page = open_page(f"{served.address}/dashboard/system?hours=24", size).page
    page.locator("#memory .legend .traces").nth(15).wait_for()
    fits = """() => {
      const box = document.getElementById("memory").getBoundingClientRect();
      const rect = (selector) => document.querySelector(`#memory ${selector}`).getBoundingClientRect();
      const [plot, legend, axis] = [rect(".nsewdrag"), rect(".legend .bg"), rect(".xaxislayer-above")];
      return plot.height > 150 && legend.top >= box.top && legend.bottom <= plot.top && axis.bottom <= box.bottom;
    }"""
    page.wait_for_function(fits)
