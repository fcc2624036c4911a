"""Task of the DAGs `train_daily` and `train_weekly`."""

from __future__ import annotations

import logging
from typing import Any

from plugins.run_notes import summarize
from weatherglass.settings import Settings, load_settings

log = logging.getLogger("airflow.task")


def new_observations(training: str, ti: Any = None) -> bool:
    """Whether a preparation and a training (`auto` or `refit`) would use anything that the last one did not."""
    starts, reason = _decide(load_settings(), training)
    log.info("%s: %s", "Training" if starts else "No training", reason)
    summarize(ti, f"{'training started' if starts else 'no training'}: {reason}")
    return starts


def _decide(settings: Settings, training: str) -> tuple[bool, str]:
    """Whether a training starts, and why."""
    from weatherglass.history.prepared import read_manifest
    from weatherglass.registry.trainings import trained_on
    from weatherglass.store.engine import open_store
    from weatherglass.store.hours import stored_span
    from weatherglass.store.migrate import migrate

    manifest = read_manifest(settings.history_dir)
    if manifest is None:
        return False, "there is no history; the start of the pipeline prepares it"
    migrate(settings.store_url)
    with open_store(settings.store_url).connect() as connection:
        span = stored_span(connection)
    stored = span.count if span else 0
    new = stored - manifest.stored_observations
    if new:
        return True, f"{new:+d} observations of complete days since the last preparation of the history"
    sizes = None if training == "refit" else ("full" if settings.train_full_model else "first",)
    version = trained_on(settings, manifest, sizes)
    if version:
        return False, f"no new observations of complete days since version {version} was trained"
    return True, "no version has been trained on the present history"
