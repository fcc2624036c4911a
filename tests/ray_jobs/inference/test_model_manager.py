"""Models that change under the service: the real registry, and a small forecaster really fitted."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest

from ray_jobs.inference.canary_check import CanaryBatch
from ray_jobs.inference.model_manager import FAILURES, NO_MODEL, ModelManager
from tests.conftest import make_settings
from tests.ray_jobs.conftest import Feed, Reader, Rounds, serving
from tests.ray_jobs.small_models import GRID, crown, mad
from tests.ray_jobs.windows import START, windows_of
from tests.waiting import until
from weatherglass.forecast import neighbours
from weatherglass.forecast.boosted_trees import BoostedForecaster
from weatherglass.history.prepared import station_lookup, write_stations
from weatherglass.records import Method, inputs_hash
from weatherglass.registry.registry import FORECASTER, Registry
from weatherglass.settings import Settings
from weatherglass.store import alert_log
from weatherglass.topics import SHADOW

pytestmark = pytest.mark.integration

CANARY = CanaryBatch.of_grid(GRID)
MINUTE = timedelta(minutes=1)


def broken_files(settings: Settings, forecaster: BoostedForecaster, folder: Path) -> str:
    version = crown(settings, forecaster, folder)
    champion = Registry(settings).champion(FORECASTER)
    assert champion is not None
    with (champion.folder / "arrays.npz").open("ab") as file:
        file.write(b"x")
    return version


def open_alerts(settings: Settings) -> dict[str, str]:
    with Registry(settings).store().connect() as connection:
        return {alert.subject: alert.message for alert in alert_log.list_alerts(connection, 10, is_open=True)}


def test_versions_that_fail_their_trial_are_quarantined_for_good_and_the_old_one_serves_on(
    forecaster: BoostedForecaster, tmp_path: Path
) -> None:
    settings = make_settings(tmp_path / "state")
    champions = ModelManager(Registry(settings), "inference-0")
    champions.refresh(CANARY)
    assert champions.current.forecaster_version == NO_MODEL
    assert champions.statuses()["forecaster"].state == "degraded"
    good = crown(settings, forecaster, tmp_path / "good")
    champions.refresh(CANARY)
    assert champions.current.forecaster_version == good
    assert champions.statuses()["forecaster"].state == "ok"
    served = champions.current.forecaster

    hot = crown(settings, mad(forecaster), tmp_path / "mad")
    champions.refresh(CANARY)
    damaged = broken_files(settings, forecaster, tmp_path / "damaged")
    champions.refresh(CANARY)
    assert champions.current.forecaster is served
    condition = champions.statuses()["forecaster"]
    assert condition.state == "degraded"
    assert damaged in condition.reason
    reasons = Registry(settings).refused(FORECASTER)
    assert set(reasons) == {hot, damaged}
    assert "half-widths" in reasons[hot] or "allowed is" in reasons[hot]
    assert "changed since it was saved" in reasons[damaged]
    told = open_alerts(settings)
    assert set(told) == {f"forecaster version {hot}", f"forecaster version {damaged}"}
    assert reasons[damaged] in told[f"forecaster version {damaged}"]

    # A process started anew knows, and serves the last good one.
    anew = ModelManager(Registry(settings), "inference-1")
    anew.refresh(CANARY)
    assert anew.current.forecaster_version == good
    with Registry(settings).store().connect() as connection:
        assert {a.message.count("inference-0") for a in alert_log.list_alerts(connection, 10)} == {1}, "not tried again"

    # Promoted again it is tried again, and refused again; a sound one ends the alerts.
    Registry(settings).promote(FORECASTER, hot, "an operator", "try again", {})
    assert hot not in Registry(settings).refused(FORECASTER)
    anew.refresh(CANARY)
    assert hot in Registry(settings).refused(FORECASTER)
    Registry(settings).roll_back(FORECASTER, "an operator", "it is mad")
    anew.refresh(CANARY)
    assert anew.statuses()["forecaster"].state == "ok"
    assert open_alerts(settings) == {}


def test_a_champion_that_fails_in_service_gives_way_to_the_one_before_and_at_last_to_the_baseline(
    forecaster: BoostedForecaster, tmp_path: Path
) -> None:
    settings = make_settings(tmp_path / "state")
    first = crown(settings, forecaster, tmp_path / "first")
    champions = ModelManager(Registry(settings), "inference-0")
    champions.refresh(CANARY)
    second = crown(settings, forecaster, tmp_path / "second")
    champions.refresh(CANARY)
    for _ in range(FAILURES - 1):
        champions.record_failure("forecaster", second, "no forecast today")
    champions.record_success("forecaster")
    champions.record_failure("forecaster", second, "no forecast today")
    assert champions.current.forecaster_version == second, "only failures in a row count"
    for _ in range(FAILURES - 1):
        champions.record_failure("forecaster", second, "no forecast today")
    assert champions.current.forecaster_version == first, "at once, before the registry is asked again"
    assert champions.wake.is_set()
    champions.refresh(CANARY)
    assert "no forecast today" in Registry(settings).refused(FORECASTER)[second]
    assert champions.statuses()["forecaster"].state == "degraded"
    assert set(open_alerts(settings)) == {f"forecaster version {second}"}
    for _ in range(FAILURES):
        champions.record_failure("forecaster", first, "not this one either")
    assert champions.current.forecaster_version == NO_MODEL
    champions.refresh(CANARY)
    assert champions.current.forecaster_version == NO_MODEL
    assert champions.statuses()["forecaster"].state == "failing"


def test_a_challenger_comes_goes_and_is_never_replaced_by_an_older_one(
    forecaster: BoostedForecaster, tmp_path: Path
) -> None:
    settings = make_settings(tmp_path / "state")
    registry = Registry(settings)
    first = crown(settings, forecaster, tmp_path / "first")
    forecaster.save(tmp_path / "others")
    other, last = (registry.register(FORECASTER, tmp_path / "others", {}, {}, {}) for _ in range(2))
    champions = ModelManager(Registry(settings), "inference-0")
    for version in (other, last):
        registry.challenge(FORECASTER, version, "training", "to be compared", {})
        champions.refresh(CANARY)
        assert (champions.current.forecaster_version, champions.current.challenger_version) == (first, version)
    for _ in range(FAILURES):
        champions.record_failure("challenger", last, "no forecast today")
    assert champions.current.challenger is None
    assert champions.current.forecaster_version == first
    champions.refresh(CANARY)
    assert champions.current.challenger is None
    assert last in registry.refused(FORECASTER)
    registry.challenge(FORECASTER, other, "training", "to be compared", {})
    champions.refresh(CANARY)
    assert champions.current.challenger_version == other
    registry.withdraw(FORECASTER, "an operator", "enough seen", {})
    champions.refresh(CANARY)
    assert champions.current.challenger is None


def test_a_registry_that_cannot_be_asked_changes_nothing(forecaster: BoostedForecaster, tmp_path: Path) -> None:
    settings = make_settings(tmp_path / "state")
    version = crown(settings, forecaster, tmp_path / "good")
    champions = ModelManager(Registry(settings))
    champions.refresh(CANARY)
    (settings.state_dir / "mlflow.db").write_bytes(b"no database any more" * 100)
    champions.refresh(CANARY)
    assert champions.current.forecaster_version == version
    assert ModelManager(Registry(settings)).current.forecaster_version == NO_MODEL


@pytest.mark.integration
def test_models_are_swapped_and_rolled_back_under_load_and_no_answer_is_missing_doubled_or_mixed(
    serving_settings: Settings, feed: Feed, forecaster: BoostedForecaster, tmp_path: Path
) -> None:
    settings = serving_settings
    settings.history_dir.mkdir(parents=True)
    write_stations(settings.history_dir, GRID.stations)
    assert station_lookup(settings)("s1") == GRID.stations[1]
    names = [station.station_id for station in GRID.stations] + ["nowhere-known"]
    first = crown(settings, forecaster, tmp_path / "first")
    warmer = replace(
        forecaster, climatology=replace(forecaster.climatology, coefficients=forecaster.climatology.coefficients + 0.5)
    )
    reader, registry = Reader(settings.bootstrap_servers), Registry(settings)

    def served() -> str:
        return _versions(reader, "s0")[-1]

    with serving(settings) as (service, champions):
        past = {START + timedelta(hours=h): 5.0 for h in range(-48, 1)}
        for name in names:
            feed.send(windows_of(name, past))
        until("the past is known", lambda: {(name, START) for name in names} <= set(reader.answered()))
        with Rounds(feed, reader, names, START) as load:
            load.wait(3)
            second = crown(settings, warmer, tmp_path / "second")
            champions.refresh(service.canary)
            until("the second serves", lambda: served() == second)
            load.wait(3)
            hot = crown(settings, mad(forecaster), tmp_path / "mad")
            champions.refresh(service.canary)
            load.wait(3)
            assert registry.roll_back(FORECASTER, "an operator", "mad").to_version == second
            assert registry.roll_back(FORECASTER, "an operator", "too warm").to_version == first
            champions.refresh(service.canary)
            until("the first serves again", lambda: served() == first)
            registry.challenge(FORECASTER, second, "an operator", "once more beside the first", {})
            champions.refresh(service.canary)
            load.wait(4)
    answered = reader.answered()
    assert len(set(answered)) == len(answered), "an answer came twice"
    assert set(load.sent) <= set(answered), "an answer is missing"
    assert hot not in {p.predictions.model_version for p in reader.read()}
    for name in names:
        order = [version for version, _ in groupby(_versions(reader, name))]
        assert order == [first, second, first], "versions change when they are told to, and not in between"
    methods = {p.station_id: p.predictions.method for p in reader.read()}
    assert methods.pop("nowhere-known") is Method.PERSISTENCE
    assert set(methods.values()) == {Method.MODEL}
    assert all(inputs_hash(record.headers) for record in reader.records)
    aside = Reader(settings.bootstrap_servers, SHADOW)
    until("a round in shadow", lambda: len(aside.answered()) >= len(names))
    served_inputs = {(r.key, inputs_hash(r.headers)) for r in reader.records}
    assert {p.predictions.model_version for p in aside.read()} == {second}
    assert {(r.key, inputs_hash(r.headers)) for r in aside.records} <= served_inputs, "the same inputs"
    for one in (aside, reader):
        one.close()


def _versions(reader: Reader, station_id: str) -> list[str]:
    return [p.predictions.model_version for p in reader.read() if p.station_id == station_id]


def test_a_station_of_unknown_place_does_not_touch_the_others() -> None:
    """The stream may bring any station; the catalogue then knows no coordinates for it."""
    unknown = station_lookup(make_settings(Path("nowhere")))("nowhere-known")
    weights = neighbours.neighbour_kernels((*GRID.stations, unknown))
    np.testing.assert_array_equal(weights[:, :-1, :-1], neighbours.neighbour_kernels(GRID.stations))
    assert not weights[:, -1].any()
    assert not weights[:, :, -1].any()
