"""How long a browser takes to draw the overview, from asking for the page to the last station in map and list.

    python -m benchmarks.first_view --stations 20 --runs 5      needs Chromium (Debian: apt install chromium)

The API runs alone, over a store with three days of these stations; every run has a new browser profile, so nothing is
in a cache. The first stations are known ones, which have a place on the map; the others stand in the list only.
"""

from __future__ import annotations

import argparse
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from playwright.sync_api import Browser, sync_playwright

from benchmarks.api import fill_station, open_to_fill, served
from weatherglass.settings import Settings, load_settings
from weatherglass.stations import known_stations
from weatherglass.store.migrate import migrate

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
DAYS = 3
DRAWN = """([stations, placed]) => {
  const count = (what) => document.querySelectorAll(what).length;
  const all = count("#stations tr .spark") >= stations && count("#map .place") >= placed && count("#map .land") > 0;
  return all && performance.now();
}"""


def filled(settings: Settings, count: int) -> int:
    """Fill the store; how many of the stations have a place."""
    known = [name for name, station in known_stations().items() if station.latitude is not None]
    names = [*known, *(f"station-{number:03}" for number in range(count))][:count]
    migrate(settings.store_url)
    store = open_to_fill(settings)
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    for name in names:
        with store.begin() as connection:
            fill_station(connection, name, end, DAYS)
    store.dispose()
    return min(len(known), count)


def drawn(browser: Browser, address: str, stations: int, placed: int) -> float:
    """Milliseconds from the start of the navigation."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.goto(f"{address}/dashboard", wait_until="commit")
    handle = page.wait_for_function(DRAWN, arg=[stations, placed])
    took = float(handle.json_value())
    context.close()
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stations", type=int, default=20)
    parser.add_argument("--runs", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings(state_dir=Path(folder))
        placed = filled(settings, asked.stations)
        with served(settings) as address, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
            took = [drawn(browser, address, asked.stations, placed) for _ in range(asked.runs)]
            browser.close()
    print(f"{asked.stations} stations: median {median(took):.0f} ms, longest {max(took):.0f} ms, {asked.runs} runs")


if __name__ == "__main__":
    main()
