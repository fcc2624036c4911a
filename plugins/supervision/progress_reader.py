"""Condenses a job's progress, up to several lines per second, to a few lines for the task log."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from weatherglass.jobs.progress_tail import ProgressTail

LINE_INTERVAL_SECONDS = 10.0
"""Time between two lines while the state does not change. Changes of state are logged immediately."""

SUMMED_FIELDS = (
    "rows",
    "records",
    "observations",
    "predictions",
    "windows_sent",
    "rejected",
    "failed_values",
    "late",
    "skipped",
)
"""Fields that are summed over reports; numbers, or numbers by kind. Of all other fields the newest value is used."""


class ProgressReader:
    """Reads `progress.jsonl` from now on, across rotations.

    Args:
        interval: seconds between two lines; times are on any monotonic clock.
    """

    def __init__(self, file: Path, interval: float = LINE_INTERVAL_SECONDS):
        self.interval = interval
        self._tail = ProgressTail(file)
        self._pending: list[dict[str, Any]] = []
        self._state: tuple[object, ...] | None = None
        self._last_line_at = float("-inf")

    def new_lines(self, now: float) -> list[str]:
        """The lines to log now."""
        lines = []
        for report in self._tail.read():
            changed = _state(report) != self._state
            self._state = _state(report)
            self._pending.append(report)
            if changed:
                lines.append(self._format_pending(now))
        if self._pending and now - self._last_line_at >= self.interval:
            lines.append(self._format_pending(now))
        return lines

    def remaining_lines(self) -> list[str]:
        """The lines not logged yet, for when the job has ended."""
        self._pending += self._tail.read()
        return [self._format_pending(self._last_line_at)] if self._pending else []

    def _format_pending(self, now: float) -> str:
        reports, self._pending, self._last_line_at = self._pending, [], now
        message = str(reports[-1].get("message", reports[-1]))
        if len(reports) == 1:
            return message
        sums = {name: _sum([report[name] for report in reports if name in report]) for name in SUMMED_FIELDS}
        totals = ", ".join(f"{_format_sum(s)} {name.replace('_', ' ')}" for name, s in sums.items() if s.total())
        return f"{message} [{len(reports)} reports since the last line{': ' + totals if totals else ''}]"


def _sum(values: list[Any]) -> Counter[str]:
    """Sums by kind; plain numbers have the kind ''."""
    total: Counter[str] = Counter()
    for value in values:
        by_kind = value if isinstance(value, dict) else {"": value}
        total.update({kind: number for kind, number in by_kind.items() if isinstance(number, int | float)})
    return total


def _format_sum(sums: Counter[str]) -> str:
    kinds = ", ".join(f"{number:,} {kind}" for kind, number in sums.items() if kind)
    return f"{sums.total():,}" + (f" ({kinds})" if kinds else "")


def _state(report: dict[str, Any]) -> tuple[object, ...]:
    """A change of this is logged immediately. A report without fields is an event out of the ordinary."""
    return report.get("state"), report.get("model_version"), report.keys() <= {"at", "message"}
