"""The newest drift of each version."""

from __future__ import annotations

from datetime import date

from sqlalchemy import Engine

from weatherglass.store.input_drift import latest_drift, save_drift
from weatherglass.verification.drift import FeatureDrift

OLD, NEW = date(2026, 1, 4), date(2026, 1, 5)


def drift_of(feature: str, psi: float) -> FeatureDrift:
    return FeatureDrift(feature=feature, psi=psi, ks=0.1, n=100, psi_limit=0.25)


def test_the_latest_drift_is_that_of_the_newest_day_of_each_version(store: Engine) -> None:
    with store.begin() as connection:
        save_drift(connection, "1", OLD, [drift_of("humidity", 0.3)])
        save_drift(connection, "2", OLD, [drift_of("humidity", 0.4)])
        save_drift(connection, "2", NEW, [drift_of("humidity", 0.1), drift_of("pressure", 0.2)])
        found = [(row.version, row.day, row.feature, row.psi) for row in latest_drift(connection)]
    assert found == [("1", OLD, "humidity", 0.3), ("2", NEW, "pressure", 0.2), ("2", NEW, "humidity", 0.1)]
