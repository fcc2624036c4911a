"""`weatherglass evaluate`: learn from a history, forecast what came after it, and write the page."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

import numpy as np
import pandas as pd

from weatherglass.evaluation import arma, datasets, figures, held_out, local_training, page, plots, recalibrated
from weatherglass.forecast.boosted_trees import BoostedForecaster
from weatherglass.forecast.fit import SIZES, InsufficientTrainingData
from weatherglass.forecast.splits import TEST_SHARE, HistoryTooShort
from weatherglass.history.grid import HourGrid
from weatherglass.history.sources import SourceError
from weatherglass.registry.artifact import ModelFileError


def evaluate(options: argparse.Namespace) -> int:
    """Run the command; its exit status."""
    began = time.monotonic()

    def say(line: str) -> None:
        print(f"[{time.monotonic() - began:6.1f} s] {line}", flush=True)

    try:
        made = _evaluate(options, say)
    except (SourceError, HistoryTooShort, InsufficientTrainingData, ModelFileError) as error:
        print(f"evaluation failed: {error}", file=sys.stderr)
        return 1
    name = options.name or options.history.stem
    folder = options.docs / page.FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(made, indent=1), encoding="utf-8")
    plots.write(folder, name, made)
    say(f"{page.write(options.docs)} is written")
    return 0


def _evaluate(options: argparse.Namespace, say: Any) -> dict[str, Any]:
    grid, begin = _read(options)
    history = HourGrid(grid.stations, grid.start, grid.values[:, :begin])
    training_hours = np.arange(grid.values.shape[1]) < begin
    say(f"history to {grid.start + begin - 1}, test to {grid.start + grid.values.shape[1] - 1}")
    if options.model:
        forecaster, how = BoostedForecaster.load(options.model), f"The model is that of {options.model.name}."
    else:
        forecaster = local_training.train(history, SIZES[options.size], options.threads, say)
        how = f"Trained for this page, size {options.size}, seed {local_training.SEED}."
    rows, base = held_out.choose(grid, ~training_hours, options.cases)
    if len(base) == 0:
        raise HistoryTooShort("the test has no stretch of four days to forecast in")
    usual, damping = forecaster.climatology, forecaster.damping
    trained = held_out.forecast(grid, rows, base, forecaster, usual, damping)
    scored = recalibrated.as_served(trained)
    say(f"{len(base):,} forecasts of {len(np.unique(rows))} stations")
    stations = np.unique(rows)[:: max(1, len(np.unique(rows)) // arma.STATIONS)][: arma.STATIONS]
    scored.answers[arma.NAME] = arma.forecast(grid, training_hours, usual, scored, stations.tolist())
    say(f"harmonic regression with ARMA errors at {len(stations)} stations")
    made = figures.of(scored, (arma.NAME,))
    made["coverage_as_trained"] = figures.coverage(trained)
    made["little_past"] = figures.little_past(grid, scored, forecaster)
    made["about"] = {
        "title": options.name or options.history.stem,
        "stations": len(grid.stations),
        "history_first": str(grid.start),
        "history_last": str(grid.start + begin - 1),
        "how": how,
    }
    for variable, (value, low, high) in made["skill"]["damped_anomaly"].items():
        say(f"{variable}: skill {value:+.3f} ({low:+.3f} to {high:+.3f}) against the damped anomaly")
    return made


def _read(options: argparse.Namespace) -> tuple[HourGrid, int]:
    stations = datasets.read_station_table(options.stations) if options.stations else None
    history, known = datasets.read(options.history, stations)
    if options.test:
        test, _ = datasets.read(options.test, known)
        return datasets.join(history, test, known)
    hours = pd.to_datetime(history["hour"], utc=True)
    begin = hours.max() - TEST_SHARE * (hours.max() - hours.min())
    if options.test_from:
        begin = pd.Timestamp(options.test_from, tz="UTC")
    if not hours.min() < begin <= hours.max():
        raise SourceError(f"{options.history} spans {hours.min()} to {hours.max()}; no test can begin at {begin}")
    return datasets.join(history[hours < begin], history[hours >= begin], known)
