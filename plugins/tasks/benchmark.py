"""Task of the DAG `benchmark_pipeline`."""

from __future__ import annotations

import logging
from datetime import UTC
from typing import Any

from benchmarks.pipeline.scenarios import DEFAULT, MAX_WORKERS, Load, Scenario
from plugins.run_notes import summarize
from weatherglass.formatting import count_noun
from weatherglass.settings import load_settings

SCENARIOS = [scenario.value for scenario in Scenario]
__all__ = ["DEFAULT", "MAX_WORKERS", "SCENARIOS", "measure"]

log = logging.getLogger("airflow.task")


def measure(params: dict[str, Any] | None = None, dag_run: Any = None, ti: Any = None) -> int:
    """Measure the loads of the scenario in the parameters; the number of results.

    A retry of the task measures only the loads that are missing.
    """
    from benchmarks.pipeline.run import run_scenario
    from benchmarks.pipeline.services import broker_process
    from benchmarks.pipeline.session import run_name

    values, settings = params or {}, load_settings()
    base = Load(
        int(values.get("stations", DEFAULT.stations)),
        float(values.get("rate", DEFAULT.rate)),
        int(values.get("workers", DEFAULT.workers)),
    )
    scenario = Scenario(values.get("scenario", Scenario.BASELINE))
    results = run_scenario(
        settings,
        run_name(f"{dag_run.run_after.astimezone(UTC):%Y%m%dT%H%M%SZ}", scenario),
        scenario,
        base,
        60 * float(values.get("minutes", 2.0)),
        log.info,
        broker=broker_process(settings),
    )
    summarize(ti, f"{count_noun(len(results), 'load')} measured")
    return len(results)
