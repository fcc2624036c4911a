"""From flagged hours to events, and how well events find faults."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from weatherglass.anomaly.fault_injection import Fault, FaultKind
from weatherglass.records import VARIABLES

MERGE_HOURS = 12
"""Flags of a station and variable no further apart than this are one event: a person is called once."""
AFTERMATH_HOURS = 3
"""A flag so shortly after a fault still tells of it, since the way back is a jump, too: it finds it, late."""
WEEK = 168


@dataclass(frozen=True)
class Episode:
    """A flagged stretch of one variable of one station, first and last flagged hour."""

    station: int
    variable: int
    first: int
    last: int


def find_episodes(flagged: npt.NDArray[np.bool_]) -> list[Episode]:
    """Events of flags (stations, hours, variables)."""
    found = []
    for station, variable in zip(*np.nonzero(flagged.any(axis=1)), strict=True):
        at = np.flatnonzero(flagged[station, :, variable])
        breaks = np.flatnonzero(np.diff(at) > MERGE_HOURS)
        firsts, lasts = at[np.concatenate([[0], breaks + 1])], at[np.concatenate([breaks, [len(at) - 1]])]
        found += [
            Episode(int(station), int(variable), int(first), int(last))
            for first, last in zip(firsts, lasts, strict=True)
        ]
    return found


@dataclass
class EpisodeCounts:
    """Counts that add up over several runs; what a detector found and what it cried wolf over.

    Attributes:
        faults, found: by (kind, variable), the variable being None for a fault of the whole station.
        delays: hours from onset to the first flag, of found faults, by kind.
        hits, misses, false_rows: rows (station, hour, variable): flagged and faulty, faulty alone, flagged alone.
        true_events, false_events: flagged events that touch a fault, and that touch none, by variable.
        station_weeks: by variable, of hours with a value.
    """

    faults: dict[tuple[FaultKind, int | None], int]
    found: dict[tuple[FaultKind, int | None], int]
    delays: dict[FaultKind, list[int]]
    hits: npt.NDArray[np.int64]
    misses: npt.NDArray[np.int64]
    false_rows: npt.NDArray[np.int64]
    true_events: npt.NDArray[np.int64]
    false_events: npt.NDArray[np.int64]
    station_weeks: npt.NDArray[np.float64]

    @classmethod
    def empty(cls) -> EpisodeCounts:
        hits, misses, false_rows, true_events, false_events = np.zeros((5, len(VARIABLES)), np.int64)
        weeks = np.zeros(len(VARIABLES))
        return cls({}, {}, {}, hits, misses, false_rows, true_events, false_events, weeks)

    def add(
        self,
        flagged: npt.NDArray[np.bool_],
        faulty: npt.NDArray[np.bool_],
        faults: Sequence[Fault],
        seen: npt.NDArray[np.bool_],
    ) -> None:
        """Count flags against labels, all (stations, hours, 4); `seen` where there was a value to judge."""
        self.hits += (flagged & faulty).sum(axis=(0, 1))
        self.misses += (~flagged & faulty).sum(axis=(0, 1))
        self.false_rows += (flagged & ~faulty).sum(axis=(0, 1))
        self.station_weeks += seen.sum(axis=(0, 1)) / WEEK
        touched = faulty.copy()
        for fault in faults:
            key = (fault.kind, fault.variable)
            self.faults[key] = self.faults.get(key, 0) + 1
            columns = list(fault.variables)
            touched[fault.station, fault.end : fault.end + AFTERMATH_HOURS, columns] = True
            inside = flagged[fault.station, fault.start : fault.end + AFTERMATH_HOURS][:, columns].any(axis=1)
            if inside.any():
                self.found[key] = self.found.get(key, 0) + 1
                self.delays.setdefault(fault.kind, []).append(int(inside.argmax()))
        for event in find_episodes(flagged):
            true = (flagged & touched)[event.station, event.first : event.last + 1, event.variable].any()
            (self.true_events if true else self.false_events)[event.variable] += 1

    def recall(self, kind: FaultKind | None = None, variable: int | None = None) -> float:
        """Share of faults found: of a kind, of a variable (faults of whole stations left out), or all."""
        keys = [key for key in self.faults if kind in (None, key[0]) and (variable is None or key[1] == variable)]
        total = sum(self.faults[key] for key in keys)
        return sum(self.found.get(key, 0) for key in keys) / total if total else float("nan")

    @property
    def precision(self) -> float:
        """Share of flagged events that touch a fault."""
        total = self.true_events.sum() + self.false_events.sum()
        return float(self.true_events.sum() / total) if total else float("nan")

    @property
    def f1(self) -> float:
        precision, recall = self.precision, self.recall()
        return 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0

    @property
    def false_alarms(self) -> npt.NDArray[np.float64]:
        """(variables,) false events per station and week."""
        return np.asarray(self.false_events / np.maximum(self.station_weeks, 1e-9))

    @property
    def points(self) -> tuple[float, float, float]:
        """Precision, recall and F1 of rows."""
        hits, misses, false = (int(count.sum()) for count in (self.hits, self.misses, self.false_rows))
        return (
            hits / (hits + false) if hits + false else float("nan"),
            hits / (hits + misses) if hits + misses else float("nan"),
            2 * hits / (2 * hits + misses + false) if hits else 0.0,
        )
