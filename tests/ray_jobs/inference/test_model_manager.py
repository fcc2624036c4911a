"""Changes of models in service, with a registry and a small fitted forecaster."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest

from ray_jobs.inference.canary_check import CanaryBatch
from ray_jobs.inference.failed_loads import CONFIRMATION_SECONDS, MAX_RETRY_SECONDS
from ray_jobs.inference.model_manager import FAILURES, NO_MODEL, ModelManager
from tests.clock import Clock
from tests.conftest import make_settings
from tests.ray_jobs.conftest import Feed, Reader, Rounds, serving
from tests.ray_jobs.small_models import GRID, register_champion, with_impossible_heat
from tests.ray_jobs.windows import START, windows_of
from tests.waiting import until
from weatherglass.forecast import neighbours
from weatherglass.forecast.boosted_trees import BoostedForecaster
from weatherglass.history.prepared import station_lookup, write_stations
from weatherglass.record_headers import inputs_hash
from weatherglass.records import (
    VARIABLES,
    Method,
)
from weatherglass.registry.registry import FORECASTER, Registry
from weatherglass.settings import Settings
from weatherglass.store import alert_queries
from weatherglass.topics import SHADOW

pytestmark = pytest.mark.integration


CANARY = CanaryBatch.of_grid(GRID)
MINUTE = timedelta(minutes=1)


def register_damaged(settings: Settings, forecaster: BoostedForecaster, folder: Path) -> str:
    version = register_champion(settings, forecaster, folder)
    champion = Registry(settings).champion(FORECASTER)
    assert champion is not None
    with (champion.folder / "arrays.npz").open("ab") as file:
        file.write(b"x")
    return version


def open_alerts(settings: Settings) -> dict[str, str]:
    with Registry(settings).store().connect() as connection:
        return {alert.subject: alert.message for alert in alert_queries.list_alerts(connection, 10, is_open=True)}


def test_a_version_that_fails_its_validation_is_quarantined_and_the_previous_one_stays_active(
    forecaster: BoostedForecaster, tmp_path: Path
) -> None:
    settings, clock = make_settings(tmp_path / "state"), Clock()
    manager = ModelManager(Registry(settings), "inference-0", clock)
    manager.refresh(CANARY)
    assert manager.current.forecaster_version == NO_MODEL
    assert manager.statuses()["forecaster"].state == "degraded"
    good = register_champion(settings, forecaster, tmp_path / "good")
    manager.refresh(CANARY)
    assert manager.current.forecaster_version == good
    assert manager.statuses()["forecaster"].state == "ok"
    active = manager.current.forecaster

    hot = register_champion(settings, with_impossible_heat(forecaster), tmp_path / "hot")
    manager.refresh(CANARY)
    damaged = register_damaged(settings, forecaster, tmp_path / "damaged")
    manager.refresh(CANARY)
    assert damaged not in Registry(settings).quarantined(FORECASTER), "its files may still be written"
    clock.now += CONFIRMATION_SECONDS
    manager.refresh(CANARY)
    assert manager.current.forecaster is active
    status = manager.statuses()["forecaster"]
    assert status.state == "degraded"
    assert damaged in status.reason
    reasons = Registry(settings).quarantined(FORECASTER)
    assert set(reasons) == {hot, damaged}
    assert any(name.replace("_", " ") in reasons[hot] for name in VARIABLES), "a variable with impossible values"
    assert "arrays.npz" in reasons[damaged], "the file that does not match its checksum"
    alerts = open_alerts(settings)
    assert set(alerts) == {f"forecaster version {hot}", f"forecaster version {damaged}"}
    assert reasons[damaged] in alerts[f"forecaster version {damaged}"]

    # A new process reads the quarantine and activates the last valid version.
    restarted = ModelManager(Registry(settings), "inference-1")
    restarted.refresh(CANARY)
    assert restarted.current.forecaster_version == good
    with Registry(settings).store().connect() as connection:
        assert {a.message.count("inference-0") for a in alert_queries.list_alerts(connection, 10)} == {1}, (
            "not validated again"
        )

    # A version that is promoted again is validated and rejected again. A valid champion closes the alerts.
    Registry(settings).promote(FORECASTER, hot, "an operator", "test", {})
    assert hot not in Registry(settings).quarantined(FORECASTER)
    restarted.refresh(CANARY)
    assert hot in Registry(settings).quarantined(FORECASTER)
    Registry(settings).roll_back(FORECASTER, "an operator", "impossible heat")
    restarted.refresh(CANARY)
    assert restarted.statuses()["forecaster"].state == "ok"
    assert open_alerts(settings) == {}


def away(folder: Path) -> Callable[[], object]:
    """Rename a folder; returns a function that renames it back."""
    elsewhere = folder.rename(folder.with_name("elsewhere"))
    return lambda: elsewhere.rename(folder)


def unmounted(folder: Path) -> Callable[[], object]:
    """Rename a folder and put an empty one in its place."""
    back = away(folder)
    folder.mkdir()

    def mount() -> None:
        folder.rmdir()
        back()

    return mount


def forbidden(folder: Path) -> Callable[[], object]:
    """Remove all permissions of a file; root could still read it, so its place is taken by a loop of links."""
    file, kept = folder / "arrays.npz", folder.with_name("kept")
    if os.getuid():
        file.chmod(0)
        return lambda: file.chmod(0o600)
    file.rename(kept)
    file.symlink_to(file)
    return lambda: kept.replace(file)


def truncated(folder: Path) -> Callable[[], object]:
    file = folder / "arrays.npz"
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    return lambda: file.write_bytes(content)


@pytest.mark.parametrize("make_unavailable", [away, unmounted, forbidden, truncated])
@pytest.mark.parametrize("restarted", [False, True])
def test_a_model_that_is_unavailable_for_a_while_is_not_quarantined(
    forecaster: BoostedForecaster,
    tmp_path: Path,
    make_unavailable: Callable[[Path], Callable[[], object]],
    restarted: bool,
) -> None:
    settings, clock = make_settings(tmp_path / "state"), Clock()
    first = register_champion(settings, forecaster, tmp_path / "first")
    manager = ModelManager(Registry(settings), "inference-0", clock)
    if not restarted:  # a restarted actor has no model in memory
        manager.refresh(CANARY)
    second = register_champion(settings, forecaster, tmp_path / "second")
    champion = Registry(settings).champion(FORECASTER)
    assert champion
    restore = make_unavailable(champion.folder)
    for _ in range(2):
        manager.refresh(CANARY)
        clock.now += CONFIRMATION_SECONDS / 4
    assert manager.current.forecaster_version == first, "the model in service, or the previous champion"
    status = manager.statuses()["forecaster"]
    assert status.state == "degraded"
    assert second in status.reason
    restore()
    clock.now += MAX_RETRY_SECONDS
    manager.refresh(CANARY)
    assert manager.current.forecaster_version == second
    assert manager.statuses()["forecaster"].state == "ok"
    assert Registry(settings).quarantined(FORECASTER) == {}
    assert open_alerts(settings) == {}


def test_a_model_in_service_does_not_need_its_folder(forecaster: BoostedForecaster, tmp_path: Path) -> None:
    settings, clock = make_settings(tmp_path / "state"), Clock()
    version = register_champion(settings, forecaster, tmp_path / "first")
    manager = ModelManager(Registry(settings), "inference-0", clock)
    manager.refresh(CANARY)
    shutil.rmtree(settings.artifacts_dir / FORECASTER)
    for _ in range(3):
        clock.now += CONFIRMATION_SECONDS
        manager.refresh(CANARY)
    assert manager.current.forecaster_version == version
    assert manager.statuses()["forecaster"].state == "ok"
    assert Registry(settings).quarantined(FORECASTER) == {}


def test_a_quarantined_version_serves_after_its_files_are_restored_and_it_is_promoted(
    forecaster: BoostedForecaster, tmp_path: Path
) -> None:
    settings, clock = make_settings(tmp_path / "state"), Clock()
    version = register_champion(settings, forecaster, tmp_path / "first")
    champion = Registry(settings).champion(FORECASTER)
    assert champion
    restore = truncated(champion.folder)
    manager = ModelManager(Registry(settings), "inference-0", clock)
    for _ in range(2):
        manager.refresh(CANARY)
        clock.now += CONFIRMATION_SECONDS
    assert version in Registry(settings).quarantined(FORECASTER)
    assert manager.statuses()["forecaster"].state == "failing"
    restore()
    Registry(settings).promote(FORECASTER, version, "an operator", "restored from a backup", {})
    manager.refresh(CANARY)
    assert manager.current.forecaster_version == version
    assert Registry(settings).quarantined(FORECASTER) == {}
    assert open_alerts(settings) == {}


def test_a_version_that_fails_in_service_is_replaced_by_the_previous_one_and_then_by_the_baseline(
    forecaster: BoostedForecaster, tmp_path: Path
) -> None:
    settings = make_settings(tmp_path / "state")
    first = register_champion(settings, forecaster, tmp_path / "first")
    manager = ModelManager(Registry(settings), "inference-0")
    manager.refresh(CANARY)
    second = register_champion(settings, forecaster, tmp_path / "second")
    manager.refresh(CANARY)
    for _ in range(FAILURES - 1):
        manager.record_failure("forecaster", second, "first reason")
    manager.record_success("forecaster")
    manager.record_failure("forecaster", second, "first reason")
    assert manager.current.forecaster_version == second, "only consecutive failures count"
    for _ in range(FAILURES - 1):
        manager.record_failure("forecaster", second, "first reason")
    assert manager.current.forecaster_version == first, "immediately, before the next refresh"
    assert manager.wake.is_set()
    manager.refresh(CANARY)
    assert "first reason" in Registry(settings).quarantined(FORECASTER)[second]
    assert manager.statuses()["forecaster"].state == "degraded"
    assert set(open_alerts(settings)) == {f"forecaster version {second}"}
    for _ in range(FAILURES):
        manager.record_failure("forecaster", first, "second reason")
    assert manager.current.forecaster_version == NO_MODEL
    manager.refresh(CANARY)
    assert manager.current.forecaster_version == NO_MODEL
    assert manager.statuses()["forecaster"].state == "failing"


def test_a_rejected_or_withdrawn_challenger_is_not_replaced_by_an_older_one(
    forecaster: BoostedForecaster, tmp_path: Path
) -> None:
    settings = make_settings(tmp_path / "state")
    registry = Registry(settings)
    first = register_champion(settings, forecaster, tmp_path / "first")
    forecaster.save(tmp_path / "others")
    other, last = (registry.register(FORECASTER, tmp_path / "others", {}, {}, {}) for _ in range(2))
    manager = ModelManager(Registry(settings), "inference-0")
    for version in (other, last):
        registry.challenge(FORECASTER, version, "training", "test", {})
        manager.refresh(CANARY)
        assert (manager.current.forecaster_version, manager.current.challenger_version) == (first, version)
    for _ in range(FAILURES):
        manager.record_failure("challenger", last, "first reason")
    assert manager.current.challenger is None
    assert manager.current.forecaster_version == first
    manager.refresh(CANARY)
    assert manager.current.challenger is None
    assert last in registry.quarantined(FORECASTER)
    registry.challenge(FORECASTER, other, "training", "test", {})
    manager.refresh(CANARY)
    assert manager.current.challenger_version == other
    registry.withdraw(FORECASTER, "an operator", "test", {})
    manager.refresh(CANARY)
    assert manager.current.challenger is None


def test_an_unavailable_registry_changes_nothing(forecaster: BoostedForecaster, tmp_path: Path) -> None:
    settings = make_settings(tmp_path / "state")
    version = register_champion(settings, forecaster, tmp_path / "good")
    manager = ModelManager(Registry(settings))
    manager.refresh(CANARY)
    (settings.state_dir / "mlflow.db").write_bytes(b"not a database" * 100)
    manager.refresh(CANARY)
    assert manager.current.forecaster_version == version
    assert ModelManager(Registry(settings)).current.forecaster_version == NO_MODEL


@pytest.mark.integration
def test_model_changes_under_load_lose_duplicate_and_mix_no_predictions(
    serving_settings: Settings, feed: Feed, forecaster: BoostedForecaster, tmp_path: Path
) -> None:
    settings = serving_settings
    settings.history_dir.mkdir(parents=True)
    write_stations(settings.history_dir, GRID.stations)
    assert station_lookup(settings)("s1") == GRID.stations[1]
    names = [station.station_id for station in GRID.stations] + ["unknown-station"]
    first = register_champion(settings, forecaster, tmp_path / "first")
    warmer = replace(
        forecaster, climatology=replace(forecaster.climatology, coefficients=forecaster.climatology.coefficients + 0.5)
    )
    reader, registry = Reader(settings.bootstrap_servers), Registry(settings)

    def published() -> str:
        return _versions(reader, "s0")[-1]

    with serving(settings) as (service, manager):
        past = {START + timedelta(hours=h): 5.0 for h in range(-48, 1)}
        for name in names:
            feed.send(windows_of(name, past))
        until("predictions of the past", lambda: {(name, START) for name in names} <= set(reader.predicted()))
        with Rounds(feed, reader, names, START) as load:
            load.wait(3)
            second = register_champion(settings, warmer, tmp_path / "second")
            manager.refresh(service.canary)
            until("predictions of the second version", lambda: published() == second)
            load.wait(3)
            hot = register_champion(settings, with_impossible_heat(forecaster), tmp_path / "hot")
            manager.refresh(service.canary)
            load.wait(3)
            assert registry.roll_back(FORECASTER, "an operator", "test").to_version == second
            assert registry.roll_back(FORECASTER, "an operator", "test").to_version == first
            manager.refresh(service.canary)
            until("predictions of the first version", lambda: published() == first)
            registry.challenge(FORECASTER, second, "an operator", "test", {})
            manager.refresh(service.canary)
            load.wait(4)
    predicted = reader.predicted()
    assert len(set(predicted)) == len(predicted), "no duplicates"
    assert set(load.sent) <= set(predicted), "none missing"
    assert hot not in {p.predictions.model_version for p in reader.read()}
    for name in names:
        order = [version for version, _ in groupby(_versions(reader, name))]
        assert order == [first, second, first], "versions change only with the registry"
    methods = {p.station_id: p.predictions.method for p in reader.read()}
    assert methods.pop("unknown-station") is Method.PERSISTENCE
    assert set(methods.values()) == {Method.MODEL}
    assert all(inputs_hash(record.headers) for record in reader.records)
    shadow = Reader(settings.bootstrap_servers, SHADOW)
    until("a round of shadow predictions", lambda: len(shadow.predicted()) >= len(names))
    published_inputs = {(r.key, inputs_hash(r.headers)) for r in reader.records}
    assert {p.predictions.model_version for p in shadow.read()} == {second}
    assert {(r.key, inputs_hash(r.headers)) for r in shadow.records} <= published_inputs
    for one in (shadow, reader):
        one.close()


def _versions(reader: Reader, station_id: str) -> list[str]:
    return [p.predictions.model_version for p in reader.read() if p.station_id == station_id]


def test_a_station_without_coordinates_does_not_affect_the_others() -> None:
    """The stream can contain stations that are not in the catalogue."""
    unknown = station_lookup(make_settings(Path("nowhere")))("unknown-station")
    weights = neighbours.neighbour_kernels((*GRID.stations, unknown))
    np.testing.assert_array_equal(weights[:, :-1, :-1], neighbours.neighbour_kernels(GRID.stations))
    assert not weights[:, -1].any()
    assert not weights[:, :, -1].any()
