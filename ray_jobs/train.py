"""Training as a Ray job: the forecaster's parts and the anomaly detector are independent Ray tasks.

    python -m ray_jobs.train --size first|full

Reads the prepared history (leaving out what is replayed as the present), trains, scores on the last held-out stretch,
registers, and promotes what is better than the champion on the same hours. Its standard output is its progress.
"""

from __future__ import annotations

import argparse
import logging
import os
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import ray

from weatherglass.history import HourGrid, Manifest, read_history, read_manifest
from weatherglass.models import climatology, damped, design, fitting, oddness
from weatherglass.models.anomaly import FALSE_ALARMS, AnomalyDetector
from weatherglass.models.artefact import ModelFileError
from weatherglass.models.boosted import LEAD_GROUPS, BoostedForecaster
from weatherglass.models.channels import plausible
from weatherglass.models.evaluation import Scores, evaluate
from weatherglass.models.fitting import SIZES, Fitted, Size
from weatherglass.models.forecast import LEVELS, Forecaster
from weatherglass.models.registry import ANOMALY_DETECTOR, FORECASTER, Registry
from weatherglass.models.split import HistoryTooShort, Split, only, split
from weatherglass.records import UNITS, VARIABLES, iso
from weatherglass.settings import Settings, load_settings
from weatherglass.sources.calendar import excluded_stretches

CPUS = 0.8
"""What a task books: beside an inference actor (0.2) two of them fit on two cores, and one on one."""
SEED = 20130101
TEST_CASES = {"first": 2_000, "full": 8_000}

Say = Callable[[str], None]


class TrainingError(RuntimeError):
    """Training cannot be done; the message says why and what to do."""


@dataclass(frozen=True)
class Trained:
    """What a training made, with the scores of the forecaster on held-out hours."""

    forecaster: BoostedForecaster
    detector: AnomalyDetector
    scores: Scores
    parts: Split


def train(grid: HourGrid, size: Size, test_cases: int, say: Say) -> Trained:
    """Train on a grid with the Ray that this process is connected to.

    Raises:
        HistoryTooShort, fitting.NothingToLearn, oddness.TooFewHours: saying what the history lacks.
    """
    began = time.monotonic()
    parts = split(grid.values.shape[1])
    known = only(grid, parts.train)
    usual = climatology.fit(known)
    damping = damped.fit(design.view(known, usual).anomalies)
    say(
        f"climatology and damped anomaly of {len(grid.stations)} stations from {parts.train.sum() / 24:.0f} days, "
        f"{time.monotonic() - began:.1f} s; {parts.calibrate.sum() / 24:.0f} days calibrate, the last "
        f"{parts.test.sum() / 24:.0f} days test"
    )
    fitted, learnt = _fit_all(grid, parts, usual, damping, size, say)
    held_out = design.view(only(grid, parts.calibrate), usual)
    errors = damped.error_quantiles(held_out.anomalies, held_out.rows, damping, LEVELS)
    forecaster = BoostedForecaster(usual, damping, errors, tuple(one.part for one in fitted))
    scores = evaluate(grid, parts.test, forecaster, usual, damping, test_cases)
    if not np.isfinite(scores.mae["model"]).all():
        raise HistoryTooShort(
            f"the last {parts.test.sum() / 24:.0f} days of the history have too few values to test a model on"
        )
    limits = np.nanquantile(scores.residuals, 1 - FALSE_ALARMS, axis=1)
    return Trained(forecaster, AnomalyDetector(learnt, np.maximum(limits, 1.0)), scores, parts)


