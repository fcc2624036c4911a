"""Something else than Airflow answers on its port: Airflow is away, and the watcher goes on."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from tests.weatherglass.monitor.receivers import garbled
from weatherglass.alerts import metrics as m
from weatherglass.alerts.sample import MetricSample
from weatherglass.monitor.airflow_metrics import AirflowMetrics
from weatherglass.settings import Settings

NO_HTTP = b"SSH-2.0-OpenSSH_9.6\r\n"
CUT_OFF = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}"


@pytest.mark.parametrize("answer", [NO_HTTP, CUT_OFF])
def test_garbage_is_no_airflow(settings: Settings, answer: bytes) -> None:
    sample = MetricSample(datetime.now(UTC))
    with garbled(answer) as address:
        AirflowMetrics(settings, address).look(sample)
    assert sample.of(m.AIRFLOW_UP) == {("api_server",): 0.0}


def test_runs_that_come_garbled_are_not_told(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.secrets_dir.mkdir(parents=True)
    (settings.secrets_dir / "airflow_passwords.json").write_text(json.dumps({"admin": "word"}))
    sample = MetricSample(datetime.now(UTC))
    with garbled(CUT_OFF) as address:
        airflow = AirflowMetrics(settings, address)
        monkeypatch.setattr(airflow, "_get", lambda path: {})
        airflow.look(sample)
    assert sample.of(m.AIRFLOW_UP)[("api_server",)] == 1.0
