"""Boosted forecaster: gradient-boosted trees on the residual of the damped anomaly and the spatial regression.

forecast = climatology + damped anomaly + spatial regression + trees, with two LightGBM models (residual and its
spread) for each variable and group of leads, shared by all stations. A station without a spatial regression gets the
other three terms. If the newest value of a variable is too old for the trees, the forecast is the damped anomaly. A
station that was not in the training data borrows its climatology from nearby stations; without any nearby station,
the forecast is persistence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field, field_validator

from weatherglass.forecast.climatology import TERMS, Climatology
from weatherglass.forecast.damped_anomaly import MAX_AGE, DampedAnomaly
from weatherglass.forecast.fallback import PersistenceForecaster, history_hours
from weatherglass.forecast.features import FEATURE_NAMES, PAST_HOURS, CaseFeatures, case_features, model_inputs
from weatherglass.forecast.forecaster import LEVELS, Forecast
from weatherglass.forecast.lightgbm_import import lightgbm, load_trees
from weatherglass.forecast.spatial_regression import SpatialRegression
from weatherglass.forecast.unseen_stations import add_unseen_stations
from weatherglass.forecast.variables import MODEL_VARIABLES, clip_to_limits
from weatherglass.history.grid import HourGrid
from weatherglass.records import LEADS, VARIABLES, Method
from weatherglass.registry import artifact
from weatherglass.registry.arrays import ModelArrays, save_arrays
from weatherglass.stations import Station

KIND = "forecaster"

HISTORY_CLASSES = (1, 6, 24, PAST_HOURS + 1)
"""Hours of own past for which intervals are calibrated; a station gets the largest class that it reaches."""

UNSEEN_STATION_SPREAD = 1.25
"""Factor of the half-width for a station that was not in the training data."""
MAX_TREE_AGE_HOURS = 3
"""Maximum age of a variable's newest value for which the trees are used."""


