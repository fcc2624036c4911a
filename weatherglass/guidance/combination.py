"""The combination of guidance with the forecast of the station alone: the model that serves.

The error of the station's own forecast is a linear function of `recent_errors.REGRESSORS`, one for each lead and
variable, the same at all stations. What belongs to a station are its errors of the last five days, so a station that is
a day old has a corrected forecast, and a change of a weather model is forgotten after five days.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from weatherglass.forecast.forecaster import LEVELS, Forecast
from weatherglass.forecast.interval_factors import scale_intervals
from weatherglass.forecast.variables import clip_to_limits
from weatherglass.guidance.known_runs import KnownRun, KnownRuns
from weatherglass.guidance.recent_errors import REGRESSORS, Array, UsableGuidance, combine_models, observed_past
from weatherglass.history.grid import HourGrid
from weatherglass.records import LEADS, VARIABLES
from weatherglass.registry import artifact
from weatherglass.registry.arrays import ModelArrays, save_arrays
from weatherglass.registry.registry import GUIDANCE

ARRAYS = "arrays.npz"


@dataclass(frozen=True)
class GuidanceUse:
    """What a forecast used.

    Attributes:
        runs: model -> run.
        variables: those whose forecast uses guidance.
    """

    runs: dict[str, KnownRun]
    variables: tuple[str, ...]


@dataclass(frozen=True)
class CombinedForecast:
    """A forecast, and what each of its n rows used; None where it is the forecast of the station alone."""

    forecast: Forecast
    used: tuple[GuidanceUse | None, ...]


@dataclass(frozen=True)
class GuidanceCombination:
    """The trained model.

    Attributes:
        coefficients: (leads, variables, REGRESSORS + 1), the last one is the intercept; all 0 where the station's own
            forecast was better.
        factors: (leads, variables, levels) of the half-widths of the station's own intervals.
        usual_error: (variables,) typical `recent_errors.checked_errors`.
        simulated: whether it was trained on simulated guidance; it is used with the same kind only.
    """

    coefficients: Array
    factors: Array
    usual_error: Array
    simulated: bool

    def combine(self, forecast: Forecast, grid: HourGrid, runs: KnownRuns) -> CombinedForecast:
        """Combine a forecast of stations of a grid with the runs that it knew.

        A row or variable without usable guidance stays exactly as it is.
        """
        row_of = {station.station_id: row for row, station in enumerate(grid.stations)}
        rows = np.array([row_of[station_id] for station_id in forecast.station_ids], dtype=np.int64)
        known = runs.known([grid.stations[row] for row in rows], forecast.base_hours, self.simulated)
        if known is None:
            return CombinedForecast(forecast, (None,) * len(rows))
        observed = observed_past(grid, rows, grid.positions(forecast.base_hours))
        usable = combine_models(known, observed, forecast.values, self.usual_error)
        changed = usable.usable & (self.coefficients != 0).any(axis=(0, 2))
        combined = self.corrected(forecast, usable.regressors, changed)
        return CombinedForecast(combined, _uses(known.models, known.runs, usable, changed))

    def corrected(self, forecast: Forecast, regressors: Array, changed: npt.NDArray[np.bool_]) -> Forecast:
        """The forecast with the correction for `regressors` (n, leads, variables, REGRESSORS).

        Args:
            changed: (n, variables); the others stay exactly as they are.
        """
        slopes, intercept = self.coefficients[..., :-1], self.coefficients[..., -1]
        correction = np.where(changed[:, None], (regressors * slopes).sum(axis=-1) + intercept, 0.0)
        factors = np.where(changed[:, None, :, None], self.factors, 1.0)
        lower, upper = scale_intervals(forecast.values, forecast.lower, forecast.upper, factors, -correction)
        return replace(
            forecast,
            values=_changed(changed, clip_to_limits(forecast.values + correction), forecast.values),
            lower={level: _changed(changed, lower[level], forecast.lower[level]) for level in LEVELS},
            upper={level: _changed(changed, upper[level], forecast.upper[level]) for level in LEVELS},
        )

    def save(self, folder: Path) -> None:
        """Write the model into an empty folder."""
        folder.mkdir(parents=True, exist_ok=True)
        arrays = {"coefficients": self.coefficients, "factors": self.factors, "usual_error": self.usual_error}
        save_arrays(folder / ARRAYS, arrays)
        artifact.write_manifest(folder, GUIDANCE, {"simulated": self.simulated})

    @classmethod
    def load(cls, folder: Path) -> GuidanceCombination:
        """Load a model.

        Raises:
            artifact.ModelFileError: the folder does not hold such a model, or was modified.
        """
        about = artifact.verify(folder, GUIDANCE)
        arrays = ModelArrays(folder / ARRAYS)
        size = len(LEADS), len(VARIABLES)
        model = cls(
            arrays.take("coefficients", np.float64, (*size, len(REGRESSORS) + 1)),
            arrays.take("factors", np.float64, (*size, len(LEVELS))),
            arrays.take("usual_error", np.float64, (len(VARIABLES),)),
            about.get("simulated") is True,
        )
        if not all(np.isfinite(array).all() for array in (model.coefficients, model.factors, model.usual_error)):
            raise artifact.ModelFileError(folder / ARRAYS, "has values that are not finite; train a new model")
        return model


def _changed(changed: npt.NDArray[np.bool_], new: npt.NDArray, old: npt.NDArray) -> npt.NDArray:
    return np.where(changed[:, None], new, old)


def _uses(
    models: Sequence[str],
    runs: Sequence[Sequence[KnownRun | None]],
    usable: UsableGuidance,
    changed: npt.NDArray[np.bool_],
) -> tuple[GuidanceUse | None, ...]:
    uses: list[GuidanceUse | None] = []
    for case, variables in enumerate(changed):
        by_model = {
            model: run for m, model in enumerate(models) if usable.used[case, m] and (run := runs[case][m]) is not None
        }
        names = tuple(name for name, use in zip(VARIABLES, variables, strict=True) if use)
        uses.append(GuidanceUse(by_model, names) if names else None)
    return tuple(uses)
