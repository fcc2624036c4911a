"""Benchmark of the anomaly detector: labelled faults, injected into real hours that were not used for training.

    python -m weatherglass.evaluation.anomaly_benchmark --history HISTORY.zip --test TEST.parquet [--out TABLE.md]

Faults (`anomaly.fault_injection`) are injected into the raw test hours, about a hundred of each kind in several passes,
so that about one row in a hundred is faulty in each pass. All other flags count as false alarms although real hours
contain real faults, so the precision is a lower bound. The limits of all detectors are set to the same budget of false
alarms, for each period of 30 days on the newest hours before it, because each training in service does the same.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from weatherglass.anomaly import classifier, fault_injection, features, fit
from weatherglass.anomaly.episodes import EpisodeCounts
from weatherglass.anomaly.fault_injection import FaultKind
from weatherglass.anomaly.learned_score import LearnedScore
from weatherglass.evaluation import anomaly_baselines as baselines
from weatherglass.evaluation import datasets
from weatherglass.forecast import climatology
from weatherglass.forecast.splits import mask_hours, split
from weatherglass.history.grid import HourGrid
from weatherglass.records import VARIABLES

EVENTS = 102
PASSES = 6
SEED = 20161201
LIMIT_PERIOD_HOURS = 30 * 24
"""Hours for which limits are valid; trainings in service are more frequent."""
COMBINED, RULES, LEARNED = "rules and learned score", "rules", "learned score"
DETECTORS = (
    COMBINED,
    RULES,
    LEARNED,
    "forecast residuals",
    "neighbours",
    "isolation forest",
    "robust z-score",
    "titanlib buddy check",
)
SCORED = tuple(name for name in DETECTORS if name not in (COMBINED, RULES))
FIRST = features.LOOK_BACK

Array = npt.NDArray[np.float32]
Log = Callable[[str], object]


@dataclass(frozen=True)
class AnomalyBenchmark:
    """Results of all detectors for one budget.

    Attributes:
        counts: detector -> counts over all passes.
        budget: false alarms per station, variable and week for which the limits were set.
        faulty_share: share of the values that are faulty.
        stations: number of stations with a history.
    """

    counts: dict[str, EpisodeCounts]
    budget: float
    faulty_share: float
    stations: int

    def rows(self) -> list[dict[str, float | str]]:
        """Return one row for each detector; false alarms are per station and week, mean over the variables."""
        rows: list[dict[str, float | str]] = []
        for name, counts in self.counts.items():
            delays = [hours for kind in counts.delays.values() for hours in kind]
            point_precision, point_recall, point_f1 = counts.row_scores
            rows.append(
                {
                    "detector": name,
                    "event recall": counts.recall(),
                    "event precision": counts.precision,
                    "event F1": counts.f1,
                    "false alarms": float(counts.false_alarms.mean()),
                    "median delay, h": float(np.median(delays)) if delays else float("nan"),
                    "point precision": point_precision,
                    "point recall": point_recall,
                    "point F1": point_f1,
                }
            )
        return rows

    def by_kind(self) -> list[dict[str, float | str]]:
        """Return recall and median delay of the combined detector for each kind of fault, and recall by variable."""
        counts = self.counts[COMBINED]
        rows: list[dict[str, float | str]] = []
        for kind in FaultKind:
            row: dict[str, float | str] = {
                "kind": kind.value.replace("_", " "),
                "faults": sum(count for key, count in counts.faults.items() if key[0] is kind),
                "recall": counts.recall(kind),
                "median delay, h": float(np.median(counts.delays.get(kind, [np.nan]))),
            }
            for v, name in enumerate(VARIABLES):
                row[name.replace("_", " ")] = counts.recall(kind, v)
            rows.append(row)
        return rows

    def by_variable(self) -> list[dict[str, float | str]]:
        """Return the combined detector's figures by variable; the recall excludes faults of whole stations."""
        counts = self.counts[COMBINED]
        return [
            {
                "variable": name.replace("_", " "),
                "recall": counts.recall(variable=v),
                "false alarms": float(counts.false_alarms[v]),
                "station-weeks": float(counts.station_weeks[v]),
            }
            for v, name in enumerate(VARIABLES)
        ]

    def markdown(self) -> str:
        """Return the three tables."""
        intro = (
            f"{self.stations} stations, {self.faulty_share:.1%} of the values faulty, limits for {self.budget:g} "
            "false alarms per station, variable and week."
        )
        return "\n\n".join([intro, *(table(rows) for rows in (self.rows(), self.by_kind(), self.by_variable()))])


