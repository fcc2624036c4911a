"""The watcher of the pipeline as a long-lived job, with what it needs to send alerts on, from Airflow's connections."""

from __future__ import annotations

import json
from typing import Any

from airflow.sdk import BaseHook, Context
from airflow.sdk.exceptions import AirflowNotFoundException

from plugins.supervision.operator import LongLivedJobOperator
from weatherglass.alerts.notification import CHANNELS_VARIABLE

WEBHOOK = "alerts_webhook"
"""A connection of type `http`: host, schema, port; the path and `token` in extra's `path` and the password."""
EMAIL = "alerts_email"
"""A connection of type `smtp`, its fields as the SMTP provider has them; in extra `to`: addresses by commas."""


class MonitorOperator(LongLivedJobOperator):
    """Hands the connections `alerts_webhook` and `alerts_email` to the job, where they exist.

    They are read when the job is started: to change them, clear the task. The job gets them in its environment, so
    that no file holds them for longer than its start takes.
    """

    def execute(self, context: Context) -> None:
        said = {}
        if (webhook := _connection(WEBHOOK)) is not None:
            said["webhook"] = webhook_of(webhook)
        if (email := _connection(EMAIL)) is not None:
            said["email"] = email_of(email)
        self.log.info("alerts are sent on by %s", " and ".join(said) or f"nobody: there is no {WEBHOOK}, no {EMAIL}")
        self.environment = {**self.environment, CHANNELS_VARIABLE: json.dumps(said)}
        super().execute(context)


def webhook_of(connection: Any) -> dict[str, str]:
    """As the watcher wants it."""
    extra = connection.extra_dejson
    host = connection.host or ""
    if "://" not in host:
        host = f"{connection.schema or 'https'}://{host}"
    port = f":{connection.port}" if connection.port else ""
    path = str(extra.get("path", "")).lstrip("/")
    return {"url": f"{host.rstrip('/')}{port}/{path}", "token": connection.password or ""}


def email_of(connection: Any) -> dict[str, Any]:
    """As the watcher wants it. Raises ValueError where nobody is to get it."""
    extra = connection.extra_dejson
    to = [address.strip() for address in str(extra.get("to", "")).split(",") if address.strip()]
    if not to:
        raise ValueError(f'the connection {EMAIL} names nobody to send to; its extra wants "to": "a@b.example, …"')
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
