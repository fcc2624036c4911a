"""Tasks of the DAG `ingest_guidance`."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from airflow.sdk.exceptions import AirflowSkipException

from weatherglass.settings import Settings, load_settings

log = logging.getLogger("airflow.task")


def fetch() -> None:
    """Fetch the present runs of the weather models and publish the new ones.

    Raises:
        AirflowSkipException: there is no guidance with these settings.
    """
    from producer.guidance import fetch_guidance

    fetch_guidance(_settings_with_guidance(), datetime.now(UTC), log.info)


def _settings_with_guidance() -> Settings:
    from producer.guidance import SOURCES

    settings = load_settings()
    if not settings.guidance_model_ids:
        raise AirflowSkipException("No guidance: WEATHERGLASS_GUIDANCE_MODELS is empty")
    if settings.source not in SOURCES:
        raise AirflowSkipException(f"No guidance with the source {settings.source}")
    return settings
