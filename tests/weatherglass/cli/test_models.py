"""`weatherglass models`: the commands of the walkthrough in docs/models.md."""

from __future__ import annotations

import shutil
import zipfile
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from tests.conftest import make_settings
from weatherglass.cli.main import MODEL_KINDS, main
from weatherglass.cli.models import LOADERS, import_shipped
from weatherglass.registry import shipped
from weatherglass.registry.catalog import registered_models
from weatherglass.registry.registry import FORECASTER, KINDS, Registry
from weatherglass.settings import Settings, Source
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


def test_shipped_models_become_champions_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = make_settings(tmp_path / "state", source=Source.REPLAY)
    monkeypatch.setenv("WEATHERGLASS_STATE_DIR", str(settings.state_dir))
    monkeypatch.setenv("WEATHERGLASS_SOURCE", Source.REPLAY.value)
    for _ in range(2):
        assert main(["models", "import-shipped"]) == 0
    registry = Registry(settings)
    for kind in shipped.KINDS:
        champion = registry.champion(kind)
        assert champion is not None
        assert champion.tags["data_source"] == shipped.BUNDLED
        LOADERS[kind](champion.folder)
    assert sorted(model.kind for model in registered_models(settings)) == sorted(shipped.KINDS)


def test_a_changed_shipped_model_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "shipped"
    shutil.copytree(shipped.FOLDER, folder)
    for file in folder.glob("*.zip"):
        content = bytearray(file.read_bytes())
        content[1000] ^= 1
        file.write_bytes(content)
    monkeypatch.setattr("weatherglass.cli.models.shipped_models", partial(shipped.shipped_models, folder=folder))
    settings = make_settings(tmp_path / "state", source=Source.REPLAY)
    assert import_shipped(settings, datetime(2026, 5, 5, tzinfo=UTC)) == 1
    assert registered_models(settings) == []
