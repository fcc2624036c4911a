"""Task of the DAG `replay_rejected`."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from plugins.run_notes import summarize
from weatherglass.formatting import count_noun
from weatherglass.qc.observation_checks import RejectionReason
from weatherglass.settings import load_settings

log = logging.getLogger("airflow.task")

REASONS = [reason.value for reason in RejectionReason]


def replay(params: dict[str, Any] | None = None, ti: Any = None) -> dict[str, int]:
    """Publish the selected rejected records again and return their number by reason."""
    from producer.replay_rejected import Selection, parse_reasons, replay_rejected

    values = params or {}
    since, until = (datetime.fromisoformat(values[name]) if values.get(name) else None for name in ("since", "until"))
    selection = Selection(parse_reasons(values.get("reasons") or []), since, until)
    dry_run, again = values.get("dry_run", True), values.get("again", False)
    report = replay_rejected(load_settings(), selection, datetime.now(UTC), dry_run, log.info, again)
    records = count_noun(report.replayed.total(), "record")
    summarize(ti, f"dry run: {records} selected" if dry_run else f"{records} published again")
    return dict(report.replayed)
