from __future__ import annotations

from datetime import date, timedelta

import numpy as np
from sqlalchemy import Connection

from weatherglass.store import recalibrations

OLD, NEW = date(2026, 1, 4), date(2026, 1, 5)
BIAS, FACTORS = np.arange(24.0).reshape(2, 3, 4) - 10, np.arange(1.0, 25.0).reshape(2, 4, 3)
OTHER = (np.zeros((2, 3, 4)), np.full((2, 4, 3), 1.25))


def test_the_recalibration_of_a_version_replaces_its_earlier_one_only(connection: Connection) -> None:
    recalibrations.replace(connection, "1", OLD, {"jfk": (BIAS, FACTORS), "lga": OTHER})
    recalibrations.replace(connection, "2", OLD, {"jfk": OTHER})
    recalibrations.replace(connection, "2", NEW, {"ewr": (BIAS, FACTORS)})
    stored = {version: recalibrations.load(connection, version) for version in ("1", "2", "3")}
    assert {version: list(arrays) for version, arrays in stored.items()} == {"1": ["jfk", "lga"], "2": ["ewr"], "3": []}
    for version, station, expected in (
        ("1", "jfk", (BIAS, FACTORS)),
        ("1", "lga", OTHER),
        ("2", "ewr", (BIAS, FACTORS)),
    ):
        for array, of_station in zip(stored[version][station], expected, strict=True):
            np.testing.assert_array_equal(array, of_station)
    assert [recalibrations.last_updated(connection, version) for version in ("1", "2", "3")] == [OLD, NEW, None]


def test_recalibrations_of_other_versions_are_deleted_after_a_week(connection: Connection) -> None:
    recalibrations.replace(connection, "1", OLD, {"jfk": OTHER})
    recalibrations.replace(connection, "2", OLD + timedelta(days=7), {"jfk": OTHER})
    assert recalibrations.last_updated(connection, "1") == OLD
    recalibrations.replace(connection, "2", OLD + timedelta(days=8), {"jfk": OTHER})
    assert recalibrations.last_updated(connection, "1") is None


def test_a_copy_keeps_the_day_and_does_not_replace_another_recalibration(connection: Connection) -> None:
    recalibrations.replace(connection, "1", OLD, {"jfk": (BIAS, FACTORS), "lga": OTHER})
    recalibrations.replace(connection, "2", NEW, {"ewr": OTHER})
    for target in ("2", "3"):
        recalibrations.copy(connection, "1", target)
    recalibrations.copy(connection, "none", "4")
    assert [recalibrations.last_updated(connection, version) for version in ("1", "2", "3", "4")] == [
        OLD,
        NEW,
        OLD,
        None,
    ]
    assert list(recalibrations.load(connection, "2")) == ["ewr"]
    copied = recalibrations.load(connection, "3")
    assert list(copied) == ["jfk", "lga"]
    for array, expected in zip(copied["jfk"], (BIAS, FACTORS), strict=True):
        np.testing.assert_array_equal(array, expected)


def test_an_empty_recalibration_removes_the_earlier_one(connection: Connection) -> None:
    recalibrations.replace(connection, "1", OLD, {"jfk": OTHER})
    recalibrations.replace(connection, "1", NEW, {})
    assert recalibrations.load(connection, "1") == {}
    assert recalibrations.last_updated(connection, "1") is None


def test_numbers_are_stored_with_four_decimals(connection: Connection) -> None:
    bias, factors = np.array([[[-0.123456, 0.00004]]]), np.array([[[1.23456, 0.99994, 2.0]]])
    recalibrations.replace(connection, "1", OLD, {"jfk": (bias, factors)})
    stored = recalibrations.load(connection, "1")["jfk"]
    assert [array.tolist() for array in stored] == [[[[-0.1235, 0.0]]], [[[1.2346, 0.9999, 2.0]]]]
