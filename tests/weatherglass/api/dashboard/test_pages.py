"""The dashboard pages in Chromium: content, accessibility, live updates and security."""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, expect
from sqlalchemy import delete, insert

from tests.weatherglass.api.browser import TIMEOUT_MS
from tests.weatherglass.api.dashboard import scene
from tests.weatherglass.api.dashboard.conftest import STATIONS, OpenPage, Served, next_step
from tests.weatherglass.api.serving import standalone_api
from tests.weatherglass.store.samples import a_prediction, an_observation
from weatherglass.api.dashboard.pages import PAGES
from weatherglass.api.dashboard.pages import Page as DashboardPage
from weatherglass.record_headers import Origin
from weatherglass.records import VARIABLES, Observation
from weatherglass.store import model_output, observations, predictions
from weatherglass.store.schema import guidance_verification, verification

pytestmark = pytest.mark.integration
expect.set_options(timeout=TIMEOUT_MS)

MALICIOUS = "<img src=x onerror=\"document.title='taken'\">"


def wait_for_content(page: Page) -> None:
    page.locator("tbody tr, .feed > li, .js-plotly-plot").first.wait_for()


def expect_toast(page: Page, kind: str, text: str = "") -> None:
    """Wait until a toast of this kind has been shown, whether or not it is still visible."""
    expect(page.locator("html")).to_have_attribute("data-toasts", re.compile(f"{kind}: [^;]*{re.escape(text)}"))


@pytest.mark.parametrize(("size", "theme"), [("wide", "light"), ("wide", "dark"), ("narrow", "light")])
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page_is_accessible_fits_the_window_and_logs_no_errors(
    served: Served, open_page: OpenPage, pictures: Path, page: DashboardPage, size: str, theme: str
) -> None:
    # The newest observation is of the last full hour and may be almost an hour old.
    query = "?hours=6" if page.name == "system" else ""
    opened = open_page(f"{served.address}/dashboard{page.path}{query}", size, theme)
    wait_for_content(opened.page)
    if page.charts:
        opened.page.locator(".js-plotly-plot .plot-container").first.wait_for()
    opened.page.screenshot(path=str(pictures / f"{page.name}-{size}-{theme}.png"), full_page=True)
    assert opened.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "horizontal scrolling"
    violations = Axe().run(opened.page).response["violations"]
    serious = [
        (violation["id"], [node["html"][:160] for node in violation["nodes"]])
        for violation in violations
        if violation["impact"] in ("serious", "critical")
    ]
    assert serious == []
    assert opened.console_errors == []


def test_overview_shows_the_values_of_the_api(served: Served, open_page: OpenPage) -> None:
    stations = httpx.get(f"{served.address}/stations", timeout=60).json()["stations"]
    page = open_page(f"{served.address}/dashboard").page
    rows = page.locator("#stations tr")
    expect(rows).to_have_count(len(stations))
    for row in stations:
        line = rows.filter(has_text=row["station"]["name"])
        shown = line.locator("td").first.inner_text().replace("−", "-")
        assert float(shown) == pytest.approx(row["newest"]["temperature"], abs=0.051)
    expect(page.locator("#map .marker")).to_have_count(len(stations))
    expect(page.locator("#source")).to_have_attribute("data-sources", "replay")