def _fit_all(
    grid: HourGrid, parts: Split, usual: climatology.Climatology, damping: damped.Damping, size: Size, say: Say
) -> tuple[list[Fitted], oddness.Oddness]:
    """All parts and the detector's forest as Ray tasks. Only the grid goes through the object store."""
    shared = ray.put((grid, parts, usual, damping))
    detector = _fit_oddness.remote(shared)
    pending: dict[Any, str] = {detector: "anomaly detector"}
    order = []
    for variable, name in enumerate(VARIABLES):
        for leads in LEAD_GROUPS:
            task = _fit_part.remote(shared, variable, leads, size)
            order.append(task)
            pending[task] = f"{name.replace('_', ' ')}, leads {leads[0]}-{leads[-1]} h"
    unit = {task: UNITS[VARIABLES[i // len(LEAD_GROUPS)]] for i, task in enumerate(order)}
    done: dict[Any, Any] = {}
    total = len(pending)
    while pending:
        (ready,), _ = ray.wait(list(pending), num_returns=1)
        result, seconds = ray.get(ready)
        done[ready] = result
        line = f"{len(done)} of {total} parts: {pending.pop(ready)}, {seconds:.1f} s"
        if ready is not detector:
            line += f", MAE {result.mae:.2f} {unit[ready]} (damped anomaly {result.damped_mae:.2f} {unit[ready]})"
        say(line)
    return [done[task] for task in order], done[detector]


@ray.remote(num_cpus=CPUS, max_retries=2)
def _fit_part(shared: Any, variable: int, leads: tuple[int, ...], size: Size) -> tuple[Fitted, float]:
    began = time.monotonic()
    grid, parts, usual, damping = shared
    fitted = fitting.fit_part(grid, parts, usual, damping, variable, leads, size, SEED)
    return fitted, time.monotonic() - began


@ray.remote(num_cpus=CPUS, max_retries=2)
def _fit_oddness(shared: Any) -> tuple[oddness.Oddness, float]:
    began = time.monotonic()
    grid, parts, usual, _ = shared
    return oddness.fit(only(grid, parts.train), usual, FALSE_ALARMS, SEED), time.monotonic() - began


def publish(
    registry: Registry, trained: Trained, grid: HourGrid, manifest: Manifest, size: str, who: str, say: Say
) -> dict[str, str]:
    """Register both models, promote what deserves it, and return the new versions by kind."""
    params = {"size": size, **asdict(SIZES[size]), "seed": SEED, "stations": len(grid.stations)}
    tags = {
        "size": size,
        "data_source": manifest.source,
        "data_fingerprint": manifest.fingerprint,
        "data_first_hour": manifest.first_hour,
        "data_last_hour": manifest.last_hour,
    }
    versions = {}
    with tempfile.TemporaryDirectory(prefix="weatherglass-") as scratch:
        for kind, model, metrics in (
            (FORECASTER, trained.forecaster, trained.scores.metrics()),
            (ANOMALY_DETECTOR, trained.detector, _limits(trained.detector)),
        ):
            folder = Path(scratch) / kind
            model.save(folder)
            versions[kind] = registry.register(kind, folder, metrics, params, tags)
            say(f"registered {kind} version {versions[kind]}")
    promoted, why, figures = _decide(registry, trained, grid, TEST_CASES[size])
    if promoted:
        registry.promote(FORECASTER, versions[FORECASTER], who, why, figures)
    say(f"forecaster {versions[FORECASTER]} {'is the champion now' if promoted else 'is not promoted'}: {why}")
    why = f"the newest, its limits set for {FALSE_ALARMS:.1%} false alarms on the newest history"
    registry.promote(ANOMALY_DETECTOR, versions[ANOMALY_DETECTOR], who, why, _limits(trained.detector))
    say(f"anomaly detector {versions[ANOMALY_DETECTOR]} is the champion now: {why}")
    return versions


def _decide(
    registry: Registry, trained: Trained, grid: HourGrid, test_cases: int
) -> tuple[bool, str, dict[str, float]]:
    """Whether the new forecaster is to serve: there is none yet, or it errs less on the same held-out hours.

    Errors of the four variables are made comparable by the damped anomaly's.
    """
    new = _relative_error(trained.scores)
    figures = {"relative_mae": new, **{f"skill.{v}": s for v, s in zip(VARIABLES, trained.scores.skill(), strict=True)}}
    figures = {name: float(value) for name, value in figures.items()}
    champion = registry.champion(FORECASTER)
    if champion is None:
        return True, f"there was no champion; its MAE is {new:.3f} of the damped anomaly's", figures
    try:
        other: Forecaster = BoostedForecaster.load(champion.folder)
    except ModelFileError as error:
        return True, f"champion {champion.version} cannot be loaded ({error})", figures
    scores = evaluate(
        grid, trained.parts.test, other, trained.forecaster.climatology, trained.forecaster.damping, test_cases
    )
    old = _relative_error(scores)
    figures["relative_mae_of_champion"] = old
    verb = "better" if new < old else "not better"
    why = f"MAE {new:.3f} of the damped anomaly's, {verb} than champion {champion.version} with {old:.3f}"
    return new < old, f"{why} on the same held-out hours", figures


def _relative_error(scores: Scores) -> float:
    return float((scores.mean_mae("model") / scores.mean_mae("damped_anomaly")).mean())


def _limits(detector: AnomalyDetector) -> dict[str, float]:
    limits = {f"residual_limit.{v}": float(x) for v, x in zip(VARIABLES, detector.residual_limit, strict=True)}
    return {**limits, "forest_limit": detector.oddness.limit} if detector.oddness else limits


def in_words(scores: Scores) -> list[str]:
    """A line for each variable: errors at 6-24 h beside the damped anomaly's, skill, coverage."""
    model, other, skill = scores.mean_mae("model"), scores.mean_mae("damped_anomaly"), scores.skill()
    return [
        f"held out, {name.replace('_', ' ')}: MAE at 6-24 h {model[v]:.2f} {UNITS[name]}, damped anomaly "
        f"{other[v]:.2f} {UNITS[name]}, skill {skill[v]:+.3f}; intervals hold "
        + " and ".join(f"{np.nanmean(share[:, v]):.1%} ({level:.0%} meant)" for level, share in scores.coverage.items())
        for v, name in enumerate(VARIABLES)
    ]


def connect(settings: Settings) -> None:
    """Join the running Ray: the one that runs this job, else the head of the settings.

    Raises:
        TrainingError: nobody answers there. (`ray.init` would wait for minutes.)
    """
    address = os.environ.get("RAY_ADDRESS") or settings.ray_head
    host, _, port = address.rpartition(":")
    try:
        with closing(socket.create_connection((host, int(port)), timeout=5)):
            pass
    except (OSError, ValueError):
        raise TrainingError(f"no Ray head answers at {address}: start it with `make up`") from None
    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)


def run(settings: Settings, size: str, who: str, now: datetime, say: Say) -> dict[str, str]:
    """From prepared history to registered models; the process must be connected to Ray.

    Raises:
        TrainingError: the history is missing, too short, or lacks a variable.
    """
    try:
        manifest = read_manifest(settings.history_dir)
        without = excluded_stretches(settings, now)
        grid = plausible(read_history(settings.history_dir, without))
    except FileNotFoundError as error:
        raise TrainingError(str(error)) from None
    assert manifest is not None
    say(
        f"history from {manifest.source}: {len(grid.stations)} stations, {manifest.first_hour} to {manifest.last_hour}"
        + "".join(f"; left out, since it is replayed: {iso(first)} to {iso(last)}" for first, last in without)
    )
    try:
        trained = train(grid, SIZES[size], TEST_CASES[size], say)
    except (HistoryTooShort, fitting.NothingToLearn, oddness.TooFewHours) as error:
        raise TrainingError(str(error)) from None
    for line in in_words(trained.scores):
        say(line)
    return publish(Registry(settings), trained, grid, manifest, size, who, say)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m ray_jobs.train", description="Train and register the models.")
    parser.add_argument("--size", choices=sorted(SIZES), default="full", help="first: quick and small; full: proper")
    parser.add_argument("--who", default="train_models", help="who asks, for the promotions log")
    options = parser.parse_args()
    began = time.monotonic()

    def say(line: str) -> None:
        print(f"[{time.monotonic() - began:6.1f} s] {line}", flush=True)

    settings = load_settings()
    try:
        connect(settings)
        run(settings, options.size, options.who, datetime.now(UTC), say)
    except TrainingError as error:
        print(f"training failed: {error}", file=sys.stderr, flush=True)
        return 1
    say("done")
    return 0


if __name__ == "__main__":
    sys.exit(main())
