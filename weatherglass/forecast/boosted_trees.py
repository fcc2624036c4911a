"""The boosted forecaster: gradient-boosted trees on what the linear network leaves over.

forecast = climatology + damped anomaly + network + trees, one pair of LightGBM models (residual, its spread) per
variable and group of leads, global over stations. A station that the network does not know has the rest. Where a
variable's newest value is too old for the trees, the damped anomaly answers; a station that training has not seen
borrows its climatology from those around, and where there are none, persistence answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from weatherglass.forecast import features
from weatherglass.forecast.climatology import TERMS, Climatology
from weatherglass.forecast.damped_anomaly import DampedAnomaly
from weatherglass.forecast.fallback import PersistenceForecaster, history_hours
from weatherglass.forecast.forecaster import LEVELS, Forecast
from weatherglass.forecast.lightgbm_import import lightgbm
from weatherglass.forecast.spatial_regression import SpatialRegression
from weatherglass.forecast.unseen_stations import add_unseen_stations
from weatherglass.forecast.variables import MODEL_VARIABLES, clip_to_limits
from weatherglass.history.grid import HourGrid
from weatherglass.records import LEADS, VARIABLES, Method
from weatherglass.registry import artifact
from weatherglass.stations import Station

KIND = "forecaster"
LEAD_GROUPS = (tuple(range(1, 4)), tuple(range(4, 9)), tuple(range(9, 17)), tuple(range(17, 25)))

HISTORY_CLASSES = (1, 6, 24, features.PAST_HOURS + 1)
"""Hours of own past for which intervals are calibrated; a station takes the largest it fills."""

UNSEEN_STATION_SPREAD = 1.25
"""Factor of the half-width for a station that training has not seen."""
MAX_TREE_AGE_HOURS = 3
"""Hours: beyond this age of a variable's newest value the trees are not asked."""


