"""Episodes of flagged hours, and detection scores against labelled faults."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from weatherglass.anomaly.fault_injection import Fault, FaultKind
from weatherglass.records import VARIABLES

MERGE_HOURS = 12
"""Flags of a station and variable no further apart than this are one episode, which is reported once."""
TRAILING_HOURS = 3
"""A flag this shortly after a fault counts as a late detection, because the return to normal is a jump too."""
WEEK = 168


@dataclass(frozen=True)
class Episode:
    """Consecutive flags of one variable of one station, with the first and the last flagged hour."""

    station: int
    variable: int
    first: int
    last: int


def find_episodes(flagged: npt.NDArray[np.bool_]) -> list[Episode]:
    """Return the episodes of flags (stations, hours, variables)."""
    episodes = []
    for station, variable in zip(*np.nonzero(flagged.any(axis=1)), strict=True):
        hours = np.flatnonzero(flagged[station, :, variable])
        breaks = np.flatnonzero(np.diff(hours) > MERGE_HOURS)
        firsts = hours[np.concatenate([[0], breaks + 1])]
        lasts = hours[np.concatenate([breaks, [len(hours) - 1]])]
        episodes += [
            Episode(int(station), int(variable), int(first), int(last))
            for first, last in zip(firsts, lasts, strict=True)
        ]
    return episodes


@dataclass
class EpisodeCounts:
    """Detections and false alarms of a detector; counts can be added over several runs.

    Attributes:
        faults, detected: by (kind, variable); the variable is None for a fault of the whole station.
        delays: hours from onset to the first flag of detected faults, by kind.
        hits, misses, false_rows: rows (station, hour, variable) that are flagged and faulty, only faulty, only flagged.
        true_episodes, false_episodes: episodes that overlap a fault, and that overlap none, by variable.
        station_weeks: weeks with values, by variable.
    """

    faults: dict[tuple[FaultKind, int | None], int]
    detected: dict[tuple[FaultKind, int | None], int]
    delays: dict[FaultKind, list[int]]
    hits: npt.NDArray[np.int64]
    misses: npt.NDArray[np.int64]
    false_rows: npt.NDArray[np.int64]
    true_episodes: npt.NDArray[np.int64]
    false_episodes: npt.NDArray[np.int64]
    station_weeks: npt.NDArray[np.float64]

    @classmethod
    def empty(cls) -> EpisodeCounts:
        hits, misses, false_rows, true_episodes, false_episodes = np.zeros((5, len(VARIABLES)), np.int64)
        weeks = np.zeros(len(VARIABLES))
        return cls({}, {}, {}, hits, misses, false_rows, true_episodes, false_episodes, weeks)

    def add(
        self,
        flagged: npt.NDArray[np.bool_],
        faulty: npt.NDArray[np.bool_],
        faults: Sequence[Fault],
        known: npt.NDArray[np.bool_],
    ) -> None:
        """Count flags against labels, all (stations, hours, 4); `known` is True where there was a value."""
        self.hits += (flagged & faulty).sum(axis=(0, 1))
        self.misses += (~flagged & faulty).sum(axis=(0, 1))
        self.false_rows += (flagged & ~faulty).sum(axis=(0, 1))
        self.station_weeks += known.sum(axis=(0, 1)) / WEEK
        near_fault = faulty.copy()
        for fault in faults:
            key = (fault.kind, fault.variable)
            self.faults[key] = self.faults.get(key, 0) + 1
            columns = list(fault.variables)
            near_fault[fault.station, fault.end : fault.end + TRAILING_HOURS, columns] = True
            inside = flagged[fault.station, fault.start : fault.end + TRAILING_HOURS][:, columns].any(axis=1)
            if inside.any():
                self.detected[key] = self.detected.get(key, 0) + 1
                self.delays.setdefault(fault.kind, []).append(int(inside.argmax()))
        for episode in find_episodes(flagged):
            true = (flagged & near_fault)[episode.station, episode.first : episode.last + 1, episode.variable].any()
            (self.true_episodes if true else self.false_episodes)[episode.variable] += 1

    def recall(self, kind: FaultKind | None = None, variable: int | None = None) -> float:
        """Return the share of detected faults: of a kind, of a variable (without whole stations), or of all."""
        keys = [key for key in self.faults if kind in (None, key[0]) and (variable is None or key[1] == variable)]
        total = sum(self.faults[key] for key in keys)
        return sum(self.detected.get(key, 0) for key in keys) / total if total else float("nan")

    @property
    def precision(self) -> float:
        """Share of episodes that overlap a fault."""
        total = self.true_episodes.sum() + self.false_episodes.sum()
        return float(self.true_episodes.sum() / total) if total else float("nan")

    @property
    def f1(self) -> float:
        precision, recall = self.precision, self.recall()
        return 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0

    @property
    def false_alarms(self) -> npt.NDArray[np.float64]:
        """(variables,) false episodes per station and week."""
        return np.asarray(self.false_episodes / np.maximum(self.station_weeks, 1e-9))

    @property
    def row_scores(self) -> tuple[float, float, float]:
        """Precision, recall and F1 of rows."""
        hits, misses, false = (int(count.sum()) for count in (self.hits, self.misses, self.false_rows))
        return (
            hits / (hits + false) if hits + false else float("nan"),
            hits / (hits + misses) if hits + misses else float("nan"),
            2 * hits / (2 * hits + misses + false) if hits else 0.0,
        )
