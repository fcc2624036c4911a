"""Plots of a training's record: error by lead beside the baselines, and what the intervals hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from weatherglass.records import LEADS, UNITS, VARIABLES
from weatherglass.verification.held_out_scores import Scores


def write(folder: Path, scores: Scores) -> None:
    """Write `error-by-lead.png` and `coverage-by-lead.png`."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    figure, axes = pyplot.subplots(2, 2, figsize=(10, 7), layout="constrained")
    for v, (name, axis) in enumerate(zip(VARIABLES, axes.flat, strict=True)):
        for who, errors in scores.mae.items():
            axis.plot(LEADS, errors[:, v], label=who.replace("_", " "), linewidth=2 if who == "model" else 1)
        axis.set(title=name.replace("_", " "), xlabel="lead, h", ylabel=f"mean absolute error, {UNITS[name]}", ylim=0)
    axes.flat[0].legend()
    figure.savefig(folder / "error-by-lead.png", dpi=100)
    pyplot.close(figure)
    figure, axes = pyplot.subplots(1, len(scores.coverage), figsize=(10, 4), layout="constrained", squeeze=False)
    for (level, share), axis in zip(scores.coverage.items(), axes.flat, strict=True):
        for v, name in enumerate(VARIABLES):
            axis.plot(LEADS, share[:, v] * 100, label=name.replace("_", " "))
        axis.axhline(level * 100, color="black", linestyle=":")
        low = min(level - 0.1, float(np.nanmin(share))) * 100
        axis.set(title=f"held by the {level:.0%} interval", xlabel="lead, h", ylabel="%", ylim=(low, 100))
    axes.flat[0].legend()
    figure.savefig(folder / "coverage-by-lead.png", dpi=100)
    pyplot.close(figure)