@dataclass(frozen=True)
class TreeModel:
    """A variable and a group of leads.

    Attributes:
        mean, spread: trees over `design.NAMES`: residual over damped anomaly and network, and its absolute error.
        trust: (leads of the group,) factor of the residual, chosen on hours that no tree has seen; 0 is no correction.
        floor: least spread, in the variable's unit.
        quantiles: (past classes, leads of the group, levels): half-width of the interval in units of the spread.
        station_spread: (stations of the climatology,) factor of the half-width for each.
        hold: (2, leads of the group) share of persistence, which some sensors' steps make hard to beat for an hour:
            usually, and where the present anomaly is `SpatialRegression.beyond` the weather. A sensor that tells
            another pressure for weeks, of the sea instead of the station, does not go back to what is usual.
    """

    variable: int
    leads: tuple[int, ...]
    mean: lightgbm.Booster
    spread: lightgbm.Booster
    floor: float
    quantiles: npt.NDArray[np.float64]
    trust: npt.NDArray[np.float64]
    station_spread: npt.NDArray[np.float64]
    hold: npt.NDArray[np.float64]

    @property
    def name(self) -> str:
        return f"{VARIABLES[self.variable]}-{self.leads[0]:02d}-{self.leads[-1]:02d}"

    def predict(self, rows: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Residual and spread of rows of the design matrix."""
        value = np.asarray(self.mean.predict(rows, num_threads=1))
        return value, np.maximum(np.asarray(self.spread.predict(rows, num_threads=1)), self.floor)


@dataclass(frozen=True)
class BoostedForecaster:
    """A `forecast.Forecaster`.

    Attributes:
        stations: those of the climatology, for their places.
        damped_error: (lags 0..36, variables, levels) half-width of the damped anomaly's interval; the last lag holds
            the climatology's.
    """

    stations: tuple[Station, ...]
    climatology: Climatology
    damping: DampedAnomaly
    network: SpatialRegression
    damped_error: npt.NDArray[np.float64]
    parts: tuple[TreeModel, ...]

    def save(self, folder: Path) -> None:
        """Write the model into an empty folder."""
        folder.mkdir(parents=True, exist_ok=True)
        arrays = {
            "coefficients": self.climatology.coefficients,
            "rho": self.damping.rho,
            "damped_error": self.damped_error,
            **{f"network.{name}": values for name, values in self.network.arrays().items()},
        }
        for part in self.parts:
            part.mean.save_model(folder / f"{part.name}.mean.txt")
            part.spread.save_model(folder / f"{part.name}.spread.txt")
            arrays[f"{part.name}.quantiles"] = part.quantiles
            arrays[f"{part.name}.trust"] = part.trust
            arrays[f"{part.name}.station_spread"] = part.station_spread
            arrays[f"{part.name}.hold"] = part.hold
        artifact.save_arrays(folder / "arrays.npz", arrays)
        about = {
            "features": list(features.FEATURE_NAMES),
            "levels": list(LEVELS),
            "stations": [[s.station_id, s.latitude, s.longitude, s.elevation] for s in self.stations],
            "parts": [{"variable": part.variable, "leads": part.leads, "floor": part.floor} for part in self.parts],
        }
        artifact.write_manifest(folder, KIND, about)

    @classmethod
    def load(cls, folder: Path) -> BoostedForecaster:
        """Read a model. Executes nothing that the folder brings along.

        Raises:
            artefact.ModelFileError: the folder is not such a model, was changed, or was made for other features.
        """
        about = artifact.verify(folder, KIND)
        if about["features"] != list(features.FEATURE_NAMES) or about["levels"] != list(LEVELS):
            raise artifact.ModelFileError(f"{folder}: made for other features or levels than this version uses")
        arrays = artifact.load_arrays(folder / "arrays.npz")
        if "network.recall" not in arrays:
            raise artifact.ModelFileError(f"{folder}: made by an earlier version; train a new model")
        places = tuple(Station(i, i, "", y, x, z, "UTC", frozenset()) for i, y, x, z in about["stations"])
        stations = tuple(station.station_id for station in places)
        if arrays["coefficients"].shape != (len(stations), TERMS, len(MODEL_VARIABLES)):
            raise artifact.ModelFileError(f"{folder / 'arrays.npz'}: the climatology does not fit the stations")
        parts = []
        for item in about["parts"]:
            name = TreeModel(item["variable"], tuple(item["leads"]), *(None,) * 7).name  # type: ignore[arg-type]
            try:
                mean = lightgbm.Booster(model_file=folder / f"{name}.mean.txt")
                spread = lightgbm.Booster(model_file=folder / f"{name}.spread.txt")
            except lightgbm.basic.LightGBMError as error:
                raise artifact.ModelFileError(f"{folder / name}: LightGBM cannot read it ({error})") from None
            tuned = (arrays[f"{name}.{key}"] for key in ("quantiles", "trust", "station_spread", "hold"))
            parts.append(TreeModel(item["variable"], tuple(item["leads"]), mean, spread, item["floor"], *tuned))
        network = SpatialRegression(
            stations, **{key[8:]: values for key, values in arrays.items() if key.startswith("network.")}
        )
        return cls(
            places,
            Climatology(stations, arrays["coefficients"]),
            DampedAnomaly(arrays["rho"]),
            network,
            arrays["damped_error"],
            tuple(parts),
        )

    def forecast(self, grid: HourGrid, rows: Sequence[int], base: Sequence[int]) -> Forecast:
        """See `forecast.Forecaster`. A row's method is the weakest among the variables its station has reported."""
        fallback = PersistenceForecaster().forecast(grid, rows, base)
        where, when = np.asarray(rows, dtype=np.int64), np.asarray(base, dtype=np.int64)
        if len(where) == 0:
            return fallback
        first, last = int(when.min()) - features.PAST_HOURS, int(when.max())
        usual, damping = add_unseen_stations(self.climatology, self.damping, self.stations, grid.stations)
        known = len(self.climatology.station_ids)
        seen = features.model_inputs(grid, usual, first, last, self.network, known)
        made = features.case_features(seen, damping, where, when)
        values = made.normal.astype(np.float64) + made.damped
        half = {level: self._damped_half(made.age, i) for i, level in enumerate(LEVELS)}
        by_trees = np.isfinite(made.present) & (made.age <= MAX_TREE_AGE_HOURS) & np.isfinite(made.normal_now)
        values += np.where(by_trees[:, None, :], np.nan_to_num(made.linear), 0.0)
        past_class = np.searchsorted(HISTORY_CLASSES, np.maximum(fallback.history_hours, 1), side="right") - 1
        for part in self.parts:
            cases = np.flatnonzero(by_trees[:, part.variable])
            if len(cases) == 0:
                continue
            at = np.array(part.leads) - 1
            which = (cases[:, None], at[None, :], part.variable)
            matrix = made.matrix(part.variable, np.repeat(cases, len(at)), np.tile(at + 1, len(cases)))
            residual, spread = (answer.reshape(len(cases), len(at)) for answer in part.predict(matrix))
            row = seen.rows[where[cases]]
            last = (made.normal_now + made.present)[cases, part.variable][:, None]
            beyond = self.network.beyond(row, made.present[cases, part.variable], part.variable)
            hold = part.hold[beyond.astype(np.int64)]
            values[which] = (1 - hold) * (values[which] + residual * part.trust) + hold * last
            known_spread = part.station_spread[np.minimum(row, known - 1)]
            spread *= np.where(row < known, known_spread, UNSEEN_STATION_SPREAD)[:, None]
            for i, level in enumerate(LEVELS):
                half[level][which] = spread * part.quantiles[past_class[cases], :, i]
        unknown = ~np.isfinite(values)
        values = np.where(unknown, fallback.values, clip_to_limits(values))
        lower, upper = {}, {}
        for level in LEVELS:
            lower[level] = np.where(unknown, fallback.lower[level], clip_to_limits(values - half[level]))
            upper[level] = np.where(unknown, fallback.upper[level], clip_to_limits(values + half[level]))
        methods = _methods(made, by_trees, np.asarray(np.isnan(made.normal).any(axis=(1, 2))))
        return Forecast(
            fallback.station_ids,
            fallback.base_hours,
            values,
            lower,
            upper,
            methods,
            history_hours(grid, where, when),
        )

    def _damped_half(self, age: npt.NDArray[np.int64], level: int) -> npt.NDArray[np.float64]:
        lag = np.minimum(np.array(LEADS)[None, :, None] + age[:, None, :], len(self.damped_error) - 1)
        return self.damped_error[lag, np.arange(len(VARIABLES)), level]


def _methods(
    made: features.CaseFeatures, by_trees: npt.NDArray[np.bool_], no_climatology: npt.NDArray[np.bool_]
) -> tuple[Method, ...]:
    reported = np.asarray(np.isfinite(made.past).any(axis=1))
    damped = np.asarray((reported & ~by_trees).any(axis=1) | ~reported.any(axis=1))
    return tuple(
        Method.PERSISTENCE if none else Method.DAMPED_ANOMALY if weak else Method.MODEL
        for none, weak in zip(no_climatology.tolist(), damped.tolist(), strict=True)
    )
