"""Tasks of the DAGs `train_models` and `rollback_model`."""

from __future__ import annotations

import logging
from typing import Any

from weatherglass.settings import load_settings

log = logging.getLogger("airflow.task")

KINDS = ["forecaster", "anomaly-detector"]
SIZES = ["auto", "first", "full"]


def needs_first_model(params: dict[str, Any] | None = None) -> bool:
    """Whether to train the first, smaller model: on request, or if no champion fits the source of the history."""
    from weatherglass.history.prepared import history_source, read_manifest
    from weatherglass.registry.registry import FORECASTER, Registry

    size = (params or {})["size"]
    if size != "auto":
        log.info("Requested size: %s", size)
        return size == "first"
    settings = load_settings()
    champion = Registry(settings).champion(FORECASTER)
    manifest = read_manifest(settings.history_dir)
    source = manifest.source if manifest else history_source(settings, settings.source)
    champion_source = champion.tags.get("data_source") if champion else None
    version = f"version {champion.version}, trained on {champion_source}" if champion else "none"
    log.info("Champion: %s. History: %s.", version, source)
    return champion_source != source


def needs_full_model(params: dict[str, Any] | None = None) -> bool:
    """Whether to train the full model: on request, or unless it is disabled in the settings."""
    size = (params or {})["size"]
    return size == "full" or (size == "auto" and load_settings().train_full_model)


def roll_back(params: dict[str, Any] | None = None, dag_run: object = None) -> str:
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
    return str(promotion.to_version)