@dataclass(frozen=True)
class TreeModel:
    """Trees for one variable and one group of leads.

    Attributes:
        leads: hours.
        residual, spread: trees over `features.FEATURE_NAMES` for the residual of damped anomaly and spatial
            regression, and for its absolute error.
        min_spread: lower limit of the spread, in the variable's unit.
        quantiles: (history classes, leads, levels) half-width of the interval in units of the spread.
        shrinkage: (leads,) factor of the residual, chosen on hours that no tree was fitted on; 0 is no correction.
        station_spread: (stations of the climatology,) factor of the half-width.
        persistence_weight: (2, leads) weight of persistence in the forecast. Row 0 is the usual weight, row 1 is used
            if `SpatialRegression.is_extreme` is true of the newest anomaly: a source that reports another pressure
            for weeks, at sea level instead of at the station, does not return to the climatology.
    """

    variable: int
    leads: tuple[int, ...]
    residual: lightgbm.Booster
    spread: lightgbm.Booster
    min_spread: float
    quantiles: npt.NDArray[np.float64]
    shrinkage: npt.NDArray[np.float64]
    station_spread: npt.NDArray[np.float64]
    persistence_weight: npt.NDArray[np.float64]

    @property
    def name(self) -> str:
        """Return the prefix of the model's files and arrays, such as `temperature-01-03`."""
        return model_name(self.variable, self.leads)

    def predict(self, matrix: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return the residual and the spread (m,) of feature rows (m, len(FEATURE_NAMES))."""
        residual = np.asarray(self.residual.predict(matrix, num_threads=1))
        return residual, np.maximum(np.asarray(self.spread.predict(matrix, num_threads=1)), self.min_spread)


ARRAYS = "arrays.npz"
TUNED_ARRAYS = ("quantiles", "shrinkage", "station_spread", "persistence_weight")
"""Attributes of `TreeModel` that are stored as arrays."""


class TreeModelEntry(BaseModel):
    """A tree model in the manifest; `leads` are consecutive hours."""

    variable: int = Field(ge=0, lt=len(VARIABLES))
    leads: tuple[Annotated[int, Field(ge=LEADS[0], le=LEADS[-1])], ...] = Field(min_length=1)
    min_spread: float = Field(gt=0, allow_inf_nan=False)

    @field_validator("leads")
    @classmethod
    def _are_consecutive(cls, leads: tuple[int, ...]) -> tuple[int, ...]:
        if leads != tuple(range(leads[0], leads[0] + len(leads))):
            raise ValueError("leads are not consecutive")
        return leads


class AboutForecaster(BaseModel):
    """What the manifest says about a forecaster; see `BoostedForecaster.save`.

    Attributes:
        stations: id, latitude, longitude, elevation.
    """

    features: list[str]
    levels: list[float]
    stations: list[tuple[str, float, float, float | None]] = Field(min_length=1)
    tree_models: list[TreeModelEntry] = Field(max_length=len(VARIABLES) * len(LEADS))


def model_name(variable: int, leads: Sequence[int]) -> str:
    """Return the name of the tree model of a variable and a group of leads."""
    return f"{VARIABLES[variable]}-{leads[0]:02d}-{leads[-1]:02d}"


@dataclass(frozen=True)
class BoostedForecaster:
    """A `forecaster.Forecaster`.

    Attributes:
        stations: stations of the climatology, with their coordinates.
        damped_error: (lags 0..36, variables, levels) half-width of the damped anomaly's interval; the last lag holds
            that of the climatology.
    """

    stations: tuple[Station, ...]
    climatology: Climatology
    damping: DampedAnomaly
    regression: SpatialRegression
    damped_error: npt.NDArray[np.float64]
    tree_models: tuple[TreeModel, ...]

    def save(self, folder: Path) -> None:
        """Write the model into an empty folder."""
        folder.mkdir(parents=True, exist_ok=True)
        arrays = {
            "coefficients": self.climatology.coefficients,
            "rho": self.damping.rho,
            "damped_error": self.damped_error,
            **{f"regression.{name}": values for name, values in self.regression.arrays().items()},
        }
        for model in self.tree_models:
            model.residual.save_model(folder / f"{model.name}.residual.txt")
            model.spread.save_model(folder / f"{model.name}.spread.txt")
            arrays |= {f"{model.name}.{array}": getattr(model, array) for array in TUNED_ARRAYS}
        save_arrays(folder / ARRAYS, arrays)
        about = {
            "features": list(FEATURE_NAMES),
            "levels": list(LEVELS),
            "stations": [[s.station_id, s.latitude, s.longitude, s.elevation] for s in self.stations],
            "tree_models": [
                {"variable": model.variable, "leads": model.leads, "min_spread": model.min_spread}
                for model in self.tree_models
            ],
        }
        artifact.write_manifest(folder, KIND, about)

    @classmethod
    def load(cls, folder: Path) -> BoostedForecaster:
        """Read a model. Does not execute code from the folder.

        Raises:
            artifact.ModelFileError: the folder holds no such model, was changed, or was written for other features.
        """
        about = artifact.parse(folder / artifact.MANIFEST, AboutForecaster, artifact.verify(folder, KIND))
        if about.features != list(FEATURE_NAMES) or about.levels != list(LEVELS):
            raise artifact.ModelFileError(
                folder, "the model uses other features or interval levels than this version; train a new model"
            )
        stations = tuple(Station(i, i, "", y, x, z, "UTC", frozenset()) for i, y, x, z in about.stations)
        ids = tuple(station.station_id for station in stations)
        arrays = ModelArrays(folder / ARRAYS)
        lags = LEADS[-1] + MAX_AGE + 1
        return cls(
            stations,
            Climatology(ids, arrays.take("coefficients", np.float64, (len(ids), TERMS, len(MODEL_VARIABLES)))),
            DampedAnomaly(arrays.take("rho", np.float64, (len(ids), lags, len(VARIABLES)))),
            SpatialRegression.from_arrays(ids, arrays, "regression."),
            arrays.take("damped_error", np.float64, (lags, len(VARIABLES), len(LEVELS))),
            tuple(_load_tree_model(folder, entry, arrays, len(ids)) for entry in about.tree_models),
        )

    def forecast(self, grid: HourGrid, rows: Sequence[int], base: Sequence[int]) -> Forecast:
        """See `forecaster.Forecaster`. A row's method is the weakest among the variables its station has reported."""
        fallback = PersistenceForecaster().forecast(grid, rows, base)
        station_rows, base_hours = np.asarray(rows, dtype=np.int64), np.asarray(base, dtype=np.int64)
        if len(station_rows) == 0:
            return fallback
        first, last = int(base_hours.min()) - PAST_HOURS, int(base_hours.max())
        climatology, damping = add_unseen_stations(self.climatology, self.damping, self.stations, grid.stations)
        known = len(self.climatology.station_ids)
        inputs = model_inputs(grid, climatology, first, last, self.regression, known)
        features = case_features(inputs, damping, station_rows, base_hours)
        values = features.normal.astype(np.float64) + features.damped
        half_width = {level: self._damped_half_width(features.age, i) for i, level in enumerate(LEVELS)}
        by_trees = (
            np.isfinite(features.newest_anomaly)
            & (features.age <= MAX_TREE_AGE_HOURS)
            & np.isfinite(features.base_normal)
        )
        values += np.where(by_trees[:, None, :], np.nan_to_num(features.linear), 0.0)
        history_class = np.searchsorted(HISTORY_CLASSES, np.maximum(fallback.history_hours, 1), side="right") - 1
        for model in self.tree_models:
            cases = np.flatnonzero(by_trees[:, model.variable])
            if len(cases) == 0:
                continue
            lead_index = np.array(model.leads) - 1
            selected = (cases[:, None], lead_index[None, :], model.variable)
            matrix = features.matrix(
                model.variable, np.repeat(cases, len(lead_index)), np.tile(lead_index + 1, len(cases))
            )
            residual, spread = (output.reshape(len(cases), len(lead_index)) for output in model.predict(matrix))
            row = inputs.climatology_rows[station_rows[cases]]
            persistence = (features.base_normal + features.newest_anomaly)[cases, model.variable][:, None]
            extreme = self.regression.is_extreme(row, features.newest_anomaly[cases, model.variable], model.variable)
            weight = model.persistence_weight[extreme.astype(np.int64)]
            values[selected] = (1 - weight) * (values[selected] + residual * model.shrinkage) + weight * persistence
            known_spread = model.station_spread[np.minimum(row, known - 1)]
            spread *= np.where(row < known, known_spread, UNSEEN_STATION_SPREAD)[:, None]
            for i, level in enumerate(LEVELS):
                half_width[level][selected] = spread * model.quantiles[history_class[cases], :, i]
        unknown = ~np.isfinite(values)
        values = np.where(unknown, fallback.values, clip_to_limits(values))
        lower, upper = {}, {}
        for level in LEVELS:
            lower[level] = np.where(unknown, fallback.lower[level], clip_to_limits(values - half_width[level]))
            upper[level] = np.where(unknown, fallback.upper[level], clip_to_limits(values + half_width[level]))
        methods = _methods(features, by_trees, np.asarray(np.isnan(features.normal).any(axis=(1, 2))))
        return Forecast(
            fallback.station_ids,
            fallback.base_hours,
            values,
            lower,
            upper,
            methods,
            history_hours(grid, station_rows, base_hours),
        )

    def _damped_half_width(self, age: npt.NDArray[np.int64], level: int) -> npt.NDArray[np.float64]:
        lag = np.minimum(np.array(LEADS)[None, :, None] + age[:, None, :], len(self.damped_error) - 1)
        return self.damped_error[lag, np.arange(len(VARIABLES)), level]


def _load_tree_model(folder: Path, entry: TreeModelEntry, arrays: ModelArrays, stations: int) -> TreeModel:
    name, leads = model_name(entry.variable, entry.leads), len(entry.leads)
    return TreeModel(
        entry.variable,
        entry.leads,
        load_trees(folder / f"{name}.residual.txt", FEATURE_NAMES, "regression_l1"),
        load_trees(folder / f"{name}.spread.txt", FEATURE_NAMES, "regression"),
        entry.min_spread,
        quantiles=arrays.take(f"{name}.quantiles", np.float64, (len(HISTORY_CLASSES), leads, len(LEVELS))),
        shrinkage=arrays.take(f"{name}.shrinkage", np.float64, (leads,)),
        station_spread=arrays.take(f"{name}.station_spread", np.float64, (stations,)),
        persistence_weight=arrays.take(f"{name}.persistence_weight", np.float64, (2, leads)),
    )


def _methods(
    features: CaseFeatures, by_trees: npt.NDArray[np.bool_], no_climatology: npt.NDArray[np.bool_]
) -> tuple[Method, ...]:
    reported = np.asarray(np.isfinite(features.past).any(axis=1))
    damped = np.asarray((reported & ~by_trees).any(axis=1) | ~reported.any(axis=1))
    return tuple(
        Method.PERSISTENCE if unknown else Method.DAMPED_ANOMALY if weak else Method.MODEL
        for unknown, weak in zip(no_climatology.tolist(), damped.tolist(), strict=True)
    )
