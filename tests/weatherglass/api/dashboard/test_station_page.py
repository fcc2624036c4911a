"""The page Station: raw guidance next to forecast and observations, and which path produced the forecast."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import delete

from tests.weatherglass.api.dashboard import scene
from tests.weatherglass.api.dashboard.conftest import STATIONS, OpenPage, Served
from weatherglass.guidance_record import Guidance
from weatherglass.record_headers import Origin
from weatherglass.records import LEADS, Method, UsedGuidance, UsedRun
from weatherglass.store import guidance, predictions
from weatherglass.store.schema import guidance as guidance_table

HOUR = timedelta(hours=1)


def traces(page: Page, name: str) -> list[dict[str, Any]]:
    """The drawn lines whose name contains a text."""
    page.locator("#chart.js-plotly-plot").wait_for()
    script = """name => document.getElementById("chart").data
      .filter((trace) => trace.name?.includes(name) && trace.mode === "lines" && trace.line.width)
      .map(({x, y, yaxis}) => ({x, y, yaxis}))"""
    found: list[dict[str, Any]] = page.evaluate(script, name)
    return found


def drawn(run: Guidance, base_hours_ago: int, served: Served) -> list[tuple[str, float | None]]:
    """Time on the axis and temperature of a run, at the valid times of a forecast."""
    base = served.newest - base_hours_ago * HOUR
    values = dict(zip(run.values.valid_times, run.values.temperature, strict=True))
    return [(f"{base + lead * HOUR:%Y-%m-%d %H:%M:%S}", values.get(base + lead * HOUR)) for lead in LEADS]


def test_raw_guidance_forecast_and_observations_are_in_one_plot(served: Served, open_page: OpenPage) -> None:
    station = STATIONS[2]
    weather = scene.Weather(station)
    not_known = scene.guidance_run(weather, served.newest + timedelta(minutes=1))
    with served.store.begin() as connection:
        guidance.save(connection, [not_known], served.newest, Origin.REPLAY)
    opened = open_page(f"{served.address}/dashboard/station?id={station.station_id}")
    raw = traces(opened.page, "simulated guidance")
    assert sorted(trace["yaxis"] for trace in raw) == sorted(2 * ["y", "y2", "y3", "y4"])
    temperature = [list(zip(trace["x"], trace["y"], strict=True)) for trace in raw if trace["yaxis"] == "y"]
    known = [scene.guidance_run(weather, served.newest - hours * HOUR) for hours in (1, 26)]
    assert temperature == [drawn(known[0], 0, served), drawn(known[1], 25, served)]
    assert len(traces(opened.page, "Temperature, forecast")) == 2  # the newest, and that of the day before
    assert len(traces(opened.page, "Temperature, observed")) == 1
    expect(opened.page.locator("#legend .dotted")).to_have_count(1)
    assert opened.console_errors == []


def test_without_guidance_the_plot_has_none(served: Served, open_page: OpenPage) -> None:
    station = STATIONS[3].station_id
    with served.store.begin() as connection:
        connection.execute(delete(guidance_table).where(guidance_table.c.station_id == station))
    opened = open_page(f"{served.address}/dashboard/station?id={station}")
    assert len(traces(opened.page, "Temperature, observed")) == 1
    assert traces(opened.page, "guidance") == []
    expect(opened.page.locator("#legend .dotted")).to_have_count(0)
    assert opened.console_errors == []


@pytest.mark.parametrize("method", [Method.MODEL, Method.DAMPED_ANOMALY])
@pytest.mark.parametrize("simulated", [None, True, False])
def test_the_page_says_which_path_produced_the_forecast(
    served: Served, open_page: OpenPage, method: Method, simulated: bool | None
) -> None:
    station = STATIONS[4]
    made = scene.prediction(scene.Weather(station), served.newest)
    run = UsedRun(model="<i>gfs</i>", run=served.newest - HOUR)
    used = simulated is not None and UsedGuidance(
        model_version="41", runs=[run], variables=["temperature", "wind_speed"], simulated=simulated
    )
    values = made.predictions.model_copy(update={"guidance": used or None, "method": method})
    with served.store.begin() as connection:
        changed = made.model_copy(update={"predictions": values})
        predictions.save(connection, [changed], served.newest, Origin.REPLAY)
    page = open_page(f"{served.address}/dashboard/station?id={station.station_id}").page
    line = page.locator(f"#provenance[data-method={method.value}]")
    line.wait_for()
    text = line.inner_text()
    assert ("version 7" in text) is (method is Method.MODEL)
    assert ("version 41" in text, "<i>gfs</i>" in text, "wind speed" in text) == 3 * (used is not False,)
    assert "humidity" not in text
    assert ("Open-Meteo" in text, "simulated" in text) == (simulated is False, simulated is True)
