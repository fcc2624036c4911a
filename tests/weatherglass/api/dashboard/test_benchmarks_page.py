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
    assert [trace["name"] for trace in traces] == [f"{run} {name}" for run in runs[::-1] for name in ("p95", "p50")]
    newest = sorted((result["rate"], result["figures"]["latency_ms"]["p95"]) for result in rates[:3])
    assert list(zip(map(float, traces[2]["x"]), traces[2]["y"], strict=True)) == newest
    cpu = page.evaluate("document.getElementById('cpu').data.map(({name}) => name)")
    assert sorted(cpu) == ["kafka", "stream features"]
    assert page.locator("#comparison tr").count() == 3 * FIGURES
    slower = page.locator("#comparison tr", has_text="10/s").filter(has_text="p95").locator("td")
    assert slower.all_inner_texts() == ["168", "120", "-28.6\u00a0%"]
    page.locator("select[name=first]").select_option(runs[0])
    page.locator("select[name=second]").select_option(runs[1])
    expect(slower).to_have_text(["120", "168", "40.0\u00a0%"])
    assert page.evaluate("document.getElementById('throughput').data.map(({name}) => name)") == runs
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text())))
    assert [float(row["p95_ms"]) for row in rows] == [result["figures"]["latency_ms"]["p95"] for result in rates]
    assert opened.console_errors == []


def test_loads_are_in_numeric_order_if_only_the_newest_run_has_the_first_one(
    served: Served, open_page: OpenPage
) -> None:
    results = httpx.get(f"{served.address}/benchmarks", timeout=60).json()["results"]
    oldest = [result for result in results if result["scenario"] == "rates"][3:]
    missing = min(oldest, key=lambda result: result["rate"])
    opened = open_page(f"{served.address}/dashboard/benchmarks?scenario=constructor")  # not one of the scenarios
    page = opened.page
    expect(page.get_by_role("button", name="Baseline")).to_have_attribute("aria-pressed", "true")
    document = {"results": [result for result in results if result != missing]}
    page.route("**/benchmarks?limit=*", lambda route: route.fulfill(json=document))
    page.goto(f"{served.address}/dashboard/benchmarks?scenario=rates")
    page.locator("#latency.js-plotly-plot").wait_for()
    page.locator("#cpu.js-plotly-plot").wait_for()
    shown = page.evaluate("document.getElementById('latency')._fullLayout.xaxis._categories")
    assert [float(name) for name in shown] == [10, 50, 100]
    (loads, _) = page.evaluate("document.getElementById('cpu').data[0].x")
    assert [float(name) for name in loads] == [10, 50, 50, 100, 100]
    assert opened.console_errors == []
