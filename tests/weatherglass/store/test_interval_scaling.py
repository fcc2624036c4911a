from __future__ import annotations

from datetime import date

import numpy as np
from sqlalchemy import Connection

from weatherglass.store import interval_scaling

OLD, NEW = date(2026, 1, 4), date(2026, 1, 5)


def test_the_factors_of_a_version_replace_its_earlier_ones_only(connection: Connection) -> None:
    first, second = np.arange(1.0, 25.0).reshape(2, 4, 3), np.full((2, 4, 3), 1.25)
    interval_scaling.replace(connection, "1", OLD, {"jfk": first, "lga": second})
    interval_scaling.replace(connection, "2", OLD, {"jfk": second})
    interval_scaling.replace(connection, "2", NEW, {"ewr": first})
    stored = {version: interval_scaling.load(connection, version) for version in ("1", "2", "3")}
    assert {version: list(factors) for version, factors in stored.items()} == {
        "1": ["jfk", "lga"],
        "2": ["ewr"],
        "3": [],
    }
    np.testing.assert_array_equal(stored["1"]["jfk"], first)
    np.testing.assert_array_equal(stored["1"]["lga"], second)
    np.testing.assert_array_equal(stored["2"]["ewr"], first)
    assert [interval_scaling.last_updated(connection, version) for version in ("1", "2", "3")] == [OLD, NEW, None]


def test_without_factors_the_earlier_ones_are_removed(connection: Connection) -> None:
    interval_scaling.replace(connection, "1", OLD, {"jfk": np.ones((2, 4, 3))})
    interval_scaling.replace(connection, "1", NEW, {})
    assert interval_scaling.load(connection, "1") == {}
    assert interval_scaling.last_updated(connection, "1") is None


def test_factors_are_stored_with_four_decimals(connection: Connection) -> None:
    interval_scaling.replace(connection, "1", OLD, {"jfk": np.array([[[1.23456, 0.99994, 2.0]]])})
    assert interval_scaling.load(connection, "1")["jfk"].tolist() == [[[1.2346, 0.9999, 2.0]]]
