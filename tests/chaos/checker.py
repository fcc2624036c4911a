"""The checker: everything that must hold after a run, from topics, store and journal alone.

It shares no code with the pipeline, so that an error in the pipeline cannot hide itself. Reading (`read_topics`,
`read_store`, `read_journal`) is separate from checking, which is a pure function of lists.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tests.chaos.check_observations import arrivals, check_journal, check_rejected, check_windows
from tests.chaos.check_predictions import check_predictions
from tests.chaos.check_store import check_store
from tests.chaos.journal import Entry
from tests.chaos.log_reader import StoredRecord
from tests.chaos.store_reader import Rows
from tests.chaos.violations import Violation


def check(
    topics: Mapping[str, list[StoredRecord]],
    store: Rows,
    journal: Iterable[Entry],
    elevations: Mapping[str, float] | None = None,
    latitudes: Mapping[str, float] | None = None,
) -> list[Violation]:
    """All violations.

    Args:
        topics: as from `topic_reader.read_topics`, when every group has read everything.
        store: as from `store_reader.read_store`.
        journal: what the load has sent.
        elevations: station -> elevation, m, of the stations that have one in the station table of the run.
        latitudes: station -> latitude, degrees north, of the same stations.
    """
    found = arrivals(topics)
    return [
        *check_journal(journal, topics),
        *check_rejected(topics, found),
        *check_windows(topics, found, elevations, latitudes),
        *check_predictions(topics),
        *check_store(store, topics, found),
    ]
