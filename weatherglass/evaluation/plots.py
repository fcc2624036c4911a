"""Plots of an evaluation: errors, interval coverage and skill by station."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from weatherglass.records import LEADS, UNITS, VARIABLES

COLOURS = {
    "model": "#0b5394",
    "damped_anomaly": "#e69138",
    "climatology": "#6aa84f",
    "persistence": "#999999",
    "seasonal_naive": "#c27ba0",
}
DPI = 90


def write(folder: Path, name: str, figures: dict[str, Any]) -> list[Path]:
    """Write `<name>-errors.png`, `-reliability.png` and `-stations.png` into a folder."""
    import matplotlib

    matplotlib.use("Agg")
    folder.mkdir(parents=True, exist_ok=True)
    plots = {"errors": _errors(figures), "reliability": _reliability(figures), "stations": _stations(figures)}
    paths = []
    for suffix, figure in plots.items():
        path = folder / f"{name}-{suffix}.png"
        # Without software version and time, the same figures give the same file.
        figure.savefig(path, dpi=DPI, metadata={"Software": None})
        matplotlib.pyplot.close(figure)
        paths.append(path)
    return paths


def _grid(rows: int, columns: int, size: tuple[float, float]) -> tuple[Any, Any]:
    from matplotlib import pyplot

    return pyplot.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)


def _errors(figures: dict[str, Any]) -> Any:
    figure, axes = _grid(2, 2, (10, 7))
    for axis, variable in zip(axes.flat, VARIABLES, strict=True):
        for name, errors in figures["mae"].items():
            width = 2.2 if name == "model" else 1.2
            axis.plot(LEADS, _numbers(errors[variable]), color=COLOURS[name], linewidth=width, label=_label(name))
        axis.set(title=_label(variable), xlabel="lead, h", ylabel=f"mean absolute error, {UNITS[variable]}")
        axis.set_ylim(0, None)
        axis.set_xticks(range(0, 25, 6))
    axes.flat[0].legend(fontsize=8)
    return figure


def _reliability(figures: dict[str, Any]) -> Any:
    levels = list(figures["coverage"])
    figure, axes = _grid(1, len(levels), (10, 3.6))
    for axis, level in zip(axes.flat, levels, strict=True):
        for variable in VARIABLES:
            axis.plot(LEADS, 100 * _numbers(figures["coverage"][level][variable]), label=_label(variable))
        target = float(level.rstrip("%"))
        axis.axhline(target, color="black", linestyle=":")
        axis.set(
            title=f"coverage of the {level} interval",
            xlabel="lead, h",
            ylabel="% of observations",
            ylim=(target - 15, 100),
        )
        axis.set_xticks(range(0, 25, 6))
    axes.flat[0].legend(fontsize=8)
    return figure


def _stations(figures: dict[str, Any]) -> Any:
    names = sorted(figures["by_station"])
    figure, axes = _grid(1, len(VARIABLES), (11, 1.2 + 0.2 * len(names)))
    for axis, variable in zip(axes.flat, VARIABLES, strict=True):
        skill = _numbers([figures["by_station"][name]["skill"][variable] for name in names])
        axis.barh(range(len(names)), np.nan_to_num(skill), color=np.where(skill < 0, "#cc4125", COLOURS["model"]))
        axis.set(title=_label(variable), xlabel="skill", ylim=(-0.6, len(names) - 0.4))
        axis.set_yticks(range(len(names)), names if variable == VARIABLES[0] else [""] * len(names), fontsize=8)
        axis.axvline(0, color="black", linewidth=0.8)
    return figure


def _numbers(values: list[float | None]) -> Any:
    return np.array([np.nan if value is None else value for value in values], dtype=float)


def _label(name: str) -> str:
    return name.replace("_", " ")
