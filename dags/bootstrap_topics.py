"""
### What it does
Creates the Kafka topics of `weatherglass/topics.py` and updates their partitions, retention and clean-up policy. Also
creates the consumer groups, so that they are visible in every Kafka tool. A second run changes nothing.

### What its log shows
One line for each topic created and each setting changed, and a `WARNING` for each difference that is not corrected
(drift), for example more partitions than specified.

### When it fails (triage)
- *The broker cannot be reached*: check that the broker runs and read its log (docs/troubleshooting.md, *Logs*). No
  other DAG works until it does; no data is lost.
- *The broker rejects a change*: the message names the topic and the setting. Correct `weatherglass/topics.py` and clear
  the task.
"""

from __future__ import annotations

from airflow.sdk import DAG, task

from plugins import assets, policy
from plugins.tasks import topics

with DAG(
    dag_id="bootstrap_topics",
    dag_display_name="Bootstrap topics",
    description="Creates and configures the Kafka topics",
    doc_md=__doc__,
    schedule=None,
    tags=[policy.TAG, "kafka"],
    **policy.DAG_DEFAULTS,
):
    create_topics = task(task_display_name="Create and configure topics", outlets=[assets.REJECTED])(
        topics.create_topics
    )

    create_topics()
