"""Turns a job's progress, up to several lines a second, into few lines for the task log."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from weatherglass.jobs.following import Following

EVERY_SECONDS = 10.0
"""Between two lines while all goes on as before; a change of state is told at once."""

SUMMED = ("rows", "records", "answers", "observations", "predictions", "rejected", "skipped")
"""Figures that add up over batches; of the others the newest counts."""


class ProgressReader:
    """Follows `progress.jsonl` from now on, through its rotation. `now` is on any steady clock, seconds."""

    def __init__(self, file: Path, every: float = EVERY_SECONDS):
        self.every = every
        self._following = Following(file)
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
        sums: Counter[str] = Counter()
        for report in reports:
            sums.update({name: report[name] for name in SUMMED if isinstance(report.get(name), int | float)})
        total = ", ".join(f"{count:,} {name}" for name, count in sums.items() if count)
        return f"{said} [{len(reports)} reports since the last line{': ' + total if total else ''}]"


def _state(report: dict[str, Any]) -> tuple[object, ...]:
    """What a change of is told at once. A report without figures tells of something out of the ordinary."""
    return report.get("state"), report.get("model_version"), report.keys() <= {"at", "said"}
