"""Log records of the product: threads of libraries log at any time, also those that another test left."""

from __future__ import annotations

import logging

import pytest


def product_records(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """The captured records without those of libraries."""
    return [record for record in caplog.records if record.name.partition(".")[0] == "weatherglass"]
