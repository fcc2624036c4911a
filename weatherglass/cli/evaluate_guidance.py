"""`weatherglass evaluate --guidance`: correct the forecasts of weather models in issue order, and score them."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

import numpy as np

from weatherglass.evaluation.guidance_file import read_guidance
from weatherglass.evaluation.guidance_scores import GuidanceScores, score_guidance
from weatherglass.guidance.daily_series import DailySeries
from weatherglass.history.sources import SourceError

TEST_SHARE = 0.5
OF_A_HISTORY = ("test", "stations", "model", "save", "name", "unit")


def evaluate_guidance(options: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    try:
        if not options.models:
            raise SourceError("--guidance needs --models: the columns with the forecasts of weather models")
        if unused := [name for name in OF_A_HISTORY if getattr(options, name)]:
            raise SourceError(f"these options belong to --history: {', '.join(f'--{name}' for name in unused)}")
        series = read_guidance(options.guidance, options.models, options.lead, options.spread)
        first_day = _first_day(series, options.test_from)
        result = score_guidance(series, first_day)
    except (SourceError, ValueError) as error:
        print(f"Evaluation failed: {error}", file=sys.stderr)
        return 1
    print(json.dumps(asdict(result), indent=1) if options.json else _text(series, first_day, result))
    return 0


def _first_day(series: DailySeries, test_from: str | None) -> int:
    """Row of the first day of the test; by default after half of the days that have forecasts."""
    if test_from is None:
        days = np.flatnonzero(np.isfinite(series.error).any(axis=1))
        return int(days[int(len(days) * TEST_SHARE)]) if len(days) else 0
    try:
        return max(int((np.datetime64(test_from, "D") - series.first_day) / np.timedelta64(1, "D")), 0)
    except ValueError as error:
        raise SourceError(f"--test-from {test_from}: expected a date such as 2026-01-31") from error


def _text(series: DailySeries, first_day: int, result: GuidanceScores) -> str:
    coverage = ", ".join(f"{100 * share:.1f} % inside {100 * level:.0f} %" for level, share in result.coverage.items())
    change = 1 - result.crps / result.raw_crps if result.raw_crps else 0.0
    return "\n".join(
        (
            f"{result.cases:,} forecasts of {result.stations} stations from {series.first_day + first_day} on",
            f"MAE   guidance {result.raw_mae:.3f}, corrected {result.mae:.3f}: skill {result.skill:+.3f} "
            f"({result.skill_low:+.3f} to {result.skill_high:+.3f})",
            f"CRPS  guidance {result.raw_crps:.3f}, corrected {result.crps:.3f}: skill {change:+.3f}",
            f"Coverage: {coverage}",
        )
    )
