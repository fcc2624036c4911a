"""
### What it does
Subscribes to the MQTT broker `WEATHERGLASS_MQTT_URL` and publishes the messages of your own stations to `weather-raw`,
by the mappings `[mqtt.…]` in `mappings.toml` (docs/own-stations.md). `make up` starts it only if a broker is set. A
message is acknowledged to the MQTT broker after Kafka has acknowledged it. This is a long-lived job: there is always
one run, and never more than one process.

### What its log shows
Connections to the MQTT broker, and every ten seconds, if there is something new, the number of observations published
and of messages rejected, by reason. The complete output of the job, with a line for each rejected message, is in
`jobs/receive_mqtt/job.log` in the state folder.

### When it fails or is retried (triage)
The log shows the last output of a job that ended. Until its next start, the MQTT broker keeps the messages sent with
quality of service 1 or 2, for a week and as many as its configuration allows.
- *Stop*: mark the run as failed. *Start again*, or apply a changed password: clear the task, or trigger the DAG.
- *Does not respond, refuses the connection*: check the settings `WEATHERGLASS_MQTT_…` and the broker. The job tries
  again.
- *Invalid mapping file, no entry*: correct the file; the job continues with the changed file.
- *Rejected messages*: they are kept in `weather-rejected`. `unknown_station`: add the station with
  `weatherglass stations add`.
- *Observations were not acknowledged*: Kafka does not respond; the job tries again, and acknowledges nothing meanwhile.
- *No job host accepted the request*: check that the job host runs and read its log (docs/troubleshooting.md, *Logs*).
"""

from __future__ import annotations

import sys

from airflow.sdk import DAG

from plugins import assets, policy
from plugins.supervision.operator import LongLivedJobOperator
from weatherglass.settings import load_settings

folder = load_settings().jobs_dir / "receive_mqtt"

with DAG(
    dag_id="receive_mqtt",
    dag_display_name="Receive MQTT messages",
    description="Long-lived: publishes MQTT messages of your own stations to weather-raw",
    doc_md=__doc__,
    tags=[policy.TAG, "kafka", "ingestion", "long-lived"],
    **policy.LONG_LIVED_DEFAULTS,
):
    LongLivedJobOperator(
        task_id="receive_mqtt",
        task_display_name="Receive and publish messages",
        folder=folder,
        argv=[sys.executable, "-m", "producer.mqtt", str(folder)],
        outlets=[assets.RAW],
    )
