"""The pages in a real browser: what they show is what the API says, and they keep themselves true."""

from __future__ import annotations

import base64
import csv
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import quote

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.weatherglass.api.browser import PATIENCE_MS
from tests.weatherglass.api.dashboard import scene
from tests.weatherglass.api.dashboard.conftest import STATIONS, Opener, Served, later
from tests.weatherglass.api.serving import running_alone, serving
from tests.weatherglass.store.samples import a_prediction, an_observation
from weatherglass.alerts.metrics import LAG_SECONDS, PART_MEMORY
from weatherglass.api.app import create_app
from weatherglass.api.dashboard.pages import PAGES
from weatherglass.records import Origin
from weatherglass.settings import LOOPBACK
from weatherglass.store import alerts, metric_history, observations, predictions
from weatherglass.store.metric_history import STRETCH

pytestmark = pytest.mark.integration
expect.set_options(timeout=PATIENCE_MS)

TILE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
HOSTILE = "<img src=x onerror=\"document.title='taken'\">"


def drawn(page) -> None:  # type: ignore[no-untyped-def]
    """Wait until the page's own content is there."""
    page.locator("tbody tr, .feed > li, .js-plotly-plot").first.wait_for()


def toasted(page: Page, words: str) -> None:
    """Wait until the page has told this, whether it still stands there or not."""
    expect(page.locator("html")).to_have_attribute("data-toasted", re.compile(re.escape(words)))


@pytest.mark.parametrize(("size", "theme"), [("wide", "light"), ("wide", "dark"), ("narrow", "light")])
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_page_is_drawn_accessible_and_silent(
    served: Served,
    opened: Opener,
    pictures: Path,
    page,
    size: str,
    theme: str,  # type: ignore[no-untyped-def]
) -> None:
    # The newest reading is of the last full hour, which may be over for an hour when the page is opened.
    stretch = "?hours=6" if page.name == "system" else ""
    watched = opened(f"{served.address}/dashboard{page.path}{stretch}", size, theme)
    drawn(watched.page)
    if page.charts:
        watched.page.locator(".js-plotly-plot .plot-container").first.wait_for()
    watched.page.screenshot(path=str(pictures / f"{page.name}-{size}-{theme}.png"), full_page=True)
    assert watched.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page scrolls sideways"
    found = Axe().run(watched.page).response["violations"]
    serious = [
        (f["id"], [n["html"][:160] for n in f["nodes"]]) for f in found if f["impact"] in ("serious", "critical")
    ]
    assert serious == []
    assert watched.complaints == []


def test_the_overview_shows_what_the_api_says(served: Served, opened: Opener) -> None:
    answer = httpx.get(f"{served.address}/stations", timeout=60).json()["stations"]
    page = opened(f"{served.address}/dashboard").page
    rows = page.locator("#stations tr")
    expect(rows).to_have_count(len(answer))
    for row in answer:
        line = rows.filter(has_text=row["station"]["name"])
        shown = line.locator("td").first.inner_text().replace("−", "-")
        assert float(shown) == pytest.approx(row["newest"]["temperature"], abs=0.051)
    expect(page.locator("#map .place")).to_have_count(len(answer))
    expect(page.locator("#origin")).to_have_text("Replayed")


def test_units_and_the_view_are_in_the_address(served: Served, opened: Opener) -> None:
    page = opened(f"{served.address}/dashboard?temp=f&wind=kn&colour=wind_speed").page
    answer = httpx.get(f"{served.address}/stations", timeout=60).json()["stations"][0]
    cell = page.locator("#stations tr").first.locator("td").first
    expect(cell).to_have_text(f"{answer['newest']['temperature'] * 9 / 5 + 32:.1f}".replace("-", "−"))
    expect(page.locator("#colour button[aria-pressed=true]")).to_have_text("Wind")
    page.get_by_text("Display").click()
    page.get_by_role("radio", name="°C").check()
    expect(cell).to_have_text(f"{answer['newest']['temperature']:.1f}".replace("-", "−"))
    assert "temp=f" not in page.url


def test_the_station_page_offers_its_data(served: Served, opened: Opener) -> None:
    watched = opened(f"{served.address}/dashboard/station?id=new-york&hours=24")
    page = watched.page
    page.locator("#course.js-plotly-plot").wait_for()
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
    assert watched.complaints == []


