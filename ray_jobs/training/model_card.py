"""The model card: what a model is, what it was trained on, how good it is, what it must not be used for.

After Mitchell et al. (2019), Model Cards for Model Reporting, FAT*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from ray_jobs.training.folder import Plan
from weatherglass.records import iso
from weatherglass.registry.registry import FORECASTER

FILE = "card.md"

WHAT = {
    FORECASTER: (
        "Forecasts temperature (°C), humidity (%), pressure (hPa, as the station reads it) and wind speed (m/s) of a "
        "weather station for the next 1-24 hours, with intervals at 80 % and 90 %, from its own last 72 hours and "
        "those of stations around it.",
        "Not for warnings of life and limb, not beyond 24 hours, not for gusts or rain. At a station that it has not "
        "seen in training it answers with wider intervals. A record that is shorter than a year, or of another "
        "climate than the training's, is a reason to train anew.",
    ),
    "anomaly-detector": (
        "Says whether a station's present reading can be trusted, with reasons, from rules and from what is usual.",
        "A flag is a reason to look at an instrument, not proof that it is broken: rare weather is rare, too.",
    ),
}


def of(
    kind: str,
    plan: Plan,
    without: Sequence[tuple[datetime, datetime]],
    params: Mapping[str, Any],
    metrics: Mapping[str, float],
    lines: Sequence[str],
) -> str:
    """A card in Markdown."""
    what, limits = WHAT[kind]
    data = plan.manifest
    left_out = "".join(f"\n- left out, since replayed: {iso(first)} to {iso(last)}" for first, last in without)
    shown = {name: value for name, value in metrics.items() if ".lead" not in name}
    return "\n".join(
        [
            f"# {kind}",
            "",
            what,
            "",
            "## Trained on",
            "",
            f"- source: {data.source}, {data.rows:,} station-hours of {data.stations} stations, "
            f"{data.first_hour} to {data.last_hour}{left_out}",
            f"- fingerprint of the data: {data.fingerprint}",
            f"- begun {iso(plan.began)}, size {plan.size}, seed {plan.seed}, code {plan.code}",
            "",
            "## On held-out hours",
            "",
            *(f"- {line}" for line in lines if kind == FORECASTER),
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
