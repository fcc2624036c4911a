"""Time from navigation until the dashboard's overview shows all stations on the map and in the table.

    python -m benchmarks.first_view --stations 20 --runs 5      needs Chromium (Debian: apt install chromium)

The standalone API serves a store with three days of data. Each run uses a new browser profile with an empty cache. The
first stations are from the station table and are on the map; the others are only in the table.
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
from weatherglass.stations import bundled_stations
from weatherglass.store.migrate import migrate

CHROMIUM = "/usr/bin/chromium"
CHROMIUM_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
DAYS = 3
IS_COMPLETE = """([stations, located]) => {
  const count = (selector) => document.querySelectorAll(selector).length;
  const all = count("#stations tr .spark") >= stations && count("#map .marker") >= located && count("#map .land") > 0;
  return all && performance.now();
}"""


def fill(settings: Settings, count: int) -> int:
    """Fill the store with `count` stations; returns how many of them have a location."""
    known = [name for name, station in bundled_stations().items() if station.latitude is not None]
    names = [*known, *(f"station-{number:03}" for number in range(count))][:count]
    migrate(settings.store_url)
    store = open_to_fill(settings)
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    for name in names:
        with store.begin() as connection:
            fill_station(connection, name, end, DAYS)
    store.dispose()
    return min(len(known), count)


def time_to_complete(browser: Browser, address: str, stations: int, located: int) -> float:
    """Milliseconds from the start of the navigation until the page is complete."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.goto(f"{address}/dashboard", wait_until="commit")
    handle = page.wait_for_function(IS_COMPLETE, arg=[stations, located])
    milliseconds = float(handle.json_value())
    context.close()
    return milliseconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stations", type=int, default=20, help="number of stations (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=5, help="number of runs (default: %(default)s)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings(state_dir=Path(folder))
        located = fill(settings, arguments.stations)
        with served(settings) as address, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS)
            times = [time_to_complete(browser, address, arguments.stations, located) for _ in range(arguments.runs)]
            browser.close()
    print(
        f"{arguments.stations} stations: median {median(times):.0f} ms, maximum {max(times):.0f} ms, "
        f"{arguments.runs} runs"
    )


if __name__ == "__main__":
    main()
