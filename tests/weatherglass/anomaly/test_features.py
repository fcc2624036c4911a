"""Each feature, by its name, against a plain loop over its definition."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from tests.synthetic_history import history
from weatherglass.anomaly import expected_values, features, isolation_features
from weatherglass.anomaly.expected_values import VIEWS
from weatherglass.anomaly.fault_injection import nearest_stations
from weatherglass.anomaly.features import NAMES, AnomalyFeatures, StationStatistics
from weatherglass.forecast import climatology
from weatherglass.forecast.variables import model_variables
from weatherglass.records import VARIABLES

COUNT = 6
GRID = history(count=COUNT, days=100)
CLIMATE = climatology.fit(GRID)
NORMAL = CLIMATE.at(np.arange(COUNT), GRID.hours)[..., :4].astype(np.float32)
TRUE = model_variables(GRID.values)[..., :4]
IDS = [station.station_id for station in GRID.stations]
STATION, OTHER = 2, 3
CHECKED = [(station, v) for station in range(1, COUNT) for v in range(4)]

OTHER_UNITS = {
    0: [(1.8, 32.0), (1.0, 273.15)],
    1: [(0.01, 0.0)],
    2: [(0.02953, 0.0), (0.750062, 0.0), (100.0, 0.0)],
    3: [(1.943844, 0.0), (2.236936, 0.0), (3.6, 0.0)],
}


def train_statistics() -> StationStatistics:
    anomalies = TRUE - NORMAL
    expected = expected_values.fit(IDS, anomalies, seed=0)
    forest = isolation_features.fit_forest(anomalies, expected.spread, seed=0)
    rng = np.random.default_rng(1)
    step, flat = rng.uniform(5, 20, (COUNT, 4)), rng.uniform(6, 24, (COUNT, 4))
    return StationStatistics(expected, forest, nearest_stations(GRID.stations), step, flat)


@pytest.fixture(scope="module")
def statistics() -> StationStatistics:
    return train_statistics()


@pytest.fixture(scope="module")
def values() -> np.ndarray:
    """The last `LOOK_BACK` hours and the current one, with gaps, a flat line, a jump and an impossible value."""
    recent = TRUE[:, -features.LOOK_BACK - 1 :].copy()
    recent[STATION, -12:-9, 0] = np.nan
    recent[STATION, -1, 0] += 9
    recent[STATION, -6:, 1] = recent[STATION, -6, 1]
    recent[STATION, -4, 2] = 1200.0  # outside the range, so missing
    recent[OTHER, -5:-2, 3] = np.nan
    recent[0, -1, 0] = np.nan
    return recent


@pytest.fixture(scope="module")
def latest(values: np.ndarray, statistics: StationStatistics) -> AnomalyFeatures:
    return features.compute_latest(values, NORMAL[:, -values.shape[1] :], statistics)


def oracle(
    values: np.ndarray, latest: AnomalyFeatures, statistics: StationStatistics, station: int, v: int
) -> dict[str, float]:
    """The features of the current hour, from the residuals and expected values of the views."""
    normal = NORMAL[:, -values.shape[1] :].astype(float)
    plausible = values.astype(float)
    plausible[..., 2][plausible[..., 2] > 1100] = np.nan
    anomalies = plausible - normal
    spread, scale = statistics.expected.spread, statistics.expected.scale
    residuals = {view: latest.residuals[..., i].astype(float) for i, view in enumerate(VIEWS)}
    own = {view: residual[station, :, v].tolist() for view, residual in residuals.items()}

    def mean(numbers: list[float]) -> float:
        known = [number for number in numbers if not math.isnan(number)]
        return sum(known) / len(known) if known else math.nan

    def largest_other(by_variable: list[float]) -> float:
        others = [number for u, number in enumerate(by_variable) if u != v and not math.isnan(number)]
        return max(others) if others else math.nan

    result = {
        "variable": float(v),
        "value": plausible[station, -1, v],
        "anomaly": anomalies[station, -1, v] / spread[station, v],
        **{view: abs(own[view][-1]) for view in VIEWS},
        "lead24_signed": own["lead24"][-1],
        "neighbours_signed": own["neighbours"][-1],
        "previous": abs(own["lead1"][-2]),
        "previous_signed": own["lead1"][-2] * (1 if own["lead1"][-1] > 0 else -1),
    }
    for view in ("lead24", "lead6", "neighbours", "others"):
        for hours in (3, 6, 12, 24):
            result[f"{view}_mean{hours}"] = abs(mean(own[view][-hours:]))
    for view in ("lead1", "neighbours"):
        for hours in (6, 24):
            result[f"{view}_abs_mean{hours}"] = mean([abs(number) for number in own[view][-hours:]])
    around = [anomalies[row, -1, v] for row in statistics.expected.neighbours[station, v] if row >= 0]
    around = [anomaly for anomaly in around if not math.isnan(anomaly)]
    middle = sum(around) / len(around)
    deviation = math.sqrt(sum((anomaly - middle) ** 2 for anomaly in around) / len(around))
    result["neighbour_deviation"] = abs(anomalies[station, -1, v] - middle) / max(deviation, 0.25 * spread[station, v])
    result["neighbour_share"] = len(around) / 8

    series = plausible[station, :, v].tolist()
    known = [hour for hour in range(len(series)) if not math.isnan(series[hour])]
    flat = 0
    for later, earlier in zip(known[::-1], known[-2::-1], strict=False):
        if abs(series[later] - series[earlier]) > 1e-3:
            break
        flat = known[-1] - earlier
    change = abs(series[known[-1]] - series[known[-2]])
    result["flat_hours"], result["flat_share"] = flat, flat / statistics.flat_limit[station, v]
    result["change"], result["change_share"] = change / spread[station, v], change / statistics.step_limit[station, v]
    for view in ("lead1", "lead24", "neighbours"):
        result[f"tail_{view}"] = statistics.expected.tail[station, v, VIEWS.index(view)]
        result[f"other_variables_{view}"] = largest_other([abs(residuals[view][station, -1, u]) for u in range(4)])
    for view in ("neighbours", "lead24"):
        result[f"scale_{view}"] = scale[station, v, VIEWS.index(view)]
    result["other_variables_mean24"] = largest_other(
        [abs(mean(residuals["neighbours"][station, -24:, u].tolist())) for u in range(4)]
    )
    inputs = isolation_features.compute(anomalies.astype(np.float32), spread, values.shape[1] - 1)
    result["isolation_forest"] = float(statistics.forest.score(np.nan_to_num(inputs[station]))[0])

    width = scale[station, v, VIEWS.index("lead24")] * spread[station, v]
    expected = float(latest.expected[station, -1, v, VIEWS.index("lead24")])
    raw = float(values[station, -1, v])
    best = min(abs((raw - offset) / factor - expected) / width for factor, offset in OTHER_UNITS[v])
    result["other_unit"] = (abs(raw - expected) / width - best) / (1 + best)
    result |= match(plausible, latest, statistics, station, v)
    return result


def match(
    plausible: np.ndarray, latest: AnomalyFeatures, statistics: StationStatistics, station: int, v: int
) -> dict[str, float]:
    """`time_shift` and `swapped`: mean distance over nine hours from what is expected earlier or elsewhere."""
    expected = latest.expected[..., VIEWS.index("neighbours")].astype(float)
    width = statistics.expected.scale[..., VIEWS.index("neighbours")] * statistics.expected.spread
    recent = plausible[station, -expected.shape[1] :]

    def distances(row: int, shift: int) -> list[float]:
        means = []
        for u in range(4):
            numbers = []
            for hour in range(expected.shape[1] - 9, expected.shape[1]):
                number = abs(recent[hour, u] - expected[row, hour - shift, u]) / width[station, u]
                if not math.isnan(number):
                    numbers.append(min(number, 10))
            means.append(sum(numbers) / len(numbers))
        return means

    def gain(candidates: list[list[float]]) -> tuple[float, float]:
        best = min(candidates, key=sum)
        return (own[v] - best[v]) / (1 + best[v]), (sum(own) - sum(best)) / (4 + sum(best))

    own = distances(station, 0)
    shifted = gain([distances(station, hours) for hours in range(2, 13, 2)])
    swapped = gain([distances(row, 0) for row in statistics.nearest[station] if row >= 0])
    return dict(
        zip(("time_shift", "time_shift_station", "swapped", "swapped_station"), (*shifted, *swapped), strict=True)
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_feature_has_the_value_of_its_definition(
    name: str, values: np.ndarray, latest: AnomalyFeatures, statistics: StationStatistics
) -> None:
    for station, v in CHECKED:
        found = float(latest.features[station, 0, v, NAMES.index(name)])
        expected = oracle(values, latest, statistics, station, v)[name]
        assert found == pytest.approx(expected, rel=2e-3, abs=2e-3), (station, VARIABLES[v])


def test_expected_values_are_readings_minus_residuals_in_units_of_the_variable(
    values: np.ndarray, latest: AnomalyFeatures, statistics: StationStatistics
) -> None:
    unit = statistics.expected.scale * statistics.expected.spread[..., None]
    recent = values[:, -latest.expected.shape[1] :].astype(float)
    expected = recent[..., None] - latest.residuals * unit[:, None]
    unclipped = np.abs(latest.residuals) < features.MAX_RESIDUAL
    assert unclipped.sum() > 1000
    np.testing.assert_allclose(latest.expected[unclipped], expected[unclipped], rtol=1e-3, atol=1e-3)


def test_the_deviation_from_neighbours_that_agree_is_in_quarters_of_the_spread(
    values: np.ndarray, statistics: StationStatistics
) -> None:
    normal = NORMAL[:, -values.shape[1] :]
    agreeing = values.copy()
    for row in range(COUNT):
        if row != STATION:
            agreeing[row, -1] = normal[row, -1] + 1
    latest = features.compute_latest(agreeing, normal, statistics)
    for v in range(4):
        expected = abs(agreeing[STATION, -1, v] - normal[STATION, -1, v] - 1) / (
            0.25 * statistics.expected.spread[STATION, v]
        )
        found = latest.features[STATION, 0, v, NAMES.index("neighbour_deviation")]
        assert found == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("late", [2, 4, 6, 8, 10, 12])
def test_a_clock_that_is_late_by_an_even_number_of_hours_is_recognized(
    values: np.ndarray, statistics: StationStatistics, late: int
) -> None:
    """The last nine readings are those expected from the neighbours `late` hours earlier; b is 0, so d - b is d."""
    recent, normal = TRUE[:, -values.shape[1] :].copy(), NORMAL[:, -values.shape[1] :]
    view = VIEWS.index("neighbours")
    expected = features.compute_latest(recent, normal, statistics).expected[STATION, ..., view]
    recent[STATION, -9:] = expected[-9 - late : -late]
    width = (statistics.expected.scale[..., view] * statistics.expected.spread)[STATION]
    distance = np.minimum(np.abs(recent[STATION, -9:] - expected[-9:]) / width, 10).mean(axis=0)
    found = features.compute_latest(recent, normal, statistics).features[STATION, 0]
    np.testing.assert_allclose(found[:, NAMES.index("time_shift")], distance, rtol=1e-3)
    np.testing.assert_allclose(found[:, NAMES.index("time_shift_station")], distance.mean(), rtol=1e-3)


def test_no_two_features_are_equal_so_that_swapping_them_is_noticed(
    values: np.ndarray, latest: AnomalyFeatures, statistics: StationStatistics
) -> None:
    columns = [oracle(values, latest, statistics, station, v) for station, v in CHECKED]
    assert columns[0].keys() == set(NAMES)
    table = np.array([[column[name] for name in NAMES] for column in columns])
    for i, one in enumerate(table.T):
        for other in table.T[i + 1 :]:
            assert np.abs(one - other).max() > 0.01


def test_the_flat_line_and_the_jump_have_known_values(latest: AnomalyFeatures, statistics: StationStatistics) -> None:
    by_name = dict(zip(NAMES, latest.features[STATION, 0, 1].tolist(), strict=True))
    assert by_name["flat_hours"] == 5
    assert by_name["change"] == 0
    assert by_name["flat_share"] == pytest.approx(5 / statistics.flat_limit[STATION, 1])


def test_a_missing_value_has_no_features_of_its_own(latest: AnomalyFeatures) -> None:
    by_name = dict(zip(NAMES, latest.features[0, 0, 0].tolist(), strict=True))
    for name in ("value", "anomaly", "lead1", "neighbours", "change", "neighbour_deviation", "other_unit"):
        assert math.isnan(by_name[name]), name
    assert by_name["other_variables_lead1"] > 0


def test_residuals_are_clipped_at_30(values: np.ndarray, statistics: StationStatistics) -> None:
    extreme = values.copy()
    extreme[STATION, -1, 0], extreme[OTHER, -1, 0] = 60, -80
    by_name = features.compute_latest(extreme, NORMAL[:, -values.shape[1] :], statistics)
    assert by_name.residuals[STATION, -1, 0, VIEWS.index("lead1")] == 30
    assert by_name.residuals[OTHER, -1, 0, VIEWS.index("lead1")] == -30
    assert by_name.features[OTHER, 0, 0, NAMES.index("lead1")] == 30


def test_only_known_stations_are_candidates_of_a_swap(values: np.ndarray, statistics: StationStatistics) -> None:
    nearest = statistics.nearest.copy()
    nearest[STATION], nearest[OTHER] = -1, [0, -1, -1, -1, -1]
    changed = replace(statistics, nearest=nearest)
    latest = features.compute_latest(values, NORMAL[:, -values.shape[1] :], changed)
    assert math.isnan(latest.features[STATION, 0, 0, NAMES.index("swapped")])
    expected = oracle(values, latest, changed, OTHER, 0)
    for name in ("swapped", "swapped_station"):
        assert latest.features[OTHER, 0, 0, NAMES.index(name)] == pytest.approx(expected[name], rel=2e-3, abs=2e-3)


def test_all_hours_at_once_give_the_features_of_the_latest_hour(
    values: np.ndarray, latest: AnomalyFeatures, statistics: StationStatistics
) -> None:
    whole = TRUE[:, -300:].copy()
    whole[:, -values.shape[1] :] = values
    computed = features.compute(whole, NORMAL[:, -300:], statistics, 200)
    assert computed.features.shape == (COUNT, 100, 4, len(NAMES))
    np.testing.assert_allclose(computed.features[:, -1], latest.features[:, 0], rtol=1e-3, atol=1e-3)


def test_chunks_do_not_change_the_features(statistics: StationStatistics, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = features.compute(TRUE[:, :400], NORMAL[:, :400], statistics, 100)
    monkeypatch.setattr(features, "CHUNK_HOURS", 77)
    in_chunks = features.compute(TRUE[:, :400], NORMAL[:, :400], statistics, 100)
    np.testing.assert_allclose(in_chunks.features, whole.features, rtol=1e-3, atol=1e-3)


def test_columns_are_stacked_by_name() -> None:
    columns = {name: np.full((1, 2), float(i)) for i, name in enumerate(NAMES)}
    stacked = features.stack(dict(reversed(columns.items())), (3, 2))
    assert stacked.shape == (3, 2, len(NAMES))
    assert stacked[0, 0].tolist() == list(range(len(NAMES)))


@pytest.mark.parametrize("change", ["missing", "unknown"])
def test_a_missing_or_unknown_column_is_an_error(change: str) -> None:
    columns = {name: np.zeros((1, 1)) for name in NAMES}
    if change == "missing":
        del columns["change"]
    else:
        columns["changes"] = np.zeros((1, 1))
    with pytest.raises(ValueError, match="change"):
        features.stack(columns, (1, 1))


def test_rules_flag_each_kind_at_its_hour_and_variable(statistics: StationStatistics) -> None:
    steady = np.tile(np.array([10.0, 60.0, 1000.0, 4.0], np.float32), (COUNT, 5, 1))
    steady += 0.1 * np.arange(5, dtype=np.float32)[None, :, None]
    assert not statistics.rule_flags(steady).any()
    changed = steady.copy()
    changed[0, 4, 0] = 61.0
    changed[1, 4, 2] += statistics.step_limit[1, 2] + 1
    changed[2, :, :2] = (36.0, 100.0)
    flags = statistics.rule_flags(changed)
    assert np.argwhere(flags[0]).tolist() == [[4, 0]]
    assert np.argwhere(flags[1]).tolist() == [[4, 2]]
    assert np.argwhere(flags[2]).tolist() == [[hour, v] for hour in range(5) for v in (0, 1)]
    assert not flags[3:].any()