def anomaly_benchmark(
    history: HourGrid,
    test: HourGrid,
    budgets: Sequence[float],
    log: Log = print,
    events: int = EVENTS,
    size: fit.DetectorSize = fit.DETECTOR_SIZES["full"],
) -> list[AnomalyBenchmark]:
    """Train on a history, inject faults into later hours, and count flags for each budget.

    Raises:
        HistoryTooShort, InsufficientHistory: the history is too short.
    """
    masks = split(history)
    normals = climatology.fit(mask_hours(history, masks.train))
    learned = fit.fit(history, masks.train, normals, budgets[0], SEED, size)
    log(f"Trained on {len(history.stations)} stations; limits {np.round(learned.limits, 3).tolist()}")
    begin = max(0, history.values.shape[1] - fit.RECENT_HOURS)
    recent = history.part(begin)
    return benchmark_detector(learned, recent, test, budgets, log, events)


def benchmark_detector(
    learned: LearnedScore,
    recent: HourGrid,
    test: HourGrid,
    budgets: Sequence[float],
    log: Log = print,
    events: int = EVENTS,
) -> list[AnomalyBenchmark]:
    """Run the benchmark on a trained detector; the hours of `recent`, before `test`, set the first limits."""
    values = learned.station_values(test)
    before = _scores(learned, recent, learned.station_values(recent))
    limits_by_budget = _period_limits(before, _scores(learned, test, values), budgets)
    counts_by_budget = [{name: EpisodeCounts.empty() for name in DETECTORS} for _ in budgets]
    shares = []
    for number in range(PASSES):
        rng = np.random.default_rng([SEED, number])
        statistics = learned.statistics
        injected = fault_injection.inject(values, statistics.expected.spread, statistics.nearest, events // PASSES, rng)
        scores = _scores(learned, test, injected.values)
        for counts, limits in zip(counts_by_budget, limits_by_budget, strict=True):
            flags = {RULES: scores[RULES] > 0}
            for name in SCORED:
                periods = [scores[name][:, period] > limit[name] for period, limit in limits]
                flags[name] = np.concatenate(periods, axis=1)
            flags[COMBINED] = flags[RULES] | flags[LEARNED]
            for name in DETECTORS:
                all_hours = np.zeros(values.shape, bool)
                all_hours[:, FIRST:] = flags[name]
                counts[name].add(all_hours, injected.faulty, injected.faults, np.isfinite(injected.values))
        shares.append(float(injected.faulty.sum() / np.isfinite(values).sum()))
        recall = ", ".join(f"{counts[COMBINED].recall():.3f}" for counts in counts_by_budget)
        log(f"Pass {number + 1} of {PASSES}: {len(injected.faults)} faults, recall so far {recall}")
    stations = int(np.isfinite(values).any(axis=(1, 2)).sum())
    return [
        AnomalyBenchmark(counts, budget, float(np.mean(shares)), stations)
        for counts, budget in zip(counts_by_budget, budgets, strict=True)
    ]


Limits = list[tuple[slice, dict[str, npt.NDArray[np.float64]]]]
"""Periods of the hours from `FIRST` on, with the limit (variables,) of each detector."""


def _period_limits(before: dict[str, Array], during: dict[str, Array], budgets: Sequence[float]) -> list[Limits]:
    """Return for each budget the limits of each period, set on the `RECENT_HOURS` before it without injected faults."""
    known = {name: np.concatenate([before[name], during[name]], axis=1) for name in before}
    begin, hours = before[RULES].shape[1], during[RULES].shape[1]
    limits_by_budget: list[Limits] = [[] for _ in budgets]
    for start in range(0, hours, LIMIT_PERIOD_HOURS):
        past = slice(max(0, begin + start - fit.RECENT_HOURS), begin + start)
        hard = known[RULES][:, past] > 0
        for limits, budget in zip(limits_by_budget, budgets, strict=True):
            limit = {
                name: classifier.fit_limits(known[name][:, past], hard if name == LEARNED else hard & False, budget)
                for name in SCORED
            }
            limits.append((slice(start, min(start + LIMIT_PERIOD_HOURS, hours)), limit))
    return limits_by_budget


def _scores(learned: LearnedScore, grid: HourGrid, values: Array) -> dict[str, Array]:
    """Return the scores (stations, hours from FIRST, variables) of all detectors except COMBINED; rules give 0 or 1."""
    normal = learned.normal(grid.hours)
    computed = features.compute(values, normal, learned.statistics, FIRST)
    checked = np.where(np.isfinite(computed.features[..., features.NAMES.index("anomaly")]), values[:, FIRST:], np.nan)
    coordinates_of = {station.station_id: (station.latitude, station.longitude) for station in grid.stations}
    coordinates = np.array(
        [coordinates_of.get(name, (np.nan, np.nan)) for name in learned.climatology.station_ids], float
    )
    kept = values.copy()
    kept[:, FIRST:] = checked
    return {
        RULES: learned.statistics.rule_flags(values)[:, FIRST:].astype(np.float32),
        LEARNED: learned.classifier.score(computed.features),
        "forecast residuals": baselines.forecast_residuals(learned, computed),
        "neighbours": baselines.neighbour_residuals(learned, computed),
        "isolation forest": baselines.isolation_forest(learned, kept, normal, FIRST),
        "robust z-score": baselines.robust_z(kept, FIRST),
        "titanlib buddy check": baselines.buddy_check(learned, coordinates, kept, normal, FIRST),
    }


def table(rows: list[dict[str, float | str]]) -> str:
    """Return a Markdown table of rows with the same columns."""
    names = list(rows[0])

    def cell(value: float | str) -> str:
        if isinstance(value, str):
            return value
        return (
            ""
            if np.isnan(value)
            else f"{value:.0f}"
            if abs(value) >= 20 or float(value).is_integer()
            else f"{value:.2f}"
        )

    lines = [names, ["---"] * len(names), *([cell(row[name]) for name in names] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m weatherglass.evaluation.anomaly_benchmark", description=__doc__)
    parser.add_argument(
        "--history", type=Path, required=True, metavar="PATH", help="training data, as for `weatherglass evaluate`"
    )
    parser.add_argument("--test", type=Path, required=True, metavar="PATH", help="test data, later than the history")
    parser.add_argument(
        "--stations", type=Path, metavar="PATH", help="table of stations: station_id, latitude, longitude"
    )
    parser.add_argument(
        "--budgets", type=float, nargs="+", default=(0.1, 0.2), help="false alarms per station, variable and week"
    )
    parser.add_argument("--events", type=int, default=EVENTS, help="number of faults of each kind")
    parser.add_argument("--out", type=Path, help="also write the tables to this file")
    options = parser.parse_args()
    station_table = datasets.read_station_table(options.stations) if options.stations else None
    training_rows, stations = datasets.read([options.history], datetime.now(UTC), None, station_table)
    test_rows, _ = datasets.read([options.test], datetime.now(UTC), None, stations)
    grid, begin = datasets.join(training_rows, test_rows, stations)
    history = grid.part(0, begin)
    test = grid.part(begin)
    benchmarks = anomaly_benchmark(history, test, options.budgets, events=options.events)
    text = "\n\n".join(benchmark.markdown() for benchmark in benchmarks)
    print(text)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
