"""The result of a run, as a table and as JSON, and the recovery times of several runs."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.chaos.schedule import Fault, Kind
from tests.chaos.violations import Violation, counts

SHOWN_VIOLATIONS = 20


@dataclass(frozen=True)
class Injected:
    """A fault of the schedule and what came of it.

    Attributes:
        recovered: seconds until a prediction of a newer observation was visible; None if there was none before the next
            fault, or the fault was not injected.
        skipped: why the fault was not injected; empty if it was.
    """

    fault: Fault
    recovered: float | None = None
    skipped: str = ""


@dataclass(frozen=True)
class Result:
    """A run.

    Attributes:
        lags: records not read at the end, by group and topic; must be 0.
        problem: why the stack was not healthy at the end; empty if it was.
    """

    seed: int
    minutes: float
    acknowledged: int
    unknown: int
    faults: Sequence[Injected]
    lags: dict[str, int]
    violations: Sequence[Violation]
    problem: str = ""

    @property
    def is_correct(self) -> bool:
        return not (self.violations or any(self.lags.values()) or self.problem)


def table(result: Result) -> str:
    """The faults with their times, then what was found."""
    lines = [f"{'start':>7} {'lasts':>6} {'recovered':>10}  fault and target"]
    for one in result.faults:
        time = f"{one.recovered:.1f} s" if one.recovered is not None else "skipped" if one.skipped else "-"
        fault = one.fault
        lines.append(f"{fault.start:>7.0f} {fault.duration:>6.1f} {time:>10}  {fault.kind} {fault.target}".rstrip())
    lines.append(
        f"\nseed {result.seed}, {result.minutes:g} minutes, {len(result.faults)} faults; "
        f"{result.acknowledged} messages acknowledged, {result.unknown} with unknown outcome"
    )
    lines.append(", ".join(f"{kind} {number}" for kind, number in counts(result.violations).items()))
    lines += [f"not read: {number} records, {name}" for name, number in result.lags.items() if number]
    lines += [result.problem] if result.problem else []
    for violation in result.violations[:SHOWN_VIOLATIONS]:
        where = f"{violation.topic} {violation.partition}:{violation.offset}"
        lines.append(f"{violation.kind} {where} {violation.station} {violation.time} {violation.detail}")
    if (more := len(result.violations) - SHOWN_VIOLATIONS) > 0:
        lines.append(f"and {more} more")
    return "\n".join(lines)


def append_recovery(injected: Injected, file: Path) -> None:
    """Append the recovery time of a fault to a file that collects those of several runs, if it was injected."""
    if injected.skipped:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    fault = injected.fault
    with file.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps({"kind": fault.kind, "target": fault.target, "seconds": injected.recovered}) + "\n")


def read_recoveries(file: Path) -> dict[tuple[Kind, str], list[float | None]]:
    """Kind and target of each measured fault, and its recovery times; None is a run without recovery."""
    times: dict[tuple[Kind, str], list[float | None]] = defaultdict(list)
    if file.exists():
        for line in file.read_text(encoding="utf-8").splitlines():
            content = json.loads(line)
            times[Kind(content["kind"]), content["target"]].append(content["seconds"])
    return dict(times)


def recovery_table(times: Mapping[tuple[Kind, str], Sequence[float | None]]) -> str:
    """A Markdown table of recovery times in seconds, shortest first; `-` is a run without recovery."""
    lines = ["| fault | predictions again after (s) |", "|---|---|"]
    for (kind, target), some in sorted(times.items()):
        recovered = [f"{seconds:.0f}" for seconds in sorted(one for one in some if one is not None)]
        missing = ["-"] * sum(one is None for one in some)
        lines.append(f"| `{kind} {target}` | {', '.join(recovered + missing)} |")
    return "\n".join(lines)


def write(result: Result, file: Path) -> None:
    """Write everything as JSON."""
    content = asdict(result) | {"counts": counts(result.violations), "correct": result.is_correct}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
