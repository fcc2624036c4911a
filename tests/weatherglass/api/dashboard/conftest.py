"""The app really served over a filled store, and a real Chromium that looks at it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright
from sqlalchemy import Engine

from tests.conftest import free_ports, make_settings
from tests.weatherglass.api.browser import ARGUMENTS, CHROMIUM, PATIENCE_MS
from tests.weatherglass.api.dashboard import scene
from tests.weatherglass.api.serving import serving
from weatherglass.api.app import create_app
from weatherglass.settings import Settings
from weatherglass.stations import Network, Station, known_stations, network
from weatherglass.store.engine import open_store
from weatherglass.store.migrate import migrate

KEEP_TOASTS = """
new MutationObserver((changes) => {
  const kept = document.documentElement.dataset;
  for (const { target, addedNodes } of changes)
    if (target.id === "toasts")
      for (const made of addedNodes) kept.toasted = `${kept.toasted ?? ""}${made.innerText}; `;
}).observe(document, { childList: true, subtree: true });
"""
"""A notification goes after some seconds, in which a slow machine may not look: `data-toasted` of <html> keeps all."""

STATIONS: tuple[Station, ...] = (*network(Network.LIVE)[:5], known_stations()["new-york"])
SIZES = {"wide": (1440, 900), "narrow": (390, 844)}


@dataclass
class Served:
    """A dashboard that is up."""

    address: str
    port: int
    settings: Settings
    store: Engine
    newest: datetime


@dataclass
class Watched:
    """A page, and what its console said that it should not have."""

    page: Page
    complaints: list[str] = field(default_factory=list)

    def hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.text} ({message.location.get('url')})")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    settings = make_settings(tmp_path_factory.mktemp("dashboard") / "state")
    migrate(settings.store_url)
    store = open_store(settings.store_url)
    newest = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    scene.fill(store, STATIONS, newest, hours=30, issue_hours=27)
    with store.begin() as connection:
        scene.watched(connection, STATIONS, newest)
    (port,) = free_ports(1)
    with serving(create_app(settings), port) as address:
        yield Served(address, port, settings, store, newest)
    store.dispose()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not Path(CHROMIUM).exists():
        pytest.skip(f"no Chromium at {CHROMIUM}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


Opener = Callable[..., Watched]


@pytest.fixture
def opened(browser: Browser) -> Iterator[Opener]:
    """Opens an address and waits until the page has drawn itself."""
    contexts = []

    def open_page(address: str, size: str = "wide", theme: str = "light") -> Watched:
        width, height = SIZES[size]
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme)  # type: ignore[arg-type]
        contexts.append(context)
        context.add_init_script(KEEP_TOASTS)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        watched = Watched(page)
        page.on("console", watched.hear)
        page.on("pageerror", lambda error: watched.complaints.append(str(error)))
        page.goto(address)
        page.locator("#state.ok, #state.degraded, #state.failing").wait_for()
        return watched

    yield open_page
    for context in contexts:
        context.close()


def later(moment: datetime, minutes: int = 15) -> datetime:
    return moment + timedelta(minutes=minutes)
