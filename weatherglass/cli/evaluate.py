"""`weatherglass evaluate`: train on a history, score the forecasts of later hours, and generate the page."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from weatherglass.evaluation import arma, datasets, figures, held_out, local_training, page, plots
from weatherglass.evaluation.daily_recalibration import recalibrate_daily
from weatherglass.files import DamagedFileError
from weatherglass.forecast.boosted_trees import BoostedForecaster
from weatherglass.forecast.fit import InsufficientTrainingData
from weatherglass.forecast.presets import SIZES
from weatherglass.forecast.splits import TEST_SHARE, HistoryTooShort
from weatherglass.history.grid import HourGrid
from weatherglass.history.sources import SourceError
from weatherglass.history.sources.statement_arguments import parse_statements
from weatherglass.registry.artifact import ModelFileError


def evaluate(options: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    start = time.monotonic()
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    logging.getLogger("weatherglass").setLevel(logging.INFO)  # how the columns were read

    def log(line: str) -> None:
        print(f"[{time.monotonic() - start:6.1f} s] {line}", flush=True)

    try:
        result = _evaluate(options, log)
    except (SourceError, DamagedFileError, HistoryTooShort, InsufficientTrainingData, ModelFileError) as error:
        print(f"Evaluation failed: {error}", file=sys.stderr)
        return 1
    name = options.name or options.history[0].stem
    folder = options.docs / page.FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(result, indent=1), encoding="utf-8")
    plots.write(folder, name, result)
    log(f"Wrote {page.write(options.docs)}")
    return 0


def _evaluate(options: argparse.Namespace, log: Callable[[str], None]) -> dict[str, Any]:
    if options.models or options.spread or options.lead or options.json:
        raise SourceError("--models, --spread, --lead and --json belong to --guidance")
    grid, begin = _read(options)
    history = grid.part(0, begin)
    training_hours = np.arange(grid.values.shape[1]) < begin
    log(f"History to {grid.hours[begin - 1]}, test to {grid.hours[-1]}")
    if options.model:
        forecaster = BoostedForecaster.load(options.model)
        description = f"Model: {options.model.name}."
    else:
        forecaster = local_training.train(history, SIZES[options.size], options.threads, log)
        description = f"Model: trained on the history, size {options.size}, seed {local_training.SEED}."
        if options.save:
            forecaster.save(options.save)
            log(f"Saved the model in {options.save}; evaluate it again with --model")
    rows, base = held_out.choose_cases(grid, ~training_hours, options.cases)
    if len(base) == 0:
        raise HistoryTooShort("The test has no four consecutive days")
    as_trained = held_out.forecast(grid, rows, base, forecaster, forecaster.climatology, forecaster.damping)
    scored = recalibrate_daily(as_trained)
    log(f"{len(base):,} forecasts of {len(np.unique(rows))} stations")
    stations = np.unique(rows)[:: max(1, len(np.unique(rows)) // arma.STATIONS)][: arma.STATIONS]
    scored.forecasts[arma.NAME] = arma.forecast(grid, training_hours, forecaster.climatology, scored, stations.tolist())
    log(f"Harmonic regression with ARMA errors at {len(stations)} stations")
    result = figures.summarize(scored, (arma.NAME,))
    result["coverage_as_trained"] = figures.coverage(as_trained)
    result["short_past"] = figures.short_past_skill(grid, scored, forecaster)
    result["about"] = {
        "title": options.name or options.history[0].stem,
        "stations": len(grid.stations),
        "history_first": str(grid.start),
        "history_last": str(grid.hours[begin - 1]),
        "model": f"{description} As in service, values and intervals are recalibrated on every UTC day.",
    }
    for variable, (value, low, high) in result["skill"].get("damped_anomaly", {}).items():
        if value is not None:
            log(f"{variable}: skill {value:+.3f} ({low:+.3f} to {high:+.3f}) against the damped anomaly")
    return result


def _read(options: argparse.Namespace) -> tuple[HourGrid, int]:
    stations = datasets.read_station_table(options.stations) if options.stations else None
    try:
        stated = parse_statements(options.unit, options.time_zone, options.time_format)
    except ValueError as error:
        raise SourceError(str(error)) from None
    now = datetime.now(UTC)
    history, known = datasets.read(options.history, now, stated, stations)
    if options.test:
        test, _ = datasets.read(options.test, now, stated, known)
        return datasets.join(history, test, known)
    hours = pd.to_datetime(history["hour"], utc=True)
    begin = hours.max() - TEST_SHARE * (hours.max() - hours.min())
    if options.test_from:
        begin = pd.Timestamp(options.test_from, tz="UTC")
    if not hours.min() < begin <= hours.max():
        raise SourceError(f"The test cannot begin at {begin}: the history covers {hours.min()} to {hours.max()}")
    return datasets.join(history[hours < begin], history[hours >= begin], known)
