"""The runs of `make bench`: started again after an interruption, it continues them instead of measuring all loads."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.pipeline.scenarios import Scenario
from weatherglass.files import write_atomically

CHANGING = ("load_average",)
"""Parts of the environment that may differ between the loads of a run."""


class Session:
    """The runs of one call of the benchmark, until all their loads are measured.

    Args:
        file: is kept until then.
        arguments: what is measured; with others, or on another machine, or with other versions, new runs begin.
        environment: machine and versions.

    Attributes:
        continued: whether these are the runs of an earlier call.
    """

    def __init__(self, file: Path, arguments: dict[str, Any], environment: dict[str, str]):
        kept = {name: value for name, value in environment.items() if name not in CHANGING}
        self._file = file
        wanted = {"arguments": arguments, "environment": kept}
        earlier = _read(file)
        self.continued = {name: earlier.get(name) for name in wanted} == json.loads(json.dumps(wanted))
        self._start = str(earlier["start"]) if self.continued else f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, json.dumps(wanted | {"start": self._start}))

    def run(self, scenario: Scenario) -> str:
        """The name of the run of a scenario."""
        return run_name(self._start, scenario)

    def finish(self) -> None:
        """All loads are measured: the next call begins new runs."""
        self._file.unlink(missing_ok=True)


def run_name(start: str, scenario: Scenario) -> str:
    return f"{start}-{scenario}"


def _read(file: Path) -> dict[str, Any]:
    """The content of the file; nothing if it is missing or damaged, so that new runs begin."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return content if isinstance(content, dict) and "start" in content else {}
