"""The rows of a real store, read with plain SQL."""

from __future__ import annotations

from datetime import UTC, datetime

from tests.chaos.parsed import same
from tests.chaos.store_reader import read_store
from tests.weatherglass.store.samples import a_prediction, a_window, an_observation
from weatherglass.store import latest_windows, observations, predictions, shadow
from weatherglass.store.engine import open_store
from weatherglass.store.migrate import migrate

NOW = datetime(2026, 1, 5, 12, 30, 0, 250_000, tzinfo=UTC)


def test_rows_equal_the_records_that_were_saved(store_url: str) -> None:
    migrate(store_url)
    engine = open_store(store_url)
    observation, window, prediction = an_observation("a", NOW), a_window(NOW, "a"), a_prediction("a", NOW)
    with engine.begin() as connection:
        observations.save(connection, [observation], NOW)
        latest_windows.save(connection, [window], NOW)
        predictions.save(connection, [prediction], NOW, None, ["hash"])
        shadow.save(connection, [prediction], NOW, ["hash"])
    engine.dispose()
    rows = read_store(store_url)
    (stored,) = rows["observations"]
    assert stored["timestamp"] == NOW
    assert same(
        {n: stored[n] for n in ("temperature", "pressure")}, observation.model_dump(include={"temperature", "pressure"})
    )
    (stored,) = rows["features"]
    assert stored["window_end"] == window.window_end
    assert same(stored["aggregated_features"], window.aggregated_features.model_dump(mode="json"))
    for table in ("predictions", "shadow_predictions"):
        (stored,) = rows[table]
        assert (stored["station_id"], stored["timestamp"], stored["inputs_hash"]) == ("a", NOW, "hash")
        assert same(stored["predictions"], prediction.predictions.model_dump(mode="json"))
