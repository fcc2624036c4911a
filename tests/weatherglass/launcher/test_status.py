"""The screen of `make status`, with the state of the components given."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.conftest import make_settings
from weatherglass.alerts.health import HealthState, PipelineHealth
from weatherglass.launcher import status
from weatherglass.store import alerts
from weatherglass.store.alerts import Severity
from weatherglass.store.engine import open_store
from weatherglass.store.migrate import migrate


@pytest.mark.parametrize(
    ("components", "severity", "color", "exit_status"),
    [
        (HealthState.OK, None, 32, 0),
        (HealthState.OK, Severity.WARNING, 33, 0),
        (HealthState.OK, Severity.CRITICAL, 31, 0),
        (HealthState.DEGRADED, None, 33, status.NOT_HEALTHY),
    ],
)
def test_open_alerts_are_listed_with_a_link_and_decide_the_color_but_not_the_exit_status(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    components: HealthState,
    severity: Severity | None,
    color: int,
    exit_status: int,
) -> None:
    settings = make_settings(tmp_path / "state")
    migrate(settings.store_url)
    now = datetime.now(UTC)
    store = open_store(settings.store_url)
    if severity:
        with store.begin() as connection:
            alerts.raise_alert(connection, alerts.Alert("a_rule", "a subject", severity, "message"), now)
    store.dispose()
    monkeypatch.setattr(status, "launcher_is_running", lambda _: True)
    monkeypatch.setattr(status, "pipeline_health", lambda *_: PipelineHealth(components, now, ()))
    monkeypatch.setattr(status, "lags", lambda _: {})
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert status.show(settings) == exit_status
    output = capsys.readouterr().out
    assert f"\033[{color}m" in output.splitlines()[0]
    assert ("a_rule, a subject" in output) == (severity is not None)
    assert ("/dashboard/system#alert-1" in output) == (severity is not None)
