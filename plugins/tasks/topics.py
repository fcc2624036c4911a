"""Task of the DAG `bootstrap_topics`."""

from __future__ import annotations

import logging
from typing import Any

from plugins.run_notes import summarize
from weatherglass.formatting import count_noun
from weatherglass.settings import load_settings

log = logging.getLogger("airflow.task")


def create_topics(ti: Any = None) -> None:
    """Create and configure the Kafka topics and consumer groups."""
    from producer.topic_bootstrap import bootstrap_topics

    report = bootstrap_topics(load_settings(), log.info)
    created, changed = count_noun(len(report.created), "topic"), count_noun(len(report.changed), "setting")
    summarize(ti, f"{created} created, {changed} changed")
