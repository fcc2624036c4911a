"""Tasks of the DAG `ingest_guidance`."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from plugins.run_notes import summarize
from weatherglass.formatting import count_noun
from weatherglass.settings import Settings, load_settings

log = logging.getLogger("airflow.task")


def fetch(ti: Any = None) -> None:
    """Fetch the present runs of the weather models and publish the new ones.

    Raises:
        AirflowSkipException: there is no guidance with these settings.
        AirflowFailException: there is no guidance, and a retry before the next interval would request nothing.
    """
    from producer.api_response import ApiRequestError
    from producer.guidance import NoGuidanceError, fetch_guidance
    from producer.guidance_budget import NoBudgetError

    settings = _settings_with_guidance()
    try:
        report = fetch_guidance(settings, datetime.now(UTC), log.info)
    except NoBudgetError as error:
        log.warning("No guidance: %s", error)
        raise AirflowSkipException(f"No guidance: {error}") from None
    except (ApiRequestError, NoGuidanceError) as error:
        raise AirflowFailException(str(error)) from None
    summarize(ti, f"{count_noun(report.new, 'new run')} of guidance")


def _settings_with_guidance() -> Settings:
    from producer.guidance import SOURCES

    settings = load_settings()
    if not settings.guidance_model_ids:
        raise AirflowSkipException("No guidance: WEATHERGLASS_GUIDANCE_MODELS is empty")
    if settings.source not in SOURCES:
        raise AirflowSkipException(f"No guidance with the source {settings.source}")
    return settings
