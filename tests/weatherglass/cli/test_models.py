"""`weatherglass models`: the commands of the walkthrough in docs/models.md."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import psutil
import pytest
import requests

from tests.conftest import free_ports
from tests.waiting import until
from weatherglass.cli.main import MODEL_KINDS, main
from weatherglass.cli.models import show_in_mlflow
from weatherglass.registry.catalog import registered_models
from weatherglass.registry.registry import FORECASTER, KINDS, Registry
from weatherglass.settings import LOOPBACK, Settings
from weatherglass.store.promotions import Action

pytestmark = pytest.mark.integration


def test_promote_challenge_withdraw_and_rollback_change_the_registry(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WEATHERGLASS_STATE_DIR", str(settings.state_dir))
    monkeypatch.setattr("getpass.getuser", lambda: "operator")
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.json").write_text("{}")
    registry = Registry(settings)
    for _ in range(2):
        registry.register(FORECASTER, folder, {}, {}, {})

    def aliases() -> tuple[str | None, str | None]:
        champion, challenger = registry.champion(FORECASTER), registry.challenger(FORECASTER)
        return champion and champion.version, challenger and challenger.version

    assert main(["models", "rollback", "--reason", "too early"]) == 1
    assert FORECASTER in capsys.readouterr().err
    assert main(["models", "promote", "1", "--reason", "first model"]) == 0
    assert main(["models", "challenge", "2", "--reason", "newer"]) == 0
    assert aliases() == ("1", "2")
    assert main(["models", "withdraw", "--reason", "postponed"]) == 0
    assert aliases() == ("1", None)
    assert main(["models", "promote", "2", "--reason", "better"]) == 0
    assert aliases() == ("2", None)
    assert main(["models", "promote", "7", "--reason", "wrong number"]) == 1
    error = capsys.readouterr().err
    assert "7" in error
    assert "2, 1" in error
    assert main(["models", "rollback", "--reason", "cold bias"]) == 0
    assert aliases() == ("1", None)
    assert [(p.action, p.from_version, p.to_version, p.changed_by, p.reason) for p in registry.promotions()] == [
        (Action.PROMOTE, None, "1", "operator", "first model"),
        (Action.CHALLENGE, None, "2", "operator", "newer"),
        (Action.WITHDRAW, "2", None, "operator", "postponed"),
        (Action.PROMOTE, "1", "2", "operator", "better"),
        (Action.ROLLBACK, "2", "1", "operator", "cold bias"),
    ]

    capsys.readouterr()
    assert main(["models", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[:2]] == [[FORECASTER, "2"], [FORECASTER, "1"]]
    assert [line.split()[3:] for line in lines[:2]] == [[], ["champion"]]
    assert len(lines) == 2 + 5
    assert "2 -> 1" in lines[-1]
    assert "cold bias" in lines[-1]


def test_import_refuses_files_with_one_message_and_exit_status_1(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WEATHERGLASS_STATE_DIR", str(settings.state_dir))
    bundle, key = tmp_path / "model", tmp_path / "key.pem"
    key.write_text("no key")
    with zipfile.ZipFile(bundle, "w") as archive:
        archive.writestr("bundle.json", "{}")
    refused = {
        ("models", "import", str(bundle)): "bundle.json",
        ("models", "import", str(tmp_path / "missing")): "missing",
        ("models", "import", str(bundle), "--sha256", "0" * 64): "0" * 64,
        ("models", "import", str(bundle), "--public-key", str(key)): "key.pem",
    }
    for arguments, named in refused.items():
        assert main(list(arguments)) == 1
        output = capsys.readouterr()
        assert named in output.err
        assert output.out == ""
    assert not settings.state_dir.exists()


def test_the_command_accepts_the_kinds_of_the_registry() -> None:
    assert MODEL_KINDS == KINDS


@pytest.fixture
def with_model(settings: Settings, tmp_path: Path) -> Settings:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.json").write_text("{}")
    Registry(settings).register(FORECASTER, folder, {}, {}, {})
    return settings


def test_the_models_are_shown_in_mlflow_on_loopback_only(with_model: Settings) -> None:
    settings, (port,) = with_model, free_ports(1)
    environment = {**os.environ, "WEATHERGLASS_STATE_DIR": str(settings.state_dir)}
    command = [sys.executable, "-m", "weatherglass.cli.main", "models", "ui", "--port", str(port)]
    url = f"http://{LOOPBACK}:{port}"
    with subprocess.Popen(command, env=environment, start_new_session=True) as process:
        try:
            until("MLflow", lambda: process.poll() is not None or responds(url))
            assert process.poll() is None
            search = f"{url}/api/2.0/mlflow/model-versions/search"
            versions = requests.get(search, timeout=60).json()["model_versions"]
            assert [(version["name"], version["version"]) for version in versions] == [(FORECASTER, "1")]
            (model,) = registered_models(settings)
            assert model.run is not None
            found = requests.get(f"{url}/api/2.0/mlflow/runs/get", {"run_id": model.run[0]}, timeout=60).json()
            assert found["run"]["info"]["experiment_id"] == str(model.run[1])
            assert requests.get(search, headers={"Host": "example.org"}, timeout=60).status_code == 403
            listening = [c for p in processes(process.pid) for c in p.net_connections() if c.status == "LISTEN"]
            assert {connection.laddr.ip for connection in listening} == {LOOPBACK}
            assert not any(settings.mlflow_url in argument for p in processes(process.pid) for argument in p.cmdline())
        finally:
            if process.poll() is None:
                running = processes(process.pid)
                os.killpg(process.pid, signal.SIGTERM)
                assert psutil.wait_procs(running, 60)[1] == []


def responds(url: str) -> bool:
    try:
        return requests.get(url, timeout=60).ok
    except requests.RequestException:
        return False


def processes(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def test_mlflow_is_not_started_without_models(settings: Settings) -> None:
    assert show_in_mlflow(settings, 5000) == 1


def test_mlflow_is_not_started_on_a_port_in_use(with_model: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
        assert show_in_mlflow(with_model, port) == 1
    assert str(port) in capsys.readouterr().err