def test_the_sources_of_a_station_and_their_change_are_shown(served: Served, open_page: OpenPage) -> None:
    station = STATIONS[0].station_id
    model = Observation(station_id=station, timestamp=served.newest, temperature=12.3)
    with served.store.begin() as connection:
        recent = observations.history(connection, station, served.newest - timedelta(hours=2), next_step(served.newest))
        measured = [stored.observation for stored in recent]
        observations.save(connection, measured, served.newest, Origin.METAR)
        model_output.save(connection, [model], served.newest, Origin.OPEN_METEO)
        own = Observation(station_id=STATIONS[2].station_id, timestamp=served.newest, temperature=12.3)
        observations.save(connection, [own], served.newest, Origin.OWN)
    overview = open_page(f"{served.address}/dashboard").page
    expect(overview.locator("#source")).to_have_attribute("data-sources", re.compile(r"\bmetar\b"))
    expect(overview.locator("#stations [data-source=metar]")).to_have_count(1)
    expect(overview.locator("#stations [data-source=own]")).to_have_count(1)
    expect(overview.locator("#source")).to_have_attribute("data-sources", re.compile(r"\bown\b"))
    page = open_page(f"{served.address}/dashboard/station?id={station}&hours=24").page
    expect(page.locator("#source")).to_have_attribute("data-sources", "metar replay")
    expect(page.locator("#sources")).to_contain_text(str(STATIONS[0].metar_id))
    expect(page.locator("#sources")).to_contain_text("12.3")
    expect(page.locator("#source-changes")).to_be_visible()
    expect(page.locator("#source-changes")).to_have_attribute("data-count", "1")
    other = open_page(f"{served.address}/dashboard/station?id={STATIONS[1].station_id}&hours=24").page
    expect(other.locator("#sources")).not_to_be_empty()
    expect(other.locator("#source-changes")).to_be_hidden()


def test_units_and_map_colors_are_part_of_the_url(served: Served, open_page: OpenPage) -> None:
    page = open_page(f"{served.address}/dashboard?temp=f&wind=kn&colour=wind_speed").page
    station = httpx.get(f"{served.address}/stations", timeout=60).json()["stations"][0]
    cell = page.locator("#stations tr").first.locator("td").first
    expect(cell).to_have_text(f"{station['newest']['temperature'] * 9 / 5 + 32:.1f}".replace("-", "−"))
    expect(page.locator("#map-color button[aria-pressed=true]")).to_have_attribute("data-value", "wind_speed")
    page.get_by_text("Display").click()
    page.get_by_role("radio", name="°C").check()
    expect(cell).to_have_text(f"{station['newest']['temperature']:.1f}".replace("-", "−"))
    assert "temp=f" not in page.url


@pytest.mark.parametrize(
    ("n", "n_baselines", "shown", "colored"), [(3, 3, False, False), (60, 3, True, False), (60, 60, True, True)]
)
def test_a_score_of_few_forecasts_is_not_shown_and_a_comparison_of_few_not_colored(
    served: Served, open_page: OpenPage, n: int, n_baselines: int, shown: bool, colored: bool
) -> None:
    station = STATIONS[-1].station_id
    row = scene.score_row("7", False, served.newest.date(), station, "temperature", 1, 2.0)
    worse = {"n": n, "n_baselines": n_baselines, "mae_damped": row["mae_compared"] / 2}
    with served.store.begin() as connection:
        connection.execute(delete(verification).where(verification.c.station_id == station))
        connection.execute(insert(verification), [row | worse])
    page = open_page(f"{served.address}/dashboard/models?station={station}").page
    tile = page.locator("#summary dd").first
    expect(page.locator("#summary dd.below").first).to_contain_text(str(n))
    expect(tile).to_contain_text(re.compile(r"\d" if shown else "–"))
    expect(page.locator("#summary dd.worse")).to_have_count(int(colored))


def test_a_version_links_to_its_run_in_mlflow(served: Served, open_page: OpenPage) -> None:
    url = "http://127.0.0.1:5000/#/experiments/1/runs/2a8f6c1e"
    version = {"kind": "forecaster", "created_at": "2026-01-05T03:10:00Z", "aliases": [], "quarantined": None}
    values = {"metrics": {"mae": 1.42}, "params": {}, "tags": {}}
    versions = [
        {**version, **values, "version": "7", "mlflow_url": url},
        {**version, **values, "version": "6", "mlflow_url": None},
    ]
    listed = httpx.get(f"{served.address}/models", timeout=60).json() | {"versions": versions}
    page = open_page(f"{served.address}/dashboard/models").page
    page.route(f"{served.address}/models", lambda route: route.fulfill(json=listed))
    page.reload()
    rows = page.locator("#versions tr")
    expect(rows).to_have_count(2)
    rows.first.locator("summary").click()
    link = rows.first.locator("details a")
    expect(link).to_be_visible()
    expect(link).to_have_attribute("href", url)
    expect(link).to_have_text(url)  # to be copied inside Airflow's frame, which opens no links to other servers
    expect(rows.nth(1).locator("details a")).to_have_count(0)


