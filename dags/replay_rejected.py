"""
### What it does
Sends messages of `weather-rejected` to `weather-raw` once more, as they came: after the fault was mended that made the
features job refuse them, such as a clock that ran ahead or limits that were too narrow. Trigger it with parameters:

- `reasons`: which (`future`, `past`, `malformed_json`, …); empty is all. The header `reason` of a message says its own.
- `since`, `until`: when they were rejected, ISO 8601 with `Z`; empty is no bound.
- `again`: what an earlier run has sent, too. Without it every message is sent once.
- `dry_run`: only count. It is on unless you turn it off.

### What its log shows
How many messages of each reason go back, and how many do not: those that an earlier run has sent, and those that
inference refused, which never lay on `weather-raw` (their header `topic` says `weather-features`). What is still wrong
lies in `weather-rejected` again afterwards, with the header `replayed`, and that one is never sent; mend the fault and
send the first one with `again`. An observation of which every window is closed is `late` again.

### When it is red (triage)
- *no reason …*: the parameter; the message lists the reasons.
- *no Kafka broker answers*: see whether it runs, and read its log (docs/troubleshooting.md, *Logs*). Messages that were
  sent before are passed over.
"""

from __future__ import annotations

import logging
from typing import Any

from airflow.sdk import DAG, Param, task

from plugins import assets, policy
from weatherglass.settings import load_settings

with DAG(
    dag_id="replay_rejected",
    description="Gives rejected messages another chance",
    doc_md=__doc__,
    schedule=None,
    tags=[policy.TAG, "kafka"],
    params={
        "reasons": Param(
            [], type="array", items={"type": "string"}, description="Which; empty is all. The header `reason` says it."
        ),
        "since": Param(None, type=["null", "string"], format="date-time", description="Rejected then or later."),
        "until": Param(None, type=["null", "string"], format="date-time", description="Rejected before then."),
        "again": Param(False, type="boolean", description="Also what an earlier run has sent."),
        "dry_run": Param(True, type="boolean", description="Only count."),
    },
    **policy.COMMON,
):

    @task(outlets=[assets.RAW])
    def replay(params: dict[str, Any] | None = None) -> dict[str, int]:
        from datetime import UTC, datetime

        from producer.replay_rejected import Selection, reasons_of, replay_rejected

        asked = params or {}
        since, until = (datetime.fromisoformat(asked[name]) if asked.get(name) else None for name in ("since", "until"))
        selection = Selection(reasons_of(asked.get("reasons", [])), since, until)
        say = logging.getLogger("airflow.task").info
        dry, again = asked.get("dry_run", True), asked.get("again", False)
        return dict(replay_rejected(load_settings(), selection, datetime.now(UTC), dry, say, again))

    replay()
