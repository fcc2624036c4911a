"""Results of training steps survive the round trip through files exactly."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from ray_jobs.training import result_files
from ray_jobs.training.context import TrainingContext
from tests.synthetic_history import history
from weatherglass.anomaly import fit as detector_fit
from weatherglass.anomaly.detector import AnomalyDetector
from weatherglass.anomaly.learned_score import LearnedScore
from weatherglass.files import DamagedFileError
from weatherglass.forecast import base_models, fit
from weatherglass.forecast.fit import FittedTrees
from weatherglass.forecast.lightgbm_import import lightgbm
from weatherglass.forecast.presets import LEAD_GROUPS, ModelSize
from weatherglass.forecast.splits import split

SIZE = ModelSize(cases=1500, trees=5, leaves=15, learning_rate=0.2, spread_trees=3, calibration_cases=1000)
GRID = history(days=120)
SPLIT = split(GRID)


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Inner:
    values: npt.NDArray[np.float32]
    share: float


@dataclass(frozen=True)
class Sample:
    """One field of every type that a result may contain."""

    name: str
    count: int
    yes: bool
    ratio: float
    nothing: float | None
    something: float | None
    maybe: npt.NDArray[np.int64] | None
    hour: np.datetime64
    at: datetime
    colour: Colour
    colours: frozenset[Colour]
    inner: tuple[Inner, ...]
    pairs: tuple[tuple[npt.NDArray[np.bool_], Inner], ...]
    figures: dict[str, dict[str, float]]
    params: dict[str, Any]
    lines: list[str]


def sample() -> Sample:
    rng = np.random.default_rng(3)
    inner = tuple(Inner(rng.normal(size=(2, 3)).astype(np.float32), float(x)) for x in rng.normal(size=2))
    return Sample(
        name="Zürich",
        count=-3,
        yes=True,
        ratio=0.1 + 0.2,
        nothing=None,
        something=float("inf"),
        maybe=np.array([1, 2]),
        hour=np.datetime64("2014-01-01T05", "h"),
        at=datetime(2026, 1, 5, 12, 30, 0, 250, tzinfo=UTC),
        colour=Colour.BLUE,
        colours=frozenset(Colour),
        inner=inner,
        pairs=((np.array([True, False]), inner[0]), (np.array([np.True_]), inner[1])),
        figures={"a.b": {"c": 1 / 3}, "empty": {}},
        params={"trees": 3, "rate": 0.25, "note": None},
        lines=["one", "two"],
    )


def round_trip(folder: Path, result: Any, kind: Any) -> Any:
    folder.mkdir(parents=True)
    result_files.write(folder, result)
    return result_files.read(folder, kind)


def assert_identical(a: Any, b: Any, name: str = "result") -> None:
    """Same types and values, arrays with the same bytes and memory order."""
    assert type(a) is type(b) or (isinstance(a, float) and isinstance(b, float)), name
    if is_dataclass(a) and not isinstance(a, type):
        for field in fields(a):
            assert_identical(getattr(a, field.name), getattr(b, field.name), f"{name}.{field.name}")
    elif isinstance(a, np.ndarray):
        assert a.dtype == b.dtype, name
        assert a.shape == b.shape, name
        assert a.flags.f_contiguous == b.flags.f_contiguous, name
        assert a.tobytes("A") == b.tobytes("A"), name
    elif isinstance(a, tuple | list):
        assert len(a) == len(b), name
        for i, (one, other) in enumerate(zip(a, b, strict=True)):
            assert_identical(one, other, f"{name}.{i}")
    elif isinstance(a, lightgbm.Booster):
        assert a.model_to_string() == b.model_to_string(), name
    else:
        assert a == b, name


@cache
def base() -> base_models.BaseModels:
    return base_models.fit(GRID, SPLIT.train)


@cache
def trees() -> FittedTrees:
    return fit.fit_tree_model(GRID, SPLIT, base(), 0, LEAD_GROUPS[0], SIZE, seed=1)


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_every_type_of_value_is_restored(tmp_path: Path) -> None:
    assert_identical(round_trip(tmp_path / "result", sample(), Sample), sample())
    assert round_trip(tmp_path / "versions", {"forecaster": "3"}, dict[str, str]) == {"forecaster": "3"}
    assert round_trip(tmp_path / "version", "3", str) == "3"


def test_a_missing_optional_array_is_none(tmp_path: Path) -> None:
    without = Sample(**{**vars(sample()), "maybe": None})
    assert round_trip(tmp_path / "result", without, Sample).maybe is None


@pytest.mark.parametrize(
    "value", [object(), np.array([object()]), {1: "key"}, (number for number in range(3)), np.float32(1), b"x"]
)
def test_a_value_that_the_files_cannot_hold_is_a_type_error(tmp_path: Path, value: object) -> None:
    with pytest.raises(TypeError):
        result_files.write(tmp_path, value)


def test_a_pickle_in_the_arrays_is_not_loaded(tmp_path: Path) -> None:
    result_files.write(tmp_path, sample())
    np.savez(tmp_path / result_files.ARRAYS, **{"result.maybe": np.array([print], dtype=object)})
    with pytest.raises(DamagedFileError) as error:
        result_files.read(tmp_path, Sample)
    assert error.value.file == tmp_path / result_files.ARRAYS


def test_the_context_is_restored(tmp_path: Path) -> None:
    stretch = (datetime(2014, 3, 1, tzinfo=UTC), datetime(2014, 3, 31, 23, tzinfo=UTC))
    context = TrainingContext(GRID.stations, GRID.start, ((40, 24),), SPLIT, base(), (stretch,))
    assert_identical(round_trip(tmp_path / "result", context, TrainingContext), context)


def test_a_forecaster_of_restored_results_has_the_same_files(tmp_path: Path) -> None:
    """Fitted in one process, against the same with every intermediate result written and read."""
    context = TrainingContext(GRID.stations, GRID.start, ((40, 24),), SPLIT, base(), ())
    restored = round_trip(tmp_path / "context", context, TrainingContext)
    refitted = fit.fit_tree_model(GRID, restored.split, restored.base_models, 0, LEAD_GROUPS[0], SIZE, seed=1)
    restored_trees = round_trip(tmp_path / "trees", refitted, FittedTrees)
    fit.assemble(GRID, SPLIT, base(), [trees().model]).save(tmp_path / "direct")
    fit.assemble(GRID, restored.split, restored.base_models, [restored_trees.model]).save(tmp_path / "resumed")
    assert contents(tmp_path / "resumed") == contents(tmp_path / "direct")
    assert (restored_trees.mae, restored_trees.damped_mae) == (trees().mae, trees().damped_mae)


def test_a_detector_of_a_restored_score_has_the_same_files(tmp_path: Path) -> None:
    size = detector_fit.DetectorSize(300, 2, 5)
    learned = detector_fit.fit(GRID, SPLIT.train, base().climatology, 0.2, 1, size)
    restored = round_trip(tmp_path / "score", learned, LearnedScore)
    assert_identical(restored, learned)
    for name, score in (("direct", learned), ("resumed", restored)):
        AnomalyDetector(score).save(tmp_path / name)
    assert contents(tmp_path / "resumed") == contents(tmp_path / "direct")
