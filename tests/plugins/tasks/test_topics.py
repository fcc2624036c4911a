"""The task of `bootstrap_topics` with a real broker."""

from __future__ import annotations

import pytest

from plugins.run_notes import SUMMARY_KEY
from plugins.tasks import topics
from tests.conftest import TestBroker
from tests.plugins.conftest import TaskInstance
from weatherglass.settings_errors import variable
from weatherglass.topics import TOPICS

pytestmark = pytest.mark.integration


def test_the_summary_counts_created_topics(
    fresh_broker: TestBroker, ti: TaskInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable("kafka_bootstrap"), fresh_broker.bootstrap_servers)
    monkeypatch.setenv(variable("topic_prefix"), "other-")  # the broker has the topics without a prefix
    for created in (len(TOPICS), 0):
        topics.create_topics(ti)
        assert ti.xcoms == {SUMMARY_KEY: f"{created} topics created, 0 settings changed"}
