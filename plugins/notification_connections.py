"""The notification channels in Airflow's connections."""

from __future__ import annotations

from typing import Any

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

WEBHOOK_CONNECTION = "alerts_webhook"
"""Connection of type `http`: host, schema, port, the path in the extra `path`, the token as password."""
EMAIL_CONNECTION = "alerts_email"
"""Connection of type `smtp` with the fields of the SMTP provider; recipients separated by commas in the extra `to`."""


def find_connection(name: str) -> Any:
    """The connection of this name, or None."""
    try:
        return BaseHook.get_connection(name)
    except AirflowNotFoundException:
        return None


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
