"""The trainings in the registry, and which of them `train_models` does not repeat."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from plugins.tasks.models import needs_first_model, needs_full_model, needs_refit
from plugins.tasks.retraining import new_observations
from ray_jobs.training.plan import code_version
from weatherglass.history.new_data import NewData
from weatherglass.history.prepared import MANIFEST, Manifest, write_manifest
from weatherglass.record_headers import Origin
from weatherglass.records import Observation
from weatherglass.registry.registry import FORECASTER, IMPORTED, Registry
from weatherglass.registry.trainings import (
    describe_new_data,
    last_fitted_hour,
    last_training_hour,
    new_since_last_training,
    repeated_training,
    trained_on,
)
from weatherglass.settings import Settings
from weatherglass.settings_errors import variable
from weatherglass.store import observations

HOURS = ("2012-10-03T00:00:00Z", "2017-11-30T00:00:00Z")
HISTORY = Manifest("kaggle", "aa", *HOURS, 30, 2, {"new-york": 10, "boston": 20})
LATER = replace(HISTORY, fingerprint="bb", rows=34, station_hours={"new-york": 10, "boston": 22, "kjfk": 2})


def register(
    settings: Settings, tmp_path: Path, manifest: Manifest, size: str, code: str, kept: bool = True, **more: str
) -> str:
    """Register a forecaster without content, as a training would; `kept`: with the manifest of its history."""
    folder, record = tmp_path / "model", tmp_path / "record"
    for each in (folder, record):
        each.mkdir(exist_ok=True)
    (folder / "card.md").write_text("a test")
    (record / MANIFEST).unlink(missing_ok=True)
    if kept:
        write_manifest(record, manifest)
    tags = {"data_source": manifest.source, "data_fingerprint": manifest.fingerprint}
    tags |= {"size": size, "code_version": code, **more}
    registry = Registry(settings)
    version = registry.register(FORECASTER, folder, {}, {}, tags, record)
    registry.promote(FORECASTER, version, "a test", "a test", {})
    return version


def test_new_data_are_those_since_the_newest_training_with_a_known_history(settings: Settings, tmp_path: Path) -> None:
    assert new_since_last_training(settings, LATER) is None
    assert describe_new_data(settings, LATER)
    version = register(settings, tmp_path, HISTORY, "full", "c0de")
    register(settings, tmp_path, LATER, "full", "c0de", kept=False)
    assert new_since_last_training(settings, LATER) == (version, NewData(("kjfk",), {"boston": 2, "kjfk": 2}))
    newest = register(settings, tmp_path, LATER, "full", "c0de")
    assert new_since_last_training(settings, LATER) == (newest, NewData((), {}))


def test_a_training_is_repeated_if_history_size_and_code_are_the_same(settings: Settings, tmp_path: Path) -> None:
    register(settings, tmp_path, HISTORY, "full", "c0de", **{IMPORTED: "3"})
    assert repeated_training(settings, HISTORY, "full", "c0de") is None, "an imported model may lack a part of it"
    assert trained_on(settings, HISTORY) is None
    version = register(settings, tmp_path, HISTORY, "full", "c0de")
    assert repeated_training(settings, HISTORY, "full", "c0de") == version
    assert repeated_training(settings, LATER, "full", "c0de") is None
    assert repeated_training(settings, HISTORY, "first", "c0de") is None
    assert repeated_training(settings, HISTORY, "full", "other") is None


@pytest.mark.parametrize(("full", "size"), [("true", "full"), ("false", "first")])
def test_the_configured_size_is_trained_when_something_is_new(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: str, size: str
) -> None:
    monkeypatch.setenv(variable("state_dir"), str(settings.state_dir))
    monkeypatch.setenv(variable("train_full_model"), full)
    settings.history_dir.mkdir(parents=True)

    def trained() -> tuple[bool, bool]:
        params = {"size": "auto"}
        return needs_first_model(params), needs_full_model(params)

    write_manifest(settings.history_dir, HISTORY)
    # There is no model yet.
    assert trained() == (True, full == "true")
    register(settings, tmp_path, HISTORY, size, code_version())
    # Nothing is new.
    assert trained() == (False, False)
    write_manifest(settings.history_dir, LATER)
    assert trained() == (size == "first", size == "full")
    register(settings, tmp_path, LATER, size, "older code")
    assert trained() == (size == "first", size == "full")
    register(settings, tmp_path, LATER, size, code_version())
    assert trained() == (False, False)
    assert not needs_refit({"size": "auto"})
    # A user can always train again.
    assert needs_full_model({"size": "full"})
    assert needs_first_model({"size": "first"})


def event(training: str) -> SimpleNamespace:
    return SimpleNamespace(extra={"training": training})


def test_new_history_for_the_daily_refit_starts_a_refit_alone(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable("state_dir"), str(settings.state_dir))
    settings.history_dir.mkdir(parents=True)
    write_manifest(settings.history_dir, LATER)

    def needed(*trainings: str) -> list[str]:
        events = {"history": [event(training) for training in trainings]}
        functions = {"first": needs_first_model, "full": needs_full_model, "refit": needs_refit}
        return [size for size, function in functions.items() if function({"size": "auto"}, events)]

    # There are no trees to keep.
    assert needed("refit") == ["first"]
    register(settings, tmp_path, HISTORY, "full", "c0de")
    assert needed("refit") == ["refit"]
    # The history of the weekly training arrived in the meantime.
    assert needed("refit", "auto") == ["full"]
    assert needed("auto") == needed() == ["full"]
    register(settings, tmp_path, LATER, "full", "c0de")
    # Nothing is new.
    assert needed("refit") == []


def test_a_scheduled_training_starts_only_with_new_observations_of_complete_days(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable("state_dir"), str(settings.state_dir))

    def due() -> tuple[bool, bool]:
        return new_observations("refit"), new_observations("auto")

    # There is no history yet.
    assert due() == (False, False)
    settings.history_dir.mkdir(parents=True)
    write_manifest(settings.history_dir, HISTORY)
    register(settings, tmp_path, HISTORY, "refit", "c0de")
    # A full model of this history is missing.
    assert due() == (False, True)
    register(settings, tmp_path, HISTORY, "full", "c0de")
    assert due() == (False, False)
    store = Registry(settings).store()
    midnight = datetime(2026, 3, 2, tzinfo=UTC)

    def observe(at: datetime) -> None:
        with store.begin() as connection:
            reading = Observation(station_id="denver", timestamp=at, temperature=1.0)
            observations.save(connection, [reading], at, Origin.METAR)

    observe(midnight - timedelta(hours=1))
    # The day is not complete.
    assert due() == (False, False)
    observe(midnight)
    assert due() == (True, True)
    write_manifest(settings.history_dir, replace(HISTORY, stored_observations=1))
    assert due() == (False, False)


def test_a_refit_keeps_the_last_hour_of_its_trees() -> None:
    hour, later = np.datetime64("2026-01-05T12", "h"), np.datetime64("2026-02-05T12", "h")
    assert (last_training_hour({}), last_fitted_hour({})) == (None, None)
    training = {"data_last_hour": "2026-01-05T12:00:00Z"}
    assert (last_training_hour(training), last_fitted_hour(training)) == (hour, hour)
    refit = {"data_last_hour": "2026-02-05T12:00:00Z", "trees_last_hour": "2026-01-05T12:00:00Z"}
    assert (last_training_hour(refit), last_fitted_hour(refit)) == (hour, later)
