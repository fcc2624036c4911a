"""
### What it does
Makes the Kafka broker agree with the table of topics (`weatherglass/topics.py`): topics, partitions, retention,
clean-up policy, and the consumer groups, so that every Kafka tool knows them. A second run changes nothing.

### What its log shows
One line for each topic that was made and each setting that was changed, and a `WARNING` for what differs from the
table and is left alone (drift), such as more partitions than the table says.

### When it is red (triage)
- *The broker cannot be reached*: see whether it runs, and read its log (docs/troubleshooting.md, *Logs*). Nothing else
  works meanwhile; no data is lost.
- *The broker refuses a change*: the message names the topic and the setting. Correct the table, clear the task.
"""

from __future__ import annotations

import logging

from airflow.sdk import DAG, task

from plugins import assets, policy
from weatherglass.settings import load_settings

with DAG(
    dag_id="bootstrap_topics",
    description="Makes the broker agree with the table of topics",
    doc_md=__doc__,
    schedule=None,
    tags=[policy.TAG, "kafka"],
    **policy.COMMON,
):

    @task(outlets=[assets.REJECTED])
    def make_topics() -> None:
        from producer.topic_bootstrap import bootstrap_topics

        bootstrap_topics(load_settings(), logging.getLogger("airflow.task").info)

    make_topics()
