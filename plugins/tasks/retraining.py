"""Task of the DAGs `train_daily` and `train_weekly`."""

from __future__ import annotations

import logging

from weatherglass.settings import load_settings

log = logging.getLogger("airflow.task")


def new_observations(training: str) -> bool:
    """Whether a preparation and a training (`auto` or `refit`) would use anything that the last one did not."""
    from weatherglass.history.prepared import read_manifest
    from weatherglass.registry.trainings import trained_on
    from weatherglass.store.engine import open_store
    from weatherglass.store.hours import stored_span
    from weatherglass.store.migrate import migrate

    settings = load_settings()
    manifest = read_manifest(settings.history_dir)
    if manifest is None:
        log.info("No training: there is no history; the start of the pipeline prepares it")
        return False
    migrate(settings.store_url)
    with open_store(settings.store_url).connect() as connection:
        span = stored_span(connection)
    stored = span.count if span else 0
    new = stored - manifest.stored_observations
    if new:
        log.info("Training: %+d observations of complete days since the last preparation of the history", new)
        return True
    sizes = None if training == "refit" else ("full" if settings.train_full_model else "first",)
    version = trained_on(settings, manifest, sizes)
    if version:
        log.info("No training: no new observations of complete days since version %s was trained", version)
    else:
        log.info("Training: no version has been trained on the present history")
    return version is None