def test_station_page_exports_csv_and_png(served: Served, open_page: OpenPage) -> None:
    opened = open_page(f"{served.address}/dashboard/station?id=new-york&hours=24")
    page = opened.page
    page.locator("#chart.js-plotly-plot").wait_for()
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text())))
    api = httpx.get(f"{served.address}/predictions/new-york", timeout=60).json()
    forecast = [row for row in rows if row["what"] == "forecast"]
    assert [float(row["temperature"]) for row in forecast] == [lead["temperature"]["value"] for lead in api["leads"]]
    assert len([row for row in rows if row["what"] == "observed"]) >= 90
    with page.expect_download() as picture:
        page.get_by_role("button", name="PNG", exact=True).click()
    assert Path(picture.value.path()).read_bytes().startswith(b"\x89PNG")
    expect(page.locator("#hours tr")).to_have_count(24)
    assert opened.console_errors == []


def test_a_station_with_a_time_zone_that_the_browser_does_not_know_is_shown_in_utc(
    served: Served, open_page: OpenPage
) -> None:
    page = open_page(f"{served.address}/dashboard?time=local").page

    def rename_zone(route: Route) -> None:
        response = route.fetch()
        text = response.text().replace(STATIONS[0].timezone, "Mars/Olympus_Mons")
        route.fulfill(response=response, body=text)

    page.route("**/stations", rename_zone)
    page.reload()
    expect(page.locator("#stations tr")).to_have_count(len(STATIONS))
    rows = page.locator("#stations tr")
    expect(rows.filter(has_text=STATIONS[0].name)).to_contain_text("UTC")
    expect(rows.filter(has_text="New York")).not_to_contain_text("UTC")


def test_a_verdict_is_saved_and_shown_after_a_reload(served: Served, open_page: OpenPage) -> None:
    page = open_page(f"{served.address}/dashboard/anomalies").page
    item = page.locator("#list > li").first
    anomaly_id = item.get_attribute("data-anomaly")
    item.get_by_role("button", name="False alarm").click()
    expect(page.locator(f"#list > li[data-anomaly='{anomaly_id}'] .tag.good")).to_have_count(1)
    saved = httpx.get(f"{served.address}/anomalies", params={"verdict": "false_alarm"}, timeout=60).json()["anomalies"]
    assert [anomaly["id"] for anomaly in saved] == [int(anomaly_id or 0)]
    page.reload()
    expect(page.locator(f"#list > li[data-anomaly='{anomaly_id}'] .tag.good")).to_have_count(1)


def test_a_new_anomaly_appears_without_a_reload(served: Served, open_page: OpenPage) -> None:
    opened = open_page(f"{served.address}/dashboard")
    page, station = opened.page, STATIONS[2]
    page.evaluate("document.body.dataset.before = 'yes'")
    weather, time = scene.Weather(station), next_step(served.newest)
    with served.store.begin() as connection:
        observations.save(connection, [scene.observation(weather, time, 40.0)], datetime.now(UTC), Origin.REPLAY)
        predictions.save(connection, [scene.prediction(weather, time, 40.0)], datetime.now(UTC), Origin.REPLAY)
    row = page.locator("#stations tr").filter(has_text=station.name)
    expect(row.locator(".tag.bad")).to_have_count(1)
    expect(row.locator("td").first).to_have_text(f"{weather.at(time)['temperature'] + 40:.1f}")
    expect(page.locator(f"#map .marker.flagged[data-id='{station.station_id}']")).to_have_count(1)
    expect(page.locator("#anomalies > li").first).to_contain_text("40.0 °C")
    expect_toast(page, "anomaly", station.station_id)
    assert page.evaluate("document.body.dataset.before") == "yes"
    assert opened.console_errors == []


def test_station_ids_with_html_are_shown_as_text(served: Served, open_page: OpenPage) -> None:
    time = next_step(served.newest)
    with served.store.begin() as connection:
        observations.save(connection, [an_observation(MALICIOUS, time)], datetime.now(UTC), Origin.REPLAY)
        predictions.save(connection, [a_prediction(MALICIOUS, time, ("step",))], datetime.now(UTC), Origin.REPLAY)
    for path in ("", "/anomalies", f"/station?id={quote(MALICIOUS)}"):
        opened = open_page(f"{served.address}/dashboard{path}")
        expect(opened.page.get_by_text(MALICIOUS).first).to_be_attached()
        assert opened.page.locator("main img").count() == 0
        assert opened.page.title() != "taken"
        assert opened.console_errors == []


