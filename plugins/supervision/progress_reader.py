"""Turns a job's progress, up to several lines a second, into few lines for the task log."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from weatherglass.jobs.progress_tail import ProgressTail

EVERY_SECONDS = 10.0
"""Between two lines while all goes on as before; a change of state is told at once."""

SUMMED = (
    "rows",
    "records",
    "answers",
    "observations",
    "predictions",
    "windows_sent",
    "rejected",
    "failed_values",
    "late",
    "skipped",
)
"""Figures that add up over batches, numbers or numbers by kind; of the others the newest counts."""


class ProgressReader:
    """Follows `progress.jsonl` from now on, through its rotation. `now` is on any steady clock, seconds."""

    def __init__(self, file: Path, every: float = EVERY_SECONDS):
        self.every = every
        self._following = ProgressTail(file)
        self._unsaid: list[dict[str, Any]] = []
        self._state: tuple[object, ...] | None = None
        self._said_at = float("-inf")

    def news(self, now: float) -> list[str]:
        """What is worth a line in the task log by now."""
        told = []
        for report in self._following.read():
            changed = _state(report) != self._state
            self._state = _state(report)
            self._unsaid.append(report)
            if changed:
                told.append(self._tell(now))
        if self._unsaid and now - self._said_at >= self.every:
            told.append(self._tell(now))
        return told

    def rest(self) -> list[str]:
        """What has not been told yet, for when the job has ended."""
        self._unsaid += self._following.read()
        return [self._tell(self._said_at)] if self._unsaid else []

    def _tell(self, now: float) -> str:
        reports, self._unsaid, self._said_at = self._unsaid, [], now
        said = str(reports[-1].get("said", reports[-1]))
        if len(reports) == 1:
            return said
        sums = {name: _sum([report[name] for report in reports if name in report]) for name in SUMMED}
        total = ", ".join(f"{_in_words(sum_)} {name.replace('_', ' ')}" for name, sum_ in sums.items() if sum_.total())
        return f"{said} [{len(reports)} reports since the last line{': ' + total if total else ''}]"


def _sum(values: list[Any]) -> Counter[str]:
    """Of numbers under the name of nothing, of numbers by kind under their kinds."""
    total: Counter[str] = Counter()
    for value in values:
        by_kind = value if isinstance(value, dict) else {"": value}
        total.update({kind: number for kind, number in by_kind.items() if isinstance(number, int | float)})
    return total


def _in_words(sums: Counter[str]) -> str:
    kinds = ", ".join(f"{number:,} {kind}" for kind, number in sums.items() if kind)
    return f"{sums.total():,}" + (f" ({kinds})" if kinds else "")


def _state(report: dict[str, Any]) -> tuple[object, ...]:
    """What a change of is told at once. A report without figures tells of something out of the ordinary."""
    return report.get("state"), report.get("model_version"), report.keys() <= {"at", "said"}
