"""Plots of a training run: error by lead compared with the baselines, and coverage of the intervals."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from weatherglass.records import LEADS, UNITS, VARIABLES
from weatherglass.verification.held_out_scores import HeldOutScores


def write_plots(folder: Path, scores: HeldOutScores) -> None:
    """Write `error-by-lead.png` and `coverage-by-lead.png`."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    figure, axes = pyplot.subplots(2, 2, figsize=(10, 7), layout="constrained")
    for v, (name, axis) in enumerate(zip(VARIABLES, axes.flat, strict=True)):
        for model, errors in scores.mae.items():
            axis.plot(LEADS, errors[:, v], label=model.replace("_", " "), linewidth=2 if model == "model" else 1)
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
        axis.set(title=f"coverage of the {level:.0%} interval", xlabel="lead, h", ylabel="%", ylim=(low, 100))
    axes.flat[0].legend()
    figure.savefig(folder / "coverage-by-lead.png", dpi=100)
    pyplot.close(figure)
