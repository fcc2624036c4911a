"""The monitor as a long-lived job, with the notification channels from Airflow's connections."""

from __future__ import annotations

import json
from typing import Any

from airflow.sdk import BaseHook, Context
from airflow.sdk.exceptions import AirflowNotFoundException

from plugins.supervision.operator import LongLivedJobOperator
from weatherglass.alerts.notification import CHANNELS_VARIABLE

WEBHOOK_CONNECTION = "alerts_webhook"
"""Connection of type `http`: host, schema, port, the path in the extra `path`, the token as password."""
EMAIL_CONNECTION = "alerts_email"
"""Connection of type `smtp` with the fields of the SMTP provider; recipients separated by commas in the extra `to`."""


class MonitorOperator(LongLivedJobOperator):
    """Passes the connections `alerts_webhook` and `alerts_email`, if they exist, to the monitor.

    They are read when the job starts; clear the task to apply changes. The job receives them in its environment, so
    that no file contains them for longer than the start takes.
    """

    def execute(self, context: Context) -> None:
        config: dict[str, Any] = {}
        if (webhook := _connection(WEBHOOK_CONNECTION)) is not None:
            config["webhook"] = webhook_config(webhook)
        if (email := _connection(EMAIL_CONNECTION)) is not None:
            config["email"] = email_config(email)
        none = f"none, the connections {WEBHOOK_CONNECTION} and {EMAIL_CONNECTION} do not exist"
        self.log.info("Notification channels: %s", ", ".join(config) or none)
        self.environment = {**self.environment, CHANNELS_VARIABLE: json.dumps(config)}
        super().execute(context)


def webhook_config(connection: Any) -> dict[str, str]:
    """The fields of `monitor.notification_channels.Webhook`."""
    extra = connection.extra_dejson
    host = connection.host or ""
    if "://" not in host:
        host = f"{connection.schema or 'https'}://{host}"
    port = f":{connection.port}" if connection.port else ""
    path = str(extra.get("path", "")).lstrip("/")
    return {"url": f"{host.rstrip('/')}{port}/{path}", "token": connection.password or ""}


def email_config(connection: Any) -> dict[str, Any]:
    """The fields of `monitor.notification_channels.Email`.

    Raises:
        ValueError: the connection has no recipients.
    """
    extra = connection.extra_dejson
    to = [address.strip() for address in str(extra.get("to", "")).split(",") if address.strip()]
    if not to:
        raise ValueError(f'the connection {EMAIL_CONNECTION} has no recipients; add "to": "a@b.example" to its extra')
    security = "none" if extra.get("disable_tls") else "starttls"
    if not extra.get("disable_ssl"):
        security = "tls"
    return {
        "host": connection.host or "localhost",
        "port": connection.port or {"tls": 465, "starttls": 587, "none": 25}[security],
        "sender": extra.get("from_email") or connection.login or "weatherglass@localhost",
        "to": to,
        "user": connection.login or "",
        "password": connection.password or "",
        "security": security,
    }


def _connection(name: str) -> Any:
    try:
        return BaseHook.get_connection(name)
    except AirflowNotFoundException:
        return None
