"""The runs of weather models in the store: each is read once, soon after it was stored."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from weatherglass.formatting import first_line
from weatherglass.guidance.known_runs import MAX_AGE_HOURS, PAST_HOURS, KnownRuns
from weatherglass.store import guidance
from weatherglass.store.guidance import Identity

log = logging.getLogger(__name__)

KEPT = timedelta(hours=PAST_HOURS + MAX_AGE_HOURS)
"""How long runs are kept, by the time of their storage."""
OVERLAP = timedelta(minutes=1)
"""Runs stored so long before the newest one are looked for again: a transaction may be committed after a later one."""
READ_RUNS = 500
"""Runs per query: a document takes about 15 kB as a record, and 1 kB as an array."""


class StoredRuns:
    """Follows the store.

    Attributes:
        known: the runs that were read.
        skipped: how many could not be read.
    """

    def __init__(self) -> None:
        self.known = KnownRuns()
        self.skipped = 0
        self._stored_at = self._received_at = datetime.min.replace(tzinfo=UTC)
        """When the newest run was stored, and when one was received last."""
        self._read: dict[Identity, datetime] = {}
        """When the runs that need not be read again were stored; those of `OVERLAP` are enough."""

    def update(self, connection: Connection, now: datetime) -> bool:
        """Read what was stored since the last time; False if nothing was.

        A run that cannot be read is skipped and logged, once. After an exception of the store the next call continues.
        """
        since = max(self._stored_at, now - KEPT) - OVERLAP
        stored = guidance.identities_since(connection, since)
        new = sorted(identity for identity, stored_at in stored.items() if self._read.get(identity) != stored_at)
        if not new:
            return False
        before = self.skipped
        for begin in range(0, len(new), READ_RUNS):
            part = new[begin : begin + READ_RUNS]
            self._add(connection, part)
            self._read.update((identity, stored[identity]) for identity in part)
        self._read, self._stored_at = stored, max(stored.values())
        log.info("read %d runs of weather models, skipped %d", len(new), self.skipped - before)
        return True

    def _add(self, connection: Connection, identities: Sequence[Identity]) -> None:
        """Add runs; if that fails, each half of them by itself, so that one does not affect the others."""
        try:
            records = guidance.load(connection, identities)
            received_at = max([self._received_at, *(record.fetched_at for record in records)])
            oldest = received_at.timestamp() // 3600 - KEPT // timedelta(hours=1)
            self.known = self.known.with_records(records, int(oldest))
        except SQLAlchemyError:
            raise
        except Exception as error:
            if len(identities) > 1:
                middle = len(identities) // 2
                self._add(connection, identities[:middle])
                self._add(connection, identities[middle:])
                return
            log.warning("skipped the run of a weather model %s: %s", identities[0], first_line(error))
            self.skipped += 1
        else:
            self._received_at = received_at
            self.skipped += len(identities) - len(records)
