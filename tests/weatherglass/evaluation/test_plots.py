"""What the plots show, read from matplotlib's axes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import colors, pyplot
from matplotlib.axes import Axes
from matplotlib.container import BarContainer

from weatherglass.evaluation import plots

LEADS = list(range(1, 25))
TICKS = [0, 6, 12, 18, 24]
TITLES = ["temperature", "humidity", "pressure", "wind speed"]
VARIABLES = ["temperature", "humidity", "pressure", "wind_speed"]
FORECASTS = ["model", "damped_anomaly", "climatology", "persistence"]
MISSING = 5
"""Position of the lead that has no value."""


def by_lead(start: float) -> list[float | None]:
    values: list[float | None] = [start + lead / 1000 for lead in LEADS]
    values[MISSING] = None
    return values


def by_variable(start: float) -> dict[str, list[float | None]]:
    return {variable: by_lead(start + number) for number, variable in enumerate(VARIABLES)}


FIGURES: dict[str, Any] = {
    "mae": {name: by_variable(10 * number) for number, name in enumerate(FORECASTS)},
    "coverage": {level: {variable: by_lead(0.5) for variable in VARIABLES} for level in ("50%", "80%", "90%")},
    "by_station": {
        "lga": {"skill": {"temperature": 0.4, "humidity": -0.1, "pressure": None, "wind_speed": 0.2}},
        "ewr": {"skill": {"temperature": 0.3, "humidity": 0.1, "pressure": 0.5, "wind_speed": -0.3}},
    },
}


@pytest.fixture
def drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[list[Axes]]]:
    """The rows of axes of each figure."""
    figures: list[Any] = []
    with monkeypatch.context() as patch:
        patch.setattr(pyplot, "close", figures.append)
        paths = plots.write(tmp_path, "test", FIGURES)
    rows = {}
    for path, figure in zip(paths, figures, strict=True):
        grid = figure.axes[0].get_gridspec()
        flat = iter(figure.axes)
        rows[path.name] = [[next(flat) for _ in range(grid.ncols)] for _ in range(grid.nrows)]
        assert next(flat, None) is None
        pyplot.close(figure)
    return rows


def drawn_values(axis: Axes) -> dict[str, list[float]]:
    """The values of the lines with a label; each has the leads as its horizontal axis."""
    lines = [line for line in axis.lines if not str(line.get_label()).startswith("_")]
    assert all(list(np.asarray(line.get_xdata())) == LEADS for line in lines)
    return {str(line.get_label()): [float(value) for value in np.asarray(line.get_ydata())] for line in lines}


def with_nan(values: list[float | None]) -> list[float]:
    return [float("nan") if value is None else value for value in values]


def legends(rows: list[list[Axes]]) -> list[list[bool]]:
    return [[axis.get_legend() is not None for axis in row] for row in rows]


def test_errors_of_all_forecasts_by_lead_begin_at_zero(drawn: dict[str, list[list[Axes]]]) -> None:
    rows = drawn["test-errors.png"]
    assert [[axis.get_title() for axis in row] for row in rows] == [TITLES[:2], TITLES[2:]]
    assert legends(rows) == [[True, False], [False, False]]
    for axis, variable, unit in zip(
        [axis for row in rows for axis in row], VARIABLES, ("°C", "%", "hPa", "m/s"), strict=True
    ):
        values = drawn_values(axis)
        assert list(values) == ["model", "damped anomaly", "climatology", "persistence"]
        for label, name in zip(values, FORECASTS, strict=True):
            np.testing.assert_array_equal(values[label], with_nan(FIGURES["mae"][name][variable]))
        assert len({line.get_color() for line in axis.lines}) == len(FORECASTS)
        assert axis.get_ylabel().endswith(f", {unit}")
        assert axis.get_ylim()[0] == 0
        assert list(axis.get_xticks()) == TICKS
        # The model is drawn thicker than what it is compared with.
        widths = [line.get_linewidth() for line in axis.lines]
        assert min(widths[:1]) > max(widths[1:])


def test_coverage_is_in_percent_beside_the_level_of_the_interval(drawn: dict[str, list[list[Axes]]]) -> None:
    rows = drawn["test-reliability.png"]
    assert legends(rows) == [[True, False, False]]
    for axis, level in zip(rows[0], (50, 80, 90), strict=True):
        assert f"{level}%" in axis.get_title()
        values = drawn_values(axis)
        assert list(values) == TITLES
        for numbers in values.values():
            np.testing.assert_allclose(numbers, [100 * value for value in with_nan(by_lead(0.5))])
        target = axis.lines[-1]
        assert list(np.asarray(target.get_ydata())) == [level, level]
        assert axis.get_ylim() == (level - 15, 100)
        assert list(axis.get_xticks()) == TICKS


def test_each_station_has_a_bar_whose_colour_shows_a_negative_skill(drawn: dict[str, list[list[Axes]]]) -> None:
    (axes,) = drawn["test-stations.png"]
    assert [axis.get_title() for axis in axes] == TITLES
    names = [[label.get_text() for label in axis.get_yticklabels()] for axis in axes]
    assert names == [["ewr", "lga"], ["", ""], ["", ""], ["", ""]]
    positive = axes[0].patches[0].get_facecolor()
    for axis, skill in zip(axes, ([0.3, 0.4], [0.1, -0.1], [0.5, 0.0], [-0.3, 0.2]), strict=True):
        (bars,) = axis.containers
        assert isinstance(bars, BarContainer)
        assert [bar.get_width() for bar in bars] == skill
        assert [bar.get_y() + bar.get_height() / 2 for bar in bars] == pytest.approx([0, 1])
        assert [colors.same_color(bar.get_facecolor(), positive) for bar in bars] == [value >= 0 for value in skill]


def test_the_same_figures_give_the_same_files_and_leave_no_figure_open(tmp_path: Path) -> None:
    before = pyplot.get_fignums()
    first = plots.write(tmp_path / "a" / "b", "test", FIGURES)
    second = plots.write(tmp_path / "c", "test", FIGURES)
    assert [path.name for path in first] == ["test-errors.png", "test-reliability.png", "test-stations.png"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert pyplot.get_fignums() == before
