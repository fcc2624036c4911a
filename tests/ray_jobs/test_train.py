"""Training on a local Ray, from prepared history to champions that load and forecast."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NoReturn

import pytest
from sqlalchemy import Engine, make_url

from ray_jobs import train
from ray_jobs.training import plan
from ray_jobs.training.plan import code_version
from tests.ray_heads import init_ray
from tests.ray_jobs.tiny_training import TINY, prepare
from tests.synthetic_history import history
from weatherglass.anomaly.detector import AnomalyDetector
from weatherglass.forecast.boosted_trees import BoostedForecaster
from weatherglass.history.prepared import read_manifest
from weatherglass.records import LEADS, VARIABLES, Method
from weatherglass.registry.catalog import registered_models
from weatherglass.registry.registry import ANOMALY_DETECTOR, FORECASTER, ModelVersion, Registry
from weatherglass.settings import Settings, Source
from weatherglass.store.promotions import Action

NOW = datetime(2026, 1, 5, tzinfo=UTC)


@pytest.fixture(scope="module")
def local_ray() -> Iterator[None]:
    import ray

    with tempfile.TemporaryDirectory(prefix="wg", ignore_cleanup_errors=True) as folder:
        init_ray(Path(folder))
        yield
        ray.shutdown()


@pytest.fixture
def no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a cluster, this process runs on the head, which cannot reach the database; the tasks run on the workers."""

    def refuse(self: Engine) -> NoReturn:
        raise ConnectionRefusedError(f"no network to {self.url.render_as_string()}")

    monkeypatch.setattr(Engine, "raw_connection", refuse)


@pytest.fixture
def replayed(settings: Settings) -> Settings:
    return settings.model_copy(update={"source": Source.OPEN_METEO})