def test_an_api_outage_is_shown_until_the_api_is_back(served: Served, open_page: OpenPage) -> None:
    with standalone_api(served.settings) as address:
        opened = open_page(f"{address}/dashboard")
        before = opened.page.locator("#stations tr").count()
    offline_notice = opened.page.locator("#notice.bad")
    expect(offline_notice).to_be_visible()
    assert opened.page.locator("#stations tr").count() == before
    with standalone_api(served.settings):
        expect_toast(opened.page, "reconnected")
        expect(offline_notice).to_have_count(0)


def test_all_controls_are_reachable_by_keyboard(served: Served, open_page: OpenPage) -> None:
    page = open_page(f"{served.address}/dashboard").page
    page.locator("#map .marker").first.wait_for()
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    focused: set[str] = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        focused.add(
            page.evaluate(
                "(document.activeElement.closest('nav, #map, #preferences, #stations, #map-color') ?? {}).id ?? 'nav'"
            )
        )
    assert {"map", "preferences", "stations", "map-color"} <= focused


def test_a_comparison_shows_the_number_of_cases_of_each_figure(served: Served, open_page: OpenPage) -> None:
    comparison = {
        "kind": "forecaster",
        "first": "7",
        "second": "6",
        "metrics": [
            {"name": "cases", "first": 1200, "second": None, "change": None},
            {"name": "mae.model.temperature.lead06", "first": 1.5, "second": 1.25, "change": -0.25},
            {"name": "mae.persistence.temperature.lead06", "first": 3, "second": 3, "change": 0},
            {"name": "mae.model.temperature.lead07", "first": 1.6, "second": 1.3, "change": -0.3},
            {"name": "bias.temperature.lead06", "first": 0.5, "second": 0.25, "change": -0.25},
            {"name": "crps.temperature", "first": 1.1, "second": 1.0, "change": -0.1},
            {"name": "crps.temperature.lead07", "first": 1.1, "second": 1.0, "change": -0.1},
            {"name": "mape.wind_speed.lead06", "first": 40, "second": 30, "change": -10},
            {"name": "rmse.temperature.lead06", "first": 2, "second": 1.75, "change": -0.25},
        ],
        "decision": {
            "at": "2026-01-05T12:15:00Z",
            "decision": "wait",
            "reason": "too few days",
            "details": {
                "days": 9,
                "p_value": 0.25,
                "variables": [
                    {"variable": name, "cases": 4321, "champion_mae": 1.0, "challenger_mae": 0.9, "gain": 0.1}
                    for name in VARIABLES
                ],
            },
        },
    }
    opened = open_page(f"{served.address}/dashboard/compare")
    page = opened.page
    versions = [{"kind": "forecaster", "version": version} for version in ("7", "6")]
    page.route("**/models", lambda route: route.fulfill(json={"versions": versions}))
    page.route("**/models/compare*", lambda route: route.fulfill(json=comparison))
    page.reload()
    live = page.locator("#live tr")
    expect(live).to_have_count(len(VARIABLES))
    expect(live.first.locator("td")).to_have_text(["4321", "1.00 °C", "0.90 °C", re.compile("10.0")])
    held_out = page.locator("#held-out tr")
    expect(held_out.locator("td:nth-of-type(1)")).to_have_text(
        ["1.50 °C", "2.00 °C", "0.50 °C", "40.0\u00a0%", "1.10 °C"]
    )
    expect(held_out.locator("td").nth(1)).to_have_text("1200")
    expect(held_out.locator("th")).to_have_text(
        [re.compile(name) for name in ("error, 6 h", "RMSE, 6 h", "bias, 6 h", "MAPE, 6 h", "CRPS, mean of 6 to 24 h")]
    )
    scores = httpx.get(f"{served.address}/verification", params={"days": 90, "by": "all"}, timeout=60).json()["scores"]
    expect(page.locator("#verified tr")).to_have_count(len(scores))
    expect(page.locator("#verified tr").first.locator("td").nth(1)).to_have_text(str(scores[0]["n"]))


