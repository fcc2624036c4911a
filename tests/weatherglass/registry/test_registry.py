from __future__ import annotations

import json
import multiprocessing
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from weatherglass.registry.registry import ANOMALY_DETECTOR, CHAMPION, FORECASTER, NothingToRollBackTo, Registry
from weatherglass.settings import Settings
from weatherglass.store import quarantine
from weatherglass.store.promotions import Action
from weatherglass.store.quarantine import Quarantined

pytestmark = pytest.mark.integration


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "made"
    made.mkdir()
    (made / "model.json").write_text('{"here": 1}')
    return made


def register(registry: Registry, folder: Path) -> str:
    return registry.register(FORECASTER, folder, {"mae": 1.5}, {"trees": 3}, {"size": "first"})


def test_a_registry_that_nobody_has_written_has_no_champion_and_makes_no_file(settings: Settings) -> None:
    assert Registry(settings).champion(FORECASTER) is None
    assert Registry(settings).promotions() == []
    assert not settings.state_dir.exists()


def test_versions_champion_and_log(settings: Settings, folder: Path) -> None:
    registry, reader = Registry(settings), Registry(settings)
    first = register(registry, folder)
    assert reader.champion(FORECASTER) is None
    registry.promote(FORECASTER, first, "me", "there was none", {"mae": 1.5})
    second = register(registry, folder)
    registry.promote(FORECASTER, second, "me", "better", {"mae": 1.25})
    champion = reader.champion(FORECASTER)
    assert champion is not None
    assert (champion.version, champion.tags["size"]) == (second, "first")
    assert json.loads((champion.folder / "model.json").read_text()) == {"here": 1}
    assert reader.champion(ANOMALY_DETECTOR) is None
    assert [(p.from_version, p.to_version, p.why) for p in reader.promotions()] == [
        (None, first, "there was none"),
        (first, second, "better"),
    ]
    # MLflow's own client, and so its UI, sees the same champion.
    theirs = registry._mlflow().get_model_version_by_alias(FORECASTER, CHAMPION)
    assert (str(theirs.version), theirs.tags["folder"]) == (second, champion.tags["folder"])
    run = registry._mlflow().get_run(theirs.run_id)
    assert (run.data.metrics, run.data.params) == ({"mae": 1.5}, {"trees": "3"})


def test_a_rollback_goes_back_along_the_line_and_passes_over_what_is_in_quarantine(
    settings: Settings, folder: Path
) -> None:
    registry = Registry(settings)
    one, two, three, four = (register(registry, folder) for _ in range(4))
    for version in (one, two, three, four):
        registry.challenge(FORECASTER, version, "training", "to be compared", {})
        registry.promote(FORECASTER, version, "me", "newer", {})
        assert registry.challenger(FORECASTER) is None, "a champion is no challenger"
    with registry.store().begin() as connection:
        quarantine.put(connection, Quarantined(FORECASTER, three, datetime.now(UTC), "an actor", "NaN"))
    assert registry.roll_back(FORECASTER, "an operator", "cold bias").to_version == two
    assert Registry(settings).champion(FORECASTER).version == two  # type: ignore[union-attr]
    assert [v.version for v in registry.earlier_champions(FORECASTER)] == [one]
    registry.roll_back(FORECASTER, "an operator", "still")
    with pytest.raises(NothingToRollBackTo, match=f"before version {one}"):
        registry.roll_back(FORECASTER, "an operator", "still")
    registry.promote(FORECASTER, three, "an operator", "its cause is gone", {})
    assert registry.refused(FORECASTER) == {}
    steps = [
        (p.action, p.from_version, p.to_version) for p in registry.promotions() if p.action is not Action.CHALLENGE
    ]
    assert steps[-3:] == [
        (Action.ROLLBACK, four, two),
        (Action.ROLLBACK, two, one),
        (Action.PROMOTE, one, three),
    ]


def test_the_log_of_promotions_cannot_be_changed(settings: Settings, folder: Path) -> None:
    registry = Registry(settings)
    registry.promote(FORECASTER, register(registry, folder), "me", "first", {})
    for change in ("UPDATE promotions SET who = 'nobody'", "DELETE FROM promotions"):
        with pytest.raises(sa.exc.DBAPIError, match="append-only"), registry.store().begin() as connection:
            connection.execute(sa.text(change))
    assert [p.who for p in registry.promotions()] == ["me"]


def _first_write(state_dir: Path, folder: Path) -> None:
    register(Registry(Settings(state_dir=state_dir)), folder)


def test_two_processes_at_a_first_start_do_not_break_the_tables(tmp_path: Path, folder: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    both = [spawn.Process(target=_first_write, args=(tmp_path / "state", folder)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(120)
    assert [process.exitcode for process in both] == [0, 0]
    assert register(Registry(Settings(state_dir=tmp_path / "state")), folder) == "3"
