"""The model card: purpose, training data, accuracy and limits of a model.

After Mitchell et al. (2019), Model Cards for Model Reporting, FAT*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from ray_jobs.training.plan import TrainingPlan
from weatherglass.records import iso
from weatherglass.registry.registry import FORECASTER, GUIDANCE

FILE = "card.md"

DESCRIPTIONS = {
    # kind: (purpose, limits)
    FORECASTER: (
        "Forecasts temperature (°C), humidity (%), pressure (hPa, as reported by the station) and wind speed (m/s) of "
        "a weather station for the next 1-24 hours, with intervals at 80 % and 90 %, from its own last 72 hours and "
        "those of the stations around it.",
        "Not for safety-critical warnings, not beyond 24 hours, not for gusts or rain. Intervals are wider for a "
        "station that was not in the training data. Retrain for a different climate, and when the training data cover "
        "less than a year.",
    ),
    GUIDANCE: (
        "Combines the forecasts of weather models for a station with the station's own forecast, for the next 1-24 "
        "hours, with weights for each lead and variable and a correction by the errors of the last five days. The "
        "errors below are those of held-out days.",
        "Not used at a station that is observed only by weather models, and not while the last errors of a weather "
        "model are far larger than usual. Guidance that the replay made from later observations says nothing about "
        "real skill.",
    ),
    "anomaly-detector": (
        "Checks whether the current reading of a station is plausible, with reasons, by rules and by a learned score.",
        "A flag is a reason to inspect an instrument, not proof of a fault: rare weather is flagged, too.",
    ),
}


def render(
    kind: str,
    plan: TrainingPlan,
    excluded: Sequence[tuple[datetime, datetime]],
    params: Mapping[str, Any],
    metrics: Mapping[str, float],
    summary: Sequence[str],
) -> str:
    """The card in Markdown; `summary`: lines about the held-out scores."""
    purpose, limits = DESCRIPTIONS[kind]
    data = plan.manifest
    periods = "".join(f"\n- excluded because it is replayed: {iso(first)} to {iso(last)}" for first, last in excluded)
    shown = {name: value for name, value in metrics.items() if ".lead" not in name}
    return "\n".join(
        [
            f"# {kind}",
            "",
            purpose,
            "",
            "## Training data",
            "",
            f"- source: {data.source}, {data.rows:,} station-hours of {data.stations} stations, "
            f"{data.first_hour} to {data.last_hour}{periods}",
            f"- data fingerprint: {data.fingerprint}",
            f"- {plan.new_data}",
            *([f"- trees kept, trained on hours up to {plan.kept.last_hour}"] if plan.kept else []),
            f"- {_use(plan)}, size {plan.size}, seed {plan.seed}, code {plan.code}",
            "",
            "## Scores on held-out hours",
            "",
            *(f"- {line}" for line in summary if kind == FORECASTER),
            *(f"- {name}: {value:.4g}" for name, value in shown.items()),
            "",
            "## Limits",
            "",
            limits,
            "",
            "## Parameters",
            "",
            *(f"- {name}: {value}" for name, value in params.items()),
            "",
        ]
    )


def _use(plan: TrainingPlan) -> str:
    if plan.last_start is None:
        return f"started {iso(plan.started_at)}"
    return f"for replays that start from {iso(plan.started_at)} to {iso(plan.last_start)}"
