"""Airflow's connections become what the watcher sends alerts through."""

from __future__ import annotations

import json
from collections.abc import Callable

import psutil
import pytest
from airflow.sdk import Connection
from airflow.sdk.exceptions import TaskDeferred

from plugins.supervision.alert_channels import MonitorOperator, email_of, webhook_of
from weatherglass.alerts.notification import CHANNELS_VARIABLE
from weatherglass.jobs.folder import JobFolder
from weatherglass.jobs.host import Host


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
def test_a_webhook(connection: dict[str, object], url: str) -> None:
    found = webhook_of(Connection(conn_id="x", conn_type="http", password="token", **connection))
    assert found == {"url": url, "token": "token"}


@pytest.mark.parametrize(
    ("extra", "security", "port"),
    [
        ({}, "tls", 465),
        ({"disable_ssl": True}, "starttls", 587),
        ({"disable_ssl": True, "disable_tls": True}, "none", 25),
    ],
)
def test_a_mailbox(extra: dict[str, object], security: str, port: int) -> None:
    extra = {**extra, "to": "a@b.example, c@d.example", "from_email": "w@b.example"}
    connection = Connection(
        conn_id="x", conn_type="smtp", host="mail", login="me", password="p", extra=json.dumps(extra)
    )
    found = email_of(connection)
    assert (found["security"], found["port"], found["sender"]) == (security, port, "w@b.example")
    assert found["to"] == ["a@b.example", "c@d.example"]


def test_a_mailbox_of_nobody_is_refused() -> None:
    with pytest.raises(ValueError, match='extra wants "to"'):
        email_of(Connection(conn_id="x", conn_type="smtp", host="mail"))


def test_the_job_gets_them_in_its_environment_and_no_file_keeps_them(
    job_host: Host, folder: JobFolder, command: Callable[[str], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook = {"conn_type": "http", "host": "hooks.example", "password": "a-secret"}
    email = {"conn_type": "smtp", "host": "mail", "extra": {"to": "a@b.example"}}
    monkeypatch.setenv("AIRFLOW_CONN_ALERTS_WEBHOOK", json.dumps(webhook))
    monkeypatch.setenv("AIRFLOW_CONN_ALERTS_EMAIL", json.dumps(email))
    with pytest.raises(TaskDeferred):
        MonitorOperator(task_id="watch", folder=folder.path, argv=command("polite")).execute({})
    said = json.loads(psutil.Process(folder.started()["pid"]).environ()[CHANNELS_VARIABLE])
    assert said["webhook"] == {"url": "https://hooks.example/", "token": "a-secret"}
    assert said["email"]["to"] == ["a@b.example"]
    for file in folder.path.iterdir():
        assert b"a-secret" not in file.read_bytes()
