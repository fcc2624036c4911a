"""
### What it does
Publishes records of `weather-rejected` to `weather-raw` again, unchanged. Use it after the cause of the rejection was
corrected, for example a wrong clock or limits that were too narrow. Parameters:

- `reasons`: reasons of rejection to select; empty selects all. The record header `reason` contains the reason.
- `since`, `until`: selects records by the time of their rejection; empty means no bound.
- `again`: also select records that an earlier run has published. Otherwise each record is published once.
- `dry_run`: only count the records. On by default.

### What its log shows
The number of records by reason that are published, and the number that are not: those published by an earlier run, and
those rejected by inference, which were never in `weather-raw` (header `topic`: `weather-features`). Records that are
still invalid are rejected again, with the header `replayed`, and such copies are never replayed. Correct the cause and
replay the original record with `again`. An observation whose windows are all closed is rejected as `late` again.

### When it fails (triage)
- *Unknown reason*: correct the parameter; the message lists the valid reasons.
- *The Kafka broker does not respond*: check that the broker runs and read its log (docs/troubleshooting.md, *Logs*).
  Clear the task; records already published are skipped.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param, task

from plugins import assets, policy
from plugins.tasks import rejected

with DAG(
    dag_id="replay_rejected",
    dag_display_name="Replay rejected records",
    description="Publishes rejected records again",
    doc_md=__doc__,
    schedule=None,
    tags=[policy.TAG, "kafka"],
    params={
        "reasons": Param(
            None,
            type=["null", "array"],
            items={"type": "string"},
            examples=rejected.REASONS,  # the form offers these as choices
            title="Reasons",
            description="Reasons of rejection to select. Empty: all.",
        ),
        "since": policy.optional_text(
            "Since",
            "Records rejected at this time (UTC) or later. Empty: no lower bound.",
            ["2026-01-05T06:00:00Z"],
            "date-time",
        ),
        "until": policy.optional_text(
            "Until",
            "Records rejected before this time (UTC). Empty: no upper bound.",
            ["2026-01-05T18:00:00Z"],
            "date-time",
        ),
        "again": Param(
            False, type="boolean", title="Again", description="Also select records that an earlier run has published."
        ),
        "dry_run": Param(True, type="boolean", title="Dry run", description="Only count the records."),
    },
    **policy.DAG_DEFAULTS,
):
    replay = task(task_display_name="Publish records again", outlets=[assets.RAW])(rejected.replay)

    replay()
