"""Task of the DAG `bootstrap_topics`."""

from __future__ import annotations

import logging

from weatherglass.settings import load_settings

log = logging.getLogger("airflow.task")


def create_topics() -> None:
    """Create and configure the Kafka topics and consumer groups."""
    from producer.topic_bootstrap import bootstrap_topics

    bootstrap_topics(load_settings(), log.info)
