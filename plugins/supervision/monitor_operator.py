"""The monitor as a long-lived job, with the notification channels from Airflow's connections."""

from __future__ import annotations

import json
from typing import Any

from airflow.sdk import Context

from plugins.notification_connections import (
    EMAIL_CONNECTION,
    WEBHOOK_CONNECTION,
    email_config,
    find_connection,
    webhook_config,
)
from plugins.supervision.operator import LongLivedJobOperator
from weatherglass.alerts.notification import CHANNELS_VARIABLE


class MonitorOperator(LongLivedJobOperator):
    """Passes the connections `alerts_webhook` and `alerts_email`, if they exist, to the monitor.

    They are read when the job starts; clear the task to apply changes. The job receives them in its environment, so
    that no file contains them for longer than the start takes.
    """

    def execute(self, context: Context) -> None:
        config: dict[str, Any] = {}
        if (webhook := find_connection(WEBHOOK_CONNECTION)) is not None:
            config["webhook"] = webhook_config(webhook)
        if (email := find_connection(EMAIL_CONNECTION)) is not None:
            config["email"] = email_config(email)
        none = f"none, the connections {WEBHOOK_CONNECTION} and {EMAIL_CONNECTION} do not exist"
        self.log.info("Notification channels: %s", ", ".join(config) or none)
        self.environment = {**self.environment, CHANNELS_VARIABLE: json.dumps(config)}
        super().execute(context)
