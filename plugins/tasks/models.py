"""Tasks of the DAGs `train_models` and `rollback_model`."""

from __future__ import annotations

import logging
from typing import Any

from plugins.run_notes import summarize
from weatherglass.settings import Settings, load_settings

log = logging.getLogger("airflow.task")

KINDS = ["forecaster", "anomaly-detector", "guidance"]
SIZES = ["auto", "first", "full", "refit"]


def needs_first_model(params: dict[str, Any] | None = None, triggering_asset_events: Any = None) -> bool:
    """Whether to train the first, smaller model.

    On request; if no champion fits the source of the history; or if the settings disable the full model and the history
    has changed since the last training.
    """
    size, settings = _requested(params, triggering_asset_events), load_settings()
    if size == "first":
        return True
    if size == "full":
        return False
    if not _champion_fits(settings):
        return True
    return size == "auto" and not settings.train_full_model and _is_new(settings, "first")


def needs_full_model(params: dict[str, Any] | None = None, triggering_asset_events: Any = None) -> bool:
    """Whether to train the full model: on request, or if the settings do not disable it and the history has changed."""
    size, settings = _requested(params, triggering_asset_events), load_settings()
    return size == "full" or (size == "auto" and settings.train_full_model and _is_new(settings, "full"))


def needs_refit(params: dict[str, Any] | None = None, triggering_asset_events: Any = None) -> bool:
    """Whether to refit: on request, or every day if a champion fits the source and no version has this history."""
    from weatherglass.history.prepared import read_manifest
    from weatherglass.registry.trainings import describe_new_data, trained_on

    settings = load_settings()
    if _requested(params, triggering_asset_events) != "refit" or not _champion_fits(settings):
        return False
    manifest = read_manifest(settings.history_dir)
    if manifest and (version := trained_on(settings, manifest)):
        log.info("No refit: nothing is new since version %s, the history is the same", version)
        return (params or {})["size"] == "refit"
    if manifest:
        log.info("Refit: %s", describe_new_data(settings, manifest))
    return True


def _requested(params: dict[str, Any] | None, events: Any) -> str:
    """The parameter `size`; for `auto`, `refit` if all new history that started this run is for the daily refit."""
    size = str((params or {})["size"])
    if size != "auto":
        return size
    trainings = [event.extra.get("training") for of_asset in (events or {}).values() for event in of_asset]
    return "refit" if trainings and set(trainings) == {"refit"} else "auto"


def _champion_fits(settings: Settings) -> bool:
    """Whether the champion was trained on history from the source of the present history; logs both."""
    from weatherglass.history.prepared import read_manifest
    from weatherglass.history.source_choice import history_source
    from weatherglass.registry.registry import FORECASTER, Registry

    champion = Registry(settings).champion(FORECASTER)
    manifest = read_manifest(settings.history_dir)
    source = manifest.source if manifest else history_source(settings, settings.source)
    champion_source = champion.tags.get("data_source") if champion else None
    version = f"version {champion.version}, trained on {champion_source}" if champion else "none"
    log.info("Champion: %s. History: %s.", version, source)
    return champion_source == source


def _is_new(settings: Settings, size: str) -> bool:
    """Whether a training of this size would have another history or another code than all before; logs the answer."""
    from ray_jobs.training.plan import code_version
    from weatherglass.history.prepared import read_manifest
    from weatherglass.registry.trainings import describe_new_data, repeated_training

    manifest = read_manifest(settings.history_dir)
    if manifest is None:
        return True  # the training fails and says what to do
    if repeated := repeated_training(settings, manifest, size, code_version()):
        log.info("No training of the size %s: nothing is new since version %s, the history is the same", size, repeated)
        return False
    log.info("Training of the size %s: %s", size, describe_new_data(settings, manifest))
    return True


def roll_back(params: dict[str, Any] | None = None, dag_run: object = None, ti: Any = None) -> str:
    """Make the previous champion the champion again and return its version."""
    from airflow.sdk.exceptions import AirflowFailException

    from weatherglass.registry.registry import NoPreviousChampion, Registry

    values = params or {}
    user = getattr(dag_run, "triggering_user_name", None) or "rollback_model"
    try:
        promotion = Registry(load_settings()).roll_back(values["kind"], str(user), values["reason"])
    except NoPreviousChampion as error:
        raise AirflowFailException(str(error)) from None
    log.info(
        "%s: version %s is champion again instead of version %s (%s)",
        *(promotion.kind, promotion.to_version, promotion.from_version, promotion.reason),
    )
    summarize(ti, f"{promotion.kind}: version {promotion.to_version} promoted, {promotion.from_version} withdrawn")
    return str(promotion.to_version)
