"""The benchmark of the anomaly detector: labelled faults in real hours that it has not learnt from.

    python -m weatherglass.evaluation.anomaly_benchmark --history HISTORY.zip --test TEST.parquet [--out TABLE.md]

Faults (`anomaly.fault_injection`) are injected into the raw test hours, a hundred of each kind over several passes,
so that in each pass about one row in a hundred is faulty. What the detectors flag elsewhere counts as a false alarm,
although real hours hold real faults: the figures are on the cautious side. All detectors are held to the same budget
of false alarms on the newest hours before each stretch of a month: each training in service sets the limits anew.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
RENEWED_HOURS = 30 * 24
"""Limits are set anew so often; a training in service comes more often than that."""
OURS, RULES, LEARNT = "rules and learnt score", "rules", "learnt score"
DETECTORS = (
    OURS,
    RULES,
    LEARNT,
    "forecast residuals",
    "neighbours",
    "isolation forest",
    "robust z-score",
    "titanlib buddy check",
)
SCORED = tuple(name for name in DETECTORS if name not in (OURS, RULES))
FIRST = features.LOOK_BACK

Array = npt.NDArray[np.float32]
Say = Callable[[str], object]


@dataclass(frozen=True)
class AnomalyBenchmark:
    """What each detector found.

    Attributes:
        tallies: detector -> counts over all passes.
        budget: false alarms a station, variable and week that the limits were set to.
        faulty_share: part of the values that is faulty.
        stations: how many had a history to learn from.
    """

    tallies: dict[str, EpisodeCounts]
    budget: float
    faulty_share: float
    stations: int

    def rows(self) -> list[dict[str, float | str]]:
        """One row a detector; false alarms are per station and week, the mean of the variables."""
        made: list[dict[str, float | str]] = []
        for name, tally in self.tallies.items():
            delays = [hours for kind in tally.delays.values() for hours in kind]
            point_precision, point_recall, point_f1 = tally.points
            made.append(
                {
                    "detector": name,
                    "event recall": tally.recall(),
                    "event precision": tally.precision,
                    "event F1": tally.f1,
                    "false alarms": float(tally.false_alarms.mean()),
                    "median delay, h": float(np.median(delays)) if delays else float("nan"),
                    "point precision": point_precision,
                    "point recall": point_recall,
                    "point F1": point_f1,
                }
            )
        return made

    def by_kind(self) -> list[dict[str, float | str]]:
        """Our detector: recall and median delay of each kind of fault, and recall by variable."""
        tally = self.tallies[OURS]
        made: list[dict[str, float | str]] = []
        for kind in FaultKind:
            row: dict[str, float | str] = {
                "kind": kind.value.replace("_", " "),
                "faults": sum(count for key, count in tally.faults.items() if key[0] is kind),
                "recall": tally.recall(kind),
                "median delay, h": float(np.median(tally.delays.get(kind, [np.nan]))),
            }
            for v, name in enumerate(VARIABLES):
                row[name.replace("_", " ")] = tally.recall(kind, v)
            made.append(row)
        return made

    def by_variable(self) -> list[dict[str, float | str]]:
        """Our detector, by variable; faults of whole stations are left out of the recall."""
        tally = self.tallies[OURS]
        return [
            {
                "variable": name.replace("_", " "),
                "recall": tally.recall(variable=v),
                "false alarms": float(tally.false_alarms[v]),
                "station-weeks": float(tally.station_weeks[v]),
            }
            for v, name in enumerate(VARIABLES)
        ]

    def markdown(self) -> str:
        """The three tables."""
        intro = (
            f"{self.stations} stations, {self.faulty_share:.1%} of the values faulty, limits set for {self.budget:g} "
            "false alarms a station, variable and week."
        )
        return "\n\n".join([intro, *(table(rows) for rows in (self.rows(), self.by_kind(), self.by_variable()))])


def anomaly_benchmark(
    history: HourGrid,
    test: HourGrid,
    budgets: Sequence[float],
    say: Say = print,
    events: int = EVENTS,
    effort: fit.Effort = fit.EFFORTS["full"],
) -> list[AnomalyBenchmark]:
    """Train on a history, inject faults into later hours, and count what is found under each budget.

    Raises:
        HistoryTooShort, oddness.TooFewHours: the history does not suffice.
    """
    parts = split(history.values.shape[1])
    usual = climatology.fit(mask_hours(history, parts.train))
    learnt = fit.fit(history, parts.train, usual, budgets[0], SEED, effort)
    say(f"trained on {len(history.stations)} stations; limits {np.round(learnt.limits, 3).tolist()}")
    begin = max(0, history.values.shape[1] - fit.RECENT_HOURS)
    recent = HourGrid(history.stations, history.start + begin, history.values[:, begin:])
    return judge(learnt, recent, test, budgets, say, events)


def judge(
    learnt: LearnedScore,
    recent: HourGrid,
    test: HourGrid,
    budgets: Sequence[float],
    say: Say = print,
    events: int = EVENTS,
) -> list[AnomalyBenchmark]:
    """The benchmark of a detector that is there already; `recent` hours, before `test`, set the first limits."""
    values = learnt.seen(test)
    before = _scores(learnt, recent, learnt.seen(recent))
    stretches = _renewed(before, _scores(learnt, test, values), budgets)
    made = [{name: EpisodeCounts.empty() for name in DETECTORS} for _ in budgets]
    share = []
    for number in range(PASSES):
        rng = np.random.default_rng([SEED, number])
        background = learnt.background
        injected = fault_injection.inject(values, background.expected.spread, background.nearest, events // PASSES, rng)
        found = _scores(learnt, test, injected.values)
        for tallies, limits in zip(made, stretches, strict=True):
            flags = {RULES: found[RULES] > 0}
            for name in SCORED:
                parts = [found[name][:, at] > limit[name] for at, limit in limits]
                flags[name] = np.concatenate(parts, axis=1)
            flags[OURS] = flags[RULES] | flags[LEARNT]
            for name in DETECTORS:
                whole = np.zeros(values.shape, bool)
                whole[:, FIRST:] = flags[name]
                tallies[name].add(whole, injected.faulty, injected.faults, np.isfinite(injected.values))
        share.append(float(injected.faulty.sum() / np.isfinite(values).sum()))
        recall = ", ".join(f"{tallies[OURS].recall():.3f}" for tallies in made)
        say(f"pass {number + 1} of {PASSES}: {len(injected.faults)} faults, recall so far {recall}")
    stations = int(np.isfinite(values).any(axis=(1, 2)).sum())
    return [
        AnomalyBenchmark(tallies, budget, float(np.mean(share)), stations)
        for tallies, budget in zip(made, budgets, strict=True)
    ]


Limits = list[tuple[slice, dict[str, npt.NDArray[np.float64]]]]
"""Stretches of the hours from `FIRST` on, and the limit (4,) of each detector in it."""


def _renewed(before: dict[str, Array], during: dict[str, Array], budgets: Sequence[float]) -> list[Limits]:
    """For each budget the limits of each stretch, set on the `RECENT_HOURS` before it, into which no fault was put."""
    known = {name: np.concatenate([before[name], during[name]], axis=1) for name in before}
    begin, hours = before[RULES].shape[1], during[RULES].shape[1]
    made: list[Limits] = [[] for _ in budgets]
    for start in range(0, hours, RENEWED_HOURS):
        past = slice(max(0, begin + start - fit.RECENT_HOURS), begin + start)
        hard = known[RULES][:, past] > 0
        for limits, budget in zip(made, budgets, strict=True):
            limit = {
                name: classifier.limits(known[name][:, past], hard if name == LEARNT else hard & False, budget)
                for name in SCORED
            }
            limits.append((slice(start, min(start + RENEWED_HOURS, hours)), limit))
    return made


def _scores(learnt: LearnedScore, grid: HourGrid, values: Array) -> dict[str, Array]:
    """Scores (stations, hours from FIRST, 4) of each detector but ours; those of the rules are 0 and 1."""
    normal = learnt.normal(grid.hours)
    found = features.compute(values, normal, learnt.background, FIRST)
    known = np.where(np.isfinite(found.features[..., features.NAMES.index("anomaly")]), values[:, FIRST:], np.nan)
    places = {station.station_id: (station.latitude, station.longitude) for station in grid.stations}
    located = np.array([places.get(name, (np.nan, np.nan)) for name in learnt.climatology.station_ids], float)
    kept = values.copy()
    kept[:, FIRST:] = known
    return {
        RULES: learnt.background.hard(values)[:, FIRST:].astype(np.float32),
        LEARNT: learnt.combiner.score(found.features),
        "forecast residuals": baselines.forecast_residuals(learnt, found),
        "neighbours": baselines.neighbours(learnt, found),
        "isolation forest": baselines.forest(learnt, kept, normal, FIRST),
        "robust z-score": baselines.robust_z(kept, FIRST),
        "titanlib buddy check": baselines.buddies(learnt, located, kept, normal, FIRST),
    }


def table(rows: list[dict[str, float | str]]) -> str:
    """A Markdown table of rows with the same columns."""
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
    parser.add_argument("--history", type=Path, required=True, metavar="PATH", help="as of `weatherglass evaluate`")
    parser.add_argument("--test", type=Path, required=True, metavar="PATH", help="what came after the history")
    parser.add_argument("--stations", type=Path, metavar="PATH", help="table of stations")
    parser.add_argument("--budgets", type=float, nargs="+", default=(0.1, 0.2), help="a station, variable and week")
    parser.add_argument("--events", type=int, default=EVENTS, help="faults of each kind")
    parser.add_argument("--out", type=Path, help="file for the tables; they are printed anyway")
    options = parser.parse_args()
    rows, stations = datasets.read(
        options.history, datasets.read_station_table(options.stations) if options.stations else None
    )
    later, _ = datasets.read(options.test, stations)
    grid, begin = datasets.join(rows, later, stations)
    history = HourGrid(grid.stations, grid.start, grid.values[:, :begin])
    test = HourGrid(grid.stations, grid.start + begin, grid.values[:, begin:])
    made = anomaly_benchmark(history, test, options.budgets, events=options.events)
    text = "\n\n".join(one.markdown() for one in made)
    print(text)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
