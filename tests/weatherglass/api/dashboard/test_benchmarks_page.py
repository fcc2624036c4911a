"""The page Benchmarks compares the runs of a scenario."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from tests.weatherglass.api.dashboard.conftest import OpenPage, Served

pytestmark = pytest.mark.integration
FIGURES = 6
"""Rows of the comparison for each load."""


def test_the_runs_of_the_chosen_scenario_are_compared(served: Served, open_page: OpenPage) -> None:
    results = httpx.get(f"{served.address}/benchmarks", timeout=60).json()["results"]
    rates = [result for result in results if result["scenario"] == "rates"]
    runs = list(dict.fromkeys(result["run"] for result in rates))
    opened = open_page(f"{served.address}/dashboard/benchmarks")
    page = opened.page
    expect(page.locator("#results tr")).to_have_count(len(results) - len(rates))
    page.get_by_role("button", name="Rates").click()
    expect(page.locator("#results tr")).to_have_count(len(rates))
    page.locator("#latency.js-plotly-plot").wait_for()
    traces = page.evaluate("document.getElementById('latency').data.map(({name, x, y}) => ({name, x, y}))")
    assert [trace["name"] for trace in traces] == [f"{run} {name}" for run in runs for name in ("p95", "p50")]
    newest = sorted((result["rate"], result["figures"]["latency_ms"]["p95"]) for result in rates[:3])
    assert list(zip(map(float, traces[0]["x"]), traces[0]["y"], strict=True)) == newest
    cpu = page.evaluate("document.getElementById('cpu').data.map(({name}) => name)")
    assert sorted(cpu) == ["kafka", "stream features"]
    assert page.locator("#comparison tr").count() == 3 * FIGURES
    slower = page.locator("#comparison tr", has_text="10/s").filter(has_text="p95").locator("td")
    assert slower.all_inner_texts() == ["120", "168", "40.0\u00a0%"]
    page.locator("select[name=first]").select_option(runs[1])
    page.locator("select[name=second]").select_option(runs[0])
    expect(slower).to_have_text(["168", "120", "-28.6\u00a0%"])
    assert page.evaluate("document.getElementById('throughput').data.map(({name}) => name)") == runs[::-1]
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text())))
    assert [float(row["p95_ms"]) for row in rows] == [result["figures"]["latency_ms"]["p95"] for result in rates]
    assert opened.console_errors == []