@pytest.fixture
def tiny(replayed: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings with a prepared history, for which a first model is tiny."""
    monkeypatch.setitem(train.SIZES, "first", TINY)
    monkeypatch.setitem(train.TEST_CASES, "first", 300)
    monkeypatch.setitem(train.STEP_TIMEOUT_SECONDS, "first", 150.0)
    prepare(history(days=120), replayed.history_dir)
    return replayed


class Killed(BaseException):
    """Stands for the end of the training process: no code catches it."""


@pytest.mark.integration
@pytest.mark.timeout(1800)  # three trainings, any step of which may hang until its timeout and be repeated
def test_a_killed_training_resumes_and_results_in_the_same_models_as_an_uninterrupted_one(
    local_ray: None, tiny: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    count_of_steps = len(plan.TREE_MODELS) + 2  # those of the detector and of guidance

    def kill_after_13_steps(line: str) -> None:
        print(line)
        lines.append(line)
        if line.startswith(f"13 of {count_of_steps}"):
            raise Killed

    with pytest.raises(Killed):
        train.run(tiny, "first", "a test", NOW, kill_after_13_steps)
    (folder,) = (path for path in (tiny.state_dir / "training").iterdir() if path.is_dir())
    finished = {path.name: path.stat().st_mtime_ns for path in (folder / "results").iterdir()}
    assert len(finished) >= 13
    assert registered_models(tiny) == [], "an interrupted training registers nothing"
    assert Registry(tiny).promotions() == []

    def check_unchanged(line: str) -> None:
        """Finished results are not written again while the training runs."""
        print(line)
        lines.append(line)
        for name, mtime in finished.items():
            assert (folder / "results" / name).stat().st_mtime_ns == mtime, name

    lines.clear()
    with monkeypatch.context() as patch:
        patch.setattr(plan, "COMPARED_SIZES", ("first",))
        versions = train.run(tiny, "first", "a test", NOW + timedelta(hours=1), check_unchanged)
    assert any(line.startswith("| harmonic arma |") for line in lines)
    resumed = next(line for line in lines if plan.DETECTOR in line or "temperature-01-03" in line)
    count = int(resumed.split(f" of {count_of_steps} ")[0])
    assert count >= 13, "tasks that were running may have finished after the kill"
    assert sum(f" of {count_of_steps} steps: " in line for line in lines) == count_of_steps - count, (
        "only unfinished steps run"
    )
    assert not folder.exists(), "the folder of a finished training is removed"

    registry = Registry(tiny)
    forecaster, detector = registry.champion(FORECASTER), registry.champion(ANOMALY_DETECTOR)
    assert forecaster is not None
    assert detector is not None
    assert {FORECASTER: forecaster.version, ANOMALY_DETECTOR: detector.version} == versions
    forecast = BoostedForecaster.load(forecaster.folder).forecast(history(days=120), [0, 1, 2], [2000] * 3)
    assert set(forecast.methods) == {Method.MODEL}
    assert AnomalyDetector.load(detector.folder).learned is not None
    (first,) = (one for one in registry.promotions() if one.kind == FORECASTER)
    assert first.action == Action.PROMOTE
    assert "relative_mae_of_champion" not in first.details, "there was no champion to compare with"
    check_record(tiny, forecaster)

    # The same data and seed give the same models; the forecaster is not better than the champion.
    uninterrupted = train.run(tiny, "first", "a test", NOW, lines.append)
    for kind, resumed_model in ((FORECASTER, forecaster), (ANOMALY_DETECTOR, detector)):
        other = registry.version(kind, uninterrupted[kind])
        assert other is not None
        assert other.version != resumed_model.version
        files = {file.name for file in resumed_model.folder.iterdir()} - {"card.md", "model.json", "MLmodel"}
        assert {"arrays.npz"} < files
        for name in files:
            assert (other.folder / name).read_bytes() == (resumed_model.folder / name).read_bytes(), name
    champion, challenger = registry.champion(FORECASTER), registry.challenger(FORECASTER)
    assert champion is not None
    assert champion.version == forecaster.version
    assert challenger is not None
    assert challenger.version == uninterrupted[FORECASTER]
    last = max((one for one in registry.promotions() if one.kind == FORECASTER), key=lambda one: one.at)
    assert last.action == Action.CHALLENGE
    assert last.details["gain"] == 0
    assert [p.changed_by for p in registry.promotions() if p.kind == FORECASTER and p.action == Action.PROMOTE] == [
        "a test"
    ]


def check_record(settings: Settings, forecaster: ModelVersion) -> None:
    """The registry has the parameters, data, code, metrics by lead and variable, plots and model card of a run."""
    (known,) = (
        one for one in registered_models(settings) if (one.kind, one.version) == (FORECASTER, forecaster.version)
    )
    assert known.tags["data_fingerprint"] == "fingerprint"
    assert "| seasonal naive |" in known.tags["candidates"]
    assert known.tags["code_version"] == code_version()
    assert known.params["trees"] == str(TINY.trees)
    assert {
        f"mae.{model}.{variable}.lead{lead:02d}"
        for model in ("model", "persistence")
        for variable in VARIABLES
        for lead in LEADS
    } <= set(known.metrics)
    files = {path.name for path in (settings.artifacts_dir / "runs").rglob("*") if path.is_file()}
    assert {"model.json", "card.md", "error-by-lead.png", "coverage-by-lead.png", "environment.txt"} <= files
    card = (forecaster.folder / "card.md").read_text()
    assert "fingerprint" in card
    assert f"trees: {TINY.trees}" in card


def test_a_missing_history_is_an_error_that_names_the_dag(replayed: Settings) -> None:
    with pytest.raises(train.TrainingError, match="prepare_history"):
        train.run(replayed, "first", "a test", NOW, print)


@pytest.mark.integration
@pytest.mark.parametrize("size", ["first", "refit"])
def test_only_the_tasks_connect_to_the_registry(
    local_ray: None, replayed: Settings, no_database: None, size: str
) -> None:
    prepare(history(days=20), replayed.history_dir)
    Path(str(make_url(replayed.mlflow_url).database)).touch()  # an absent file is not opened
    with pytest.raises(train.TrainingError, match=r"\b20 days" if size == "first" else "made-up"):
        train.run(replayed, size, "a test", NOW, print)


@pytest.mark.integration
def test_a_short_history_is_an_error_with_its_length(local_ray: None, replayed: Settings) -> None:
    prepare(history(days=20), replayed.history_dir)
    with pytest.raises(train.TrainingError, match=r"\b20 days"):
        train.run(replayed, "first", "a test", NOW, print)


@pytest.mark.integration
def test_a_hung_step_is_ended_and_repeated(
    local_ray: None, replayed: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading the stations blocks on a pipe until the file is restored; the progress has the stack of the step."""
    monkeypatch.setitem(train.STEP_TIMEOUT_SECONDS, "first", 40.0)
    monkeypatch.setattr(train, "STATUS_INTERVAL_SECONDS", 1.0)
    monkeypatch.setattr(train, "read_complete_manifest", read_manifest)  # the complete one would block this process
    prepare(history(days=20), replayed.history_dir)
    stations = replayed.history_dir / "stations.json"
    saved = stations.rename(stations.with_suffix(".saved"))
    os.mkfifo(stations)
    lines: list[str] = []
    priorities: set[int] = set()

    def restore_when_hung(line: str) -> None:
        lines.append(line)
        for watched in replayed.state_dir.glob(f"training/*/.{plan.BASE_MODELS}.*"):
            with suppress(ProcessLookupError):
                priorities.add(os.getpriority(os.PRIO_PROCESS, int(watched.name.split(".")[2])))
        if "read_stations" in line and saved.exists():
            saved.replace(stations)

    with pytest.raises(train.TrainingError, match=r"\b20 days"):
        train.run(replayed, "first", "a test", NOW, restore_when_hung)
    (stack,) = (line for line in lines if "read_stations" in line)
    assert plan.BASE_MODELS in stack
    assert any(plan.BASE_MODELS in line for line in lines if line != stack), "reports which step it waits for"
    assert priorities == {max(train.NICENESS, os.getpriority(os.PRIO_PROCESS, 0))}


def test_an_unreachable_ray_head_is_an_error_with_its_address(
    replayed: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(train.TrainingError, match=str(replayed.ray_port)):
        train.connect(replayed)
