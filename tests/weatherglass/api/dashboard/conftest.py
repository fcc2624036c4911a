"""A dashboard with a filled store, and a Chromium browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright
from sqlalchemy import Engine

from tests.conftest import free_ports, make_settings
from tests.weatherglass.api.browser import CHROMIUM, CHROMIUM_ARGUMENTS, TIMEOUT_MS
from tests.weatherglass.api.dashboard import scene
from tests.weatherglass.api.serving import serving
from weatherglass.api.app import create_app
from weatherglass.record_headers import Origin
from weatherglass.settings import Settings
from weatherglass.stations import Station, bundled_stations, observed_by
from weatherglass.store.engine import open_store
from weatherglass.store.migrate import migrate

KEEP_TOASTS = """
new MutationObserver((changes) => {
  const data = document.documentElement.dataset;
  for (const { target, addedNodes } of changes)
    if (target.id === "toasts")
      for (const toast of addedNodes) data.toasts = `${data.toasts ?? ""}${toast.dataset.kind}: ${toast.innerText}; `;
}).observe(document, { childList: true, subtree: true });
"""
"""Collects kind and text of all toasts in `data-toasts` of <html>, because a toast disappears after some seconds."""

STATIONS: tuple[Station, ...] = (*observed_by(Settings(), Origin.OPEN_METEO)[:5], bundled_stations()["new-york"])
SIZES = {"wide": (1440, 900), "narrow": (390, 844)}


@dataclass
class Served:
    """A running dashboard."""

    address: str
    port: int
    settings: Settings
    store: Engine
    newest: datetime


@dataclass
class OpenedPage:
    """A page and the errors and warnings on its console."""

    page: Page
    console_errors: list[str] = field(default_factory=list)

    def on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.console_errors.append(f"{message.text} ({message.location.get('url')})")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    settings = make_settings(tmp_path_factory.mktemp("dashboard") / "state")
    migrate(settings.store_url)
    store = open_store(settings.store_url)
    newest = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    scene.fill(store, STATIONS, newest, hours=30, issue_hours=27)
    with store.begin() as connection:
        scene.save_guidance(connection, STATIONS, newest)
        scene.save_monitoring_data(connection, STATIONS, newest)
        scene.save_weather_alerts(connection, STATIONS[1].station_id, newest)
        scene.save_benchmarks(connection, newest)
    (port,) = free_ports(1)
    with serving(create_app(settings), port) as address:
        yield Served(address, port, settings, store, newest)
    store.dispose()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not Path(CHROMIUM).exists():
        pytest.skip(f"no Chromium at {CHROMIUM}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


OpenPage = Callable[..., OpenedPage]


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """Opens an address and waits until the page shows the state of the pipeline."""
    contexts = []

    def open_address(address: str, size: str = "wide", theme: str = "light") -> OpenedPage:
        width, height = SIZES[size]
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme)  # type: ignore[arg-type]
        contexts.append(context)
        context.add_init_script(KEEP_TOASTS)
        page = context.new_page()
        page.set_default_timeout(TIMEOUT_MS)
        opened = OpenedPage(page)
        page.on("console", opened.on_console)
        page.on("pageerror", lambda error: opened.console_errors.append(str(error)))
        page.goto(address)
        page.locator("#state.ok, #state.degraded, #state.failing").wait_for()
        return opened

    yield open_address
    for context in contexts:
        context.close()


def next_step(time: datetime) -> datetime:
    return time + scene.STEP