def test_a_verdict_is_stored(served: Served, opened: Opener) -> None:
    page = opened(f"{served.address}/dashboard/anomalies").page
    item = page.locator("#list > li").first
    number = item.get_attribute("data-flag")
    item.get_by_role("button", name="False alarm").click()
    expect(page.locator(f"#list > li[data-flag='{number}'] .tag.good")).to_have_text("false alarm")
    kept = httpx.get(f"{served.address}/anomalies", params={"verdict": "false_alarm"}, timeout=60).json()["anomalies"]
    assert [flag["id"] for flag in kept] == [int(number or 0)]
    page.reload()
    expect(page.locator(f"#list > li[data-flag='{number}'] .tag.good")).to_have_text("false alarm")


def test_what_is_new_appears_without_a_reload(served: Served, opened: Opener) -> None:
    watched = opened(f"{served.address}/dashboard")
    page, station = watched.page, STATIONS[2]
    page.evaluate("document.body.dataset.before = 'yes'")
    weather, time = scene.Weather(station), later(served.newest)
    with served.store.begin() as connection:
        observations.save(connection, [scene.reading(weather, time, 40.0)], datetime.now(UTC), Origin.REPLAY)
        predictions.save(connection, [scene.answer(weather, time, 40.0)], datetime.now(UTC), Origin.REPLAY)
    row = page.locator("#stations tr").filter(has_text=station.name)
    expect(row.locator(".tag.bad")).to_have_text("suspect")
    expect(row.locator("td").first).to_have_text(f"{weather.at(time)['temperature'] + 40:.1f}")
    expect(page.locator(f"#map .place.suspect[data-id='{station.station_id}']")).to_have_count(1)
    expect(page.locator("#suspects > li").first).to_contain_text("rose by 40.0 °C")
    toasted(page, f"Suspect reading: {station.station_id}")
    assert page.evaluate("document.body.dataset.before") == "yes"
    assert watched.complaints == []


def test_an_alert_is_seen_to_by_keyboard(served: Served, opened: Opener) -> None:
    said = {"said": "The tank is empty.", "means": "No rain is told.", "still_works": "The sun.", "to_do": "Fill it."}
    with served.store.begin() as connection:
        alert = alerts.Alert("tank_empty", "kiel", alerts.Severity.CRITICAL, " ".join(said.values()), said)
        alerts.report(connection, alert, datetime.now(UTC))
    watched = opened(f"{served.address}/dashboard/system")
    page = watched.page
    item = page.locator("#alerts > li").filter(has_text="tank empty: kiel")
    for words in said.values():
        expect(item.get_by_text(words)).to_be_visible()
    expect(item.get_by_text("docs/troubleshooting.md#tank-empty")).to_be_visible()
    item.get_by_role("button", name="Acknowledge: tank empty").focus()
    page.keyboard.press("Enter")
    expect(item.locator(".tag.good")).to_contain_text("acknowledged by")
    expect(item).to_be_focused()
    page.keyboard.press("Tab")
    expect(item.get_by_label("Silence for")).to_be_focused()
    item.get_by_label("Silence for").select_option("8 hours")
    item.get_by_role("button", name="Silence: tank empty").press("Enter")
    expect(item).to_contain_text("silent until")
    (kept,) = [
        one for one in httpx.get(f"{served.address}/alerts", timeout=60).json()["alerts"] if one["subject"] == "kiel"
    ]
    hours = (datetime.fromisoformat(kept["silenced_until"]) - datetime.now(UTC)).total_seconds() / 3600
    assert hours == pytest.approx(8, abs=0.5)
    item.get_by_role("button", name="End the silence").press("Enter")
    expect(item.get_by_role("button", name="Silence: tank empty")).to_be_visible()
    with served.store.begin() as connection:
        alerts.resolve(connection, "tank_empty", "kiel", datetime.now(UTC))
    page.reload()
    page.locator("#past-count").click()
    expect(page.locator("#past > li").filter(has_text="tank empty: kiel")).to_be_visible()
    assert watched.complaints == []


