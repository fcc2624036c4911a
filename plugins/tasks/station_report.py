"""Task of the DAG `report_stations`."""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime, timedelta
from typing import Any

from plugins.run_notes import summarize
from weatherglass.settings import load_settings

log = logging.getLogger("airflow.task")

WORST = 5
"""Number of stations in the log."""


def report(params: dict[str, Any] | None = None, ti: Any = None) -> list[str]:
    """Write the report on the parameter `day`, or yesterday, and return the paths of its files.

    It is sent by e-mail if the connection `alerts_email` exists.

    Raises:
        ChannelError: the report is written, but the mail server did not accept it.
    """
    from weatherglass.monitor.station_report import make_report, summary

    now = datetime.now(UTC)
    chosen = (params or {}).get("day")
    day = date.fromisoformat(chosen) if chosen else now.date() - timedelta(days=1)
    days, page, table = make_report(load_settings(), day, now)
    log.info("%s: %s", day, summary(days))
    summarize(ti, f"{day}: {summary(days)}".removesuffix("."))
    for station in days[:WORST]:
        gap = timedelta(seconds=station.longest_gap)
        log.info("%s: %d of %d received, longest gap %s", station.station_id, station.received, station.expected, gap)
    log.info("Wrote %s and %s", page, table)
    _send(f"Stations on {day}", summary(days), page.read_text(encoding="utf-8"))
    return [str(page), str(table)]


def _send(title: str, text: str, html: str) -> None:
    from plugins.notification_connections import EMAIL_CONNECTION, email_config, find_connection
    from weatherglass.alerts.notification import Message
    from weatherglass.monitor.notification_channels import email_channel

    connection = find_connection(EMAIL_CONNECTION)
    if connection is None:
        log.info("Not sent by e-mail: the connection %s does not exist", EMAIL_CONNECTION)
        return
    channel = email_channel(email_config(connection))
    channel.send(Message(f"[Weatherglass: station report] {title}", f"{text}\n", {}, html))
    log.info("Sent by e-mail to %s", ", ".join(channel.to))
