"""Settings with a broker for tests of the sink."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import TestBroker, make_settings
from weatherglass.settings import Settings


@pytest.fixture
def serving_settings(fresh_broker: TestBroker, tmp_path: Path) -> Settings:
    return make_settings(tmp_path / "state", kafka_port=fresh_broker.settings.kafka_port)
