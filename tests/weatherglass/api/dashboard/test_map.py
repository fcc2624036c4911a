"""The map of the stations in Chromium."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from playwright.sync_api import Browser, expect

from tests.weatherglass.api.browser import TIMEOUT_MS
from tests.weatherglass.api.dashboard.conftest import OpenPage, Served
from tests.weatherglass.api.serving import serving
from weatherglass.api.app import create_app
from weatherglass.settings import LOOPBACK

pytestmark = pytest.mark.integration
expect.set_options(timeout=TIMEOUT_MS)

TILE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def test_the_map_has_land_and_borders_at_the_right_places(served: Served, open_page: OpenPage) -> None:
    page = open_page(f"{served.address}/dashboard").page
    page.locator("#map path.borders").wait_for(state="attached")

    def contains(method: str, path: str, longitude: float, latitude: float) -> bool:
        """Whether the area or the line of a path has a place, in the Web Mercator projection."""
        y = 0.5 - math.asinh(math.tan(math.radians(latitude))) / (2 * math.pi)
        point = {"x": 1000 * (longitude / 360 + 0.5), "y": 1000 * y}
        script = "([method, path, point]) => document.querySelector(`#map path.${path}`)[method](point)"
        return bool(page.evaluate(script, [method, path, point]))

    far_east = ((-175, 66.5), (100, 67), (20, 67), (-179.7, 71.3), (0, -84.8))  # rings that cross the antimeridian
    for longitude, latitude in ((-105, 39.7), (37.6, 55.8), (36.8, -1.3), (133.9, -23.7), *far_east):
        assert contains("isPointInFill", "land", longitude, latitude)
    for longitude, latitude in ((-30, 0), (-150, 30), (3, 56), (80, -30), (-10, 67), (0, 71.2), (0, -17)):
        assert not contains("isPointInFill", "land", longitude, latitude)
    assert contains("isPointInStroke", "borders", -105, 49)  # Canada and the United States
    assert not contains("isPointInStroke", "borders", -105, 46)
    for latitude in (65.02, 68.98, 70.88, 70.99, 71.26, -16.2, -16.21, -16.98, -17.0, -84.35):
        assert not contains("isPointInStroke", "coasts", 0, latitude)


def test_map_tiles_are_loaded_from_the_configured_url(browser: Browser, tmp_path: Path, served: Served) -> None:
    with tile_server() as (tiles, requested):
        configured = served.settings.model_copy(update={"map_tiles": f"{tiles}/{{z}}/{{x}}/{{y}}.png"})
        with serving(create_app(configured)) as address:
            context = browser.new_context()
            page = context.new_page()
            page.set_default_timeout(TIMEOUT_MS)
            console_errors: list[str] = []
            page.on("console", lambda m: console_errors.append(m.text) if m.type in ("error", "warning") else None)
            page.goto(f"{address}/dashboard")
            page.locator("#map image").first.wait_for()
            before = page.locator("#map image").first.get_attribute("href")
            with page.expect_response(f"{tiles}/**"):
                page.get_by_role("button", name="Zoom in").click()
            expect(page.locator("#map image").first).not_to_have_attribute("href", before or "")
            page.locator("#map .marker").first.wait_for()
            context.close()
    assert console_errors == []
    assert requested
    levels = set()
    for path in requested:
        level, x, y = map(int, path.strip("/").removesuffix(".png").split("/"))
        assert 0 <= x < 2**level, path
        assert 0 <= y < 2**level, path
        levels.add(level)
    assert len(levels) > 1, "zooming in requests tiles of a higher level"


@contextmanager
def tile_server() -> Iterator[tuple[str, list[str]]]:
    """A map tile server; yields its address and the requested paths."""
    requested: list[str] = []

    class Tiles(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requested.append(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "image/png")
            self.end_headers()
            self.wfile.write(TILE)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer((LOOPBACK, 0), Tiles)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://{LOOPBACK}:{server.server_port}", requested
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
