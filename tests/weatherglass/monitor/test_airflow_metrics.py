"""A server that is not Airflow responds on Airflow's port."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from tests.weatherglass.monitor.receivers import raw_server
from weatherglass.alerts import metrics as m
from weatherglass.alerts.sample import MetricSample
from weatherglass.monitor.airflow_metrics import AirflowMetrics
from weatherglass.settings import Settings

NOT_HTTP = b"SSH-2.0-OpenSSH_9.6\r\n"
TRUNCATED = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}"


@pytest.mark.parametrize("response", [NOT_HTTP, TRUNCATED])
def test_an_invalid_response_is_reported_as_airflow_down(settings: Settings, response: bytes) -> None:
    sample = MetricSample(datetime.now(UTC))
    with raw_server(response) as address:
        AirflowMetrics(settings, address).collect(sample)
    assert sample.series(m.AIRFLOW_UP) == {("api_server",): 0.0}


def test_unreadable_dag_runs_do_not_affect_the_other_metrics(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.secrets_dir.mkdir(parents=True)
    (settings.secrets_dir / "airflow_passwords.json").write_text(json.dumps({"admin": "password"}))
    sample = MetricSample(datetime.now(UTC))
    with raw_server(TRUNCATED) as address:
        airflow = AirflowMetrics(settings, address)
        monkeypatch.setattr(airflow, "_get", lambda path: {})
        airflow.collect(sample)
    assert sample.series(m.AIRFLOW_UP)[("api_server",)] == 1.0
    assert sample.series(m.DAG_FAILED) == {}