@pytest.mark.parametrize("hours", [1, 6, 24, 168])
def test_what_was_measured_is_drawn_over_a_week(served: Served, opened: Opener, hours: int) -> None:
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    # Of a single hour, the full one may just have gone out of sight when the page is opened.
    end = now.replace(minute=now.minute // 5 * 5 if hours == 1 else 0)
    with served.store.begin() as connection:
        for back in range(2 * 12):  # the last two hours, and two of six days ago
            for at in (end - back * STRETCH, end - timedelta(days=6) - back * STRETCH):
                measured = {(PART_MEMORY.name, ("kafka",)): 3e8, (LAG_SECONDS.name, ("inference", "raw")): 2.0}
                metric_history.save(connection, at, measured)
    watched = opened(f"{served.address}/dashboard/system?hours={hours}")
    page = watched.page
    page.locator("#memory.js-plotly-plot").wait_for()
    expect(page.locator("#hours button[aria-pressed=true]")).to_have_attribute("data-value", str(hours))
    times = page.evaluate("document.getElementById('memory').data[0].x")
    old = (end - timedelta(days=6)).strftime("%Y-%m-%d")
    assert any(time.startswith(old) for time in times) == (hours == 168), times
    if hours > 1:
        assert page.evaluate("document.getElementById('lag').data[0].name") == "inference, raw"
    assert watched.complaints == []


def test_map_tiles_come_from_where_they_are_configured(browser: Browser, tmp_path: Path, served: Served) -> None:
    with tile_server() as (tiles, asked):
        configured = served.settings.model_copy(update={"map_tiles": f"{tiles}/{{z}}/{{x}}/{{y}}.png"})
        with serving(create_app(configured)) as address:
            context = browser.new_context()
            page = context.new_page()
            page.set_default_timeout(PATIENCE_MS)
            complaints: list[str] = []
            page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
            page.goto(f"{address}/dashboard")
            page.locator("#map image").first.wait_for()
            before = page.locator("#map image").first.get_attribute("href")
            with page.expect_response(f"{tiles}/**"):
                page.get_by_role("button", name="Zoom in").click()
            expect(page.locator("#map image").first).not_to_have_attribute("href", before or "")
            page.locator("#map .place").first.wait_for()
            context.close()
    assert complaints == []
    assert asked
    levels = set()
    for path in asked:
        level, x, y = map(int, path.strip("/").removesuffix(".png").split("/"))
        assert 0 <= x < 2**level, path
        assert 0 <= y < 2**level, path
        levels.add(level)
    assert len(levels) > 1, "a closer look asks for finer tiles"


@contextmanager
def tile_server() -> Iterator[tuple[str, list[str]]]:
    """A server of map tiles; its address, and the paths that were asked for."""
    asked: list[str] = []

    class Tiles(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "image/png")
            self.end_headers()
            self.wfile.write(TILE)

        def log_message(self, *_: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer((LOOPBACK, 0), Tiles)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://{LOOPBACK}:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_hostile_names_stay_text(served: Served, opened: Opener) -> None:
    time = later(served.newest)
    with served.store.begin() as connection:
        observations.save(connection, [an_observation(HOSTILE, time)], datetime.now(UTC), Origin.REPLAY)
        predictions.save(connection, [a_prediction(HOSTILE, time, ("step",))], datetime.now(UTC), Origin.REPLAY)
    for path in ("", "/anomalies", f"/station?id={quote(HOSTILE)}"):
        watched = opened(f"{served.address}/dashboard{path}")
        expect(watched.page.get_by_text(HOSTILE).first).to_be_attached()
        assert watched.page.locator("main img").count() == 0
        assert watched.page.title() != "taken"
        assert watched.complaints == []


def test_an_api_that_goes_and_comes_back_is_shown_and_healed(served: Served, opened: Opener) -> None:
    with running_alone(served.settings) as address:
        watched = opened(f"{address}/dashboard")
        before = watched.page.locator("#stations tr").count()
    notice = watched.page.locator("#notice")
    expect(notice).to_contain_text("cannot be reached")
    assert watched.page.locator("#stations tr").count() == before
    with running_alone(served.settings):
        toasted(watched.page, "Connected again")
        expect(notice).not_to_contain_text("cannot be reached")


def test_the_keyboard_reaches_everything(served: Served, opened: Opener) -> None:
    page = opened(f"{served.address}/dashboard").page
    page.locator("#map .place").first.wait_for()
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    seen: set[str] = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        seen.add(
            page.evaluate(
                "(document.activeElement.closest('nav, #map, #preferences, #stations, #colour') ?? {}).id ?? 'nav'"
            )
        )
    assert {"map", "preferences", "stations", "colour"} <= seen


def test_nothing_comes_from_elsewhere(browser: Browser, served: Served) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for one in PAGES:
        page.goto(f"{served.address}/dashboard{one.path}")
        page.locator("#state.ok, #state.degraded, #state.failing").wait_for()
    context.close()
    assert all(url.startswith((served.address, "data:", "blob:")) for url in asked), asked
