"""Airflow's connections become notification channels of the monitor."""

from __future__ import annotations

import json
from collections.abc import Callable

import psutil
import pytest
from airflow.sdk import Connection
from airflow.sdk.exceptions import TaskDeferred

from plugins.notification_connections import email_config, webhook_config
from plugins.supervision.monitor_operator import MonitorOperator
from weatherglass.alerts.notification import CHANNELS_VARIABLE
from weatherglass.jobs.folder import JobFolder
from weatherglass.jobs.host import JobHost


@pytest.mark.parametrize(
    ("connection", "url"),
    [
        ({"host": "hooks.example"}, "https://hooks.example/"),
        (
            {"host": "127.0.0.1", "schema": "http", "port": 8123, "extra": '{"path": "/a/b"}'},
            "http://127.0.0.1:8123/a/b",
        ),
        ({"host": "http://hooks.example/", "extra": '{"path": "a?x=1"}'}, "http://hooks.example/a?x=1"),
    ],
)
def test_a_connection_becomes_a_webhook(connection: dict[str, object], url: str) -> None:
    config = webhook_config(Connection(conn_id="x", conn_type="http", password="token", **connection))
    assert config == {"url": url, "token": "token"}


@pytest.mark.parametrize(
    ("extra", "security", "port"),
    [
        ({}, "tls", 465),
        ({"disable_ssl": True}, "starttls", 587),
        ({"disable_ssl": True, "disable_tls": True}, "none", 25),
    ],
)
def test_a_connection_becomes_an_email_channel(extra: dict[str, object], security: str, port: int) -> None:
    extra = {**extra, "to": "a@b.example, c@d.example", "from_email": "w@b.example"}
    connection = Connection(
        conn_id="x", conn_type="smtp", host="mail", login="me", password="p", extra=json.dumps(extra)
    )
    config = email_config(connection)
    assert (config["security"], config["port"], config["sender"]) == (security, port, "w@b.example")
    assert config["to"] == ["a@b.example", "c@d.example"]


def test_an_email_connection_without_recipients_is_rejected() -> None:
    with pytest.raises(ValueError, match='"to"'):
        email_config(Connection(conn_id="x", conn_type="smtp", host="mail"))


def test_the_job_receives_the_channels_in_its_environment_and_no_file_contains_them(
    job_host: JobHost, folder: JobFolder, command: Callable[[str], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook = {"conn_type": "http", "host": "hooks.example", "password": "a-secret"}
    email = {"conn_type": "smtp", "host": "mail", "extra": {"to": "a@b.example"}}
    monkeypatch.setenv("AIRFLOW_CONN_ALERTS_WEBHOOK", json.dumps(webhook))
    monkeypatch.setenv("AIRFLOW_CONN_ALERTS_EMAIL", json.dumps(email))
    with pytest.raises(TaskDeferred):
        MonitorOperator(task_id="monitor", folder=folder.path, argv=command("cooperative")).execute({})
    channels = json.loads(psutil.Process(folder.started()["pid"]).environ()[CHANNELS_VARIABLE])
    assert channels["webhook"] == {"url": "https://hooks.example/", "token": "a-secret"}
    assert channels["email"]["to"] == ["a@b.example"]
    for file in folder.path.iterdir():
        assert b"a-secret" not in file.read_bytes()
