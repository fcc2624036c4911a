"""The task of the station report, with a real mail server."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from plugins.tasks import station_report
from tests.conftest import free_ports, make_settings
from tests.weatherglass.monitor.receivers import mail_server
from tests.weatherglass.store.samples import NOON, an_observation
from weatherglass.monitor.notification_channels import ChannelError
from weatherglass.store import observations
from weatherglass.store.engine import open_store
from weatherglass.store.migrate import migrate

DAY = NOON.date().isoformat()


@pytest.fixture(autouse=True)
def filled_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = make_settings(tmp_path / "state")
    migrate(settings.store_url)
    store = open_store(settings.store_url)
    with store.begin() as connection:
        stored_at = datetime(2026, 1, 5, 12, 16, tzinfo=UTC)
        observations.save(connection, [an_observation("new-york")], stored_at)
    store.dispose()
    monkeypatch.setattr(station_report, "load_settings", lambda: settings)


def connect(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    extra = {"to": "a@there, b@there", "from_email": "w@here", "disable_tls": True, "disable_ssl": True}
    connection = {"conn_type": "smtp", "host": "127.0.0.1", "port": port, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_ALERTS_EMAIL", json.dumps(connection))


def test_the_report_is_sent_by_email(monkeypatch: pytest.MonkeyPatch) -> None:
    with mail_server() as mailbox:
        connect(monkeypatch, mailbox.port)
        page, _ = station_report.report({"day": DAY})
    (mail,) = mailbox.messages
    assert (mail["To"], DAY in mail["Subject"]) == ("a@there, b@there", True)
    body = mail.get_body(("html",))
    assert body is not None
    assert body.get_content().split() == Path(page).read_text(encoding="utf-8").split()
    assert "New York" in body.get_content()


def test_without_a_connection_the_report_is_only_written() -> None:
    for path in station_report.report({"day": DAY}):
        assert Path(path).stat().st_size > 0


def test_the_report_is_written_before_a_mail_server_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, free_ports(1)[0])
    with pytest.raises(ChannelError):
        station_report.report({"day": DAY})
    assert len(list((tmp_path / "state" / "reports").iterdir())) == 2