def test_the_api_can_be_tried_out(served: Served, browser: Browser) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(TIMEOUT_MS)
    console_errors, urls = [], []
    page.on("console", lambda m: console_errors.append(m.text) if m.type in ("error", "warning") else None)
    page.on("request", lambda request: urls.append(request.url))
    response = page.goto(f"{served.address}/docs/try")
    overview = httpx.get(f"{served.address}/dashboard", timeout=60)
    assert response
    assert response.headers["content-security-policy"] == overview.headers["content-security-policy"]
    page.locator("[id^=operations-stations]").first.get_by_role("button").first.click()
    page.locator(".opblock-post").first.get_by_role("button").first.click()
    with page.expect_response("**/stations") as stations:
        page.get_by_role("button", name="Execute").first.click()
    assert stations.value.status == 200
    page.locator(".live-responses-table").wait_for()
    violations = Axe().run(page).response["violations"]
    assert [v["id"] for v in violations if v["impact"] in ("serious", "critical")] == []
    assert console_errors == []
    assert all(url.startswith((served.address, "data:")) for url in urls), urls
    context.close()


def test_pages_load_only_resources_of_the_server(browser: Browser, served: Served) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(TIMEOUT_MS)
    urls: list[str] = []
    page.on("request", lambda request: urls.append(request.url))
    for dashboard_page in PAGES:
        page.goto(f"{served.address}/dashboard{dashboard_page.path}")
        page.locator("#state.ok, #state.degraded, #state.failing").wait_for()
    context.close()
    assert all(url.startswith((served.address, "data:", "blob:")) for url in urls), urls


@pytest.mark.parametrize("simulated", [True, False])
def test_the_skill_compared_with_raw_guidance_is_shown_by_lead_with_its_cases(
    served: Served, open_page: OpenPage, simulated: bool
) -> None:
    station, day = STATIONS[-1].station_id, served.newest.date()
    enough = scene.guidance_row("7", day, station, "temperature", 6, 2.0, simulated) | {
        "n": 80,
        "mae_compared": 1.5,
        "mae_guidance": 2.0,
        "model": "<b>gfs</b>",
    }
    too_few = enough | {"lead": 7, "n": 3}
    with served.store.begin() as connection:
        connection.execute(delete(guidance_verification).where(guidance_verification.c.station_id == station))
        connection.execute(insert(guidance_verification), [enough, too_few])
    opened = open_page(f"{served.address}/dashboard/models?station={station}")
    rows = opened.page.locator("#guidance-leads tr")
    expect(rows).to_have_count(2)
    expect(rows.nth(0).locator(".num")).to_have_text(["80", "1.50 °C", "2.00 °C", "+25\u00a0%"])
    expect(rows.nth(1).locator(".num")).to_have_text(["3", "1.50 °C", "2.00 °C", "–"])
    kind = "simulated guidance" if simulated else "Open-Meteo's own forecast"
    expect(rows.nth(0).locator("td").nth(1)).to_have_text(f"{kind} (<b>gfs</b>)")
    expect(opened.page.locator("#guidance-title")).to_contain_text(kind)
    (trace,) = opened.page.evaluate("document.getElementById('guidance-skill').data")
    assert (trace["x"], trace["y"], trace["customdata"]) == ([6], [25], [80])
    assert opened.console_errors == []


def test_with_too_few_cases_the_plot_of_the_skill_says_so(served: Served, open_page: OpenPage) -> None:
    station, day = STATIONS[-1].station_id, served.newest.date()
    with served.store.begin() as connection:
        connection.execute(delete(guidance_verification).where(guidance_verification.c.station_id == station))
        row = scene.guidance_row("7", day, station, "temperature", 6, 2.0, True) | {"n": 49}
        connection.execute(insert(guidance_verification), [row])
    opened = open_page(f"{served.address}/dashboard/models?station={station}")
    expect(opened.page.locator("#guidance-leads tr")).to_have_count(1)
    expect(opened.page.locator("#guidance-skill .empty")).to_contain_text("50")
    assert opened.console_errors == []
