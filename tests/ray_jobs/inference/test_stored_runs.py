"""Reading the runs of weather models from a store: each once, whatever the order of commits, and none costs another."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError

from ray_jobs.inference import stored_runs
from ray_jobs.inference.stored_runs import KEPT, OVERLAP, StoredRuns
from tests.weatherglass.store.samples import NOON, a_guidance
from weatherglass.guidance.known_runs import KnownRun
from weatherglass.guidance_record import Guidance
from weatherglass.store import guidance
from weatherglass.store.guidance import Identity

HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)
STATIONS = [f"station-{number}" for number in range(7)]


def save(store: Engine, stored_at: datetime, *runs: Guidance) -> None:
    with store.begin() as connection:
        guidance.save(connection, runs, stored_at)


def update(runs: StoredRuns, store: Engine, now: datetime = NOON) -> bool:
    with store.connect() as connection:
        return runs.update(connection, now)


def known(runs: StoredRuns) -> dict[str, list[datetime]]:
    return {station: [run.run for run in timeline.runs] for (station, _), timeline in runs.known.timelines.items()}


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[Identity]:
    """The runs whose documents were read, in parts of two."""
    identities: list[Identity] = []
    load = guidance.load

    def recorded(connection: Connection, wanted: Sequence[Identity]) -> list[Guidance]:
        assert len(wanted) <= 2
        identities.extend(wanted)
        return load(connection, wanted)

    monkeypatch.setattr(stored_runs, "READ_RUNS", 2)
    monkeypatch.setattr(stored_runs.guidance, "load", recorded)
    return identities


def test_each_run_is_read_once_and_again_when_it_has_changed(store: Engine, loaded: list[Identity]) -> None:
    runs = StoredRuns()
    assert not update(runs, store)
    save(store, NOON, *(a_guidance(station) for station in STATIONS))
    assert update(runs, store)
    assert known(runs) == {station: [NOON] for station in STATIONS}
    assert sorted(loaded) == [(station, "best_match", NOON) for station in STATIONS]
    loaded.clear()
    assert not update(runs, store)
    save(store, NOON + SECOND, a_guidance(STATIONS[0]), a_guidance(STATIONS[1], temperature=9.0))
    assert update(runs, store)
    assert not update(runs, store)
    assert loaded == [(STATIONS[1], "best_match", NOON)]
    assert runs.known.timelines[STATIONS[1], "best_match"].runs[0].values[0, 0] == 9.0


def test_a_run_that_is_committed_after_a_later_one_is_read(store: Engine, loaded: list[Identity]) -> None:
    runs = StoredRuns()
    save(store, NOON, a_guidance("boston"))
    update(runs, store)
    save(store, NOON - OVERLAP + SECOND, a_guidance("miami"))
    assert update(runs, store)
    assert known(runs) == {"boston": [NOON], "miami": [NOON]}


def test_old_runs_are_not_read_and_not_kept(store: Engine) -> None:
    runs = StoredRuns()
    save(store, NOON - KEPT - HOUR, a_guidance("boston", NOON - KEPT - HOUR))
    save(store, NOON - KEPT + HOUR, a_guidance("miami", NOON - KEPT + HOUR))
    assert update(runs, store)
    assert known(runs) == {"miami": [NOON - KEPT + HOUR]}
    save(store, NOON + 3 * HOUR, a_guidance("denver", NOON + 3 * HOUR))
    assert update(runs, store, NOON + 3 * HOUR)
    assert known(runs) == {"denver": [NOON + 3 * HOUR]}


@pytest.mark.parametrize("document", ["[]", '{"valid_times": 5}', "null"])
def test_a_document_that_cannot_be_read_does_not_affect_other_runs(
    store: Engine, loaded: list[Identity], document: str
) -> None:
    save(store, NOON, *(a_guidance(station) for station in STATIONS))
    with store.begin() as connection:
        connection.execute(text(f"UPDATE guidance SET \"values\" = '{document}' WHERE station_id = 'station-3'"))
    runs = StoredRuns()
    assert update(runs, store)
    assert sorted(known(runs)) == [station for station in STATIONS if station != "station-3"]
    assert runs.skipped == 1
    loaded.clear()
    assert not update(runs, store)
    assert (loaded, runs.skipped) == ([], 1)


def test_a_run_that_fails_does_not_affect_other_runs(store: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    build: Any = KnownRun.from_record

    def fail_for_one(record: Guidance) -> KnownRun:
        if record.station_id == "station-3":
            raise IndexError("a fault")
        return build(record)

    monkeypatch.setattr(KnownRun, "from_record", fail_for_one)
    save(store, NOON, *(a_guidance(station) for station in STATIONS))
    runs = StoredRuns()
    assert update(runs, store)
    assert sorted(known(runs)) == [station for station in STATIONS if station != "station-3"]


def test_reading_continues_where_the_store_failed(
    store: Engine, loaded: list[Identity], monkeypatch: pytest.MonkeyPatch
) -> None:
    save(store, NOON, *(a_guidance(station) for station in STATIONS))
    load, runs = guidance.load, StoredRuns()

    def fail_later(connection: Connection, wanted: Sequence[Identity]) -> list[Guidance]:
        if len(loaded) >= 4:
            raise OperationalError("", {}, ConnectionError())
        return load(connection, wanted)

    with monkeypatch.context() as patch:
        patch.setattr(stored_runs.guidance, "load", fail_later)
        with pytest.raises(OperationalError):
            update(runs, store)
    assert runs.skipped == 0
    assert update(runs, store)
    assert sorted(loaded) == [(station, "best_match", NOON) for station in STATIONS]
    assert sorted(known(runs)) == STATIONS
