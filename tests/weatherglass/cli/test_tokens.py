"""`weatherglass tokens` creates, lists and revokes tokens of own stations."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from tests.own_station_table import add_own_station
from weatherglass.cli.main import main
from weatherglass.settings import Settings
from weatherglass.station_tokens import StationTokens

PASSKEY = "3BB6B2D81F4A9C1D5E0F7A6B8C9D0E1F"


@pytest.fixture
def tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> StationTokens:
    monkeypatch.setenv("WEATHERGLASS_STATE_DIR", str(tmp_path))
    settings = Settings()
    add_own_station(settings, "my-garden")
    add_own_station(settings, "net-1")
    capsys.readouterr()
    return StationTokens(settings)


def test_a_created_token_is_printed_once_and_works_until_it_is_removed(
    tokens: StationTokens, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tokens", "add", "garden", "my-garden", "net-*"]) == 0
    (text,) = [word for word in capsys.readouterr().out.split() if tokens.find(word)]
    for options in ([], ["--json"]):
        assert main(["tokens", "list", *options]) == 0
        listed = capsys.readouterr().out
        assert "garden" in listed
        assert text not in listed
        assert tokens.all()[0].sha256 not in listed
    assert json.loads(listed)[0]["stations"] == ["my-garden", "net-*"]
    assert main(["tokens", "remove", "garden"]) == 0
    assert tokens.find(text) is None
    assert main(["tokens", "remove", "garden"]) == 1
    assert main(["tokens"]) == 0


def test_a_token_is_read_from_the_input_and_not_printed(
    tokens: StationTokens, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSKEY}\nmore\n"))
    assert main(["tokens", "add", "garden", "my-garden", "--read-token"]) == 0
    found = tokens.find(PASSKEY)
    assert found is not None
    assert not found.is_generated
    assert PASSKEY not in "".join(capsys.readouterr())


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["t", "my-gardne"], "stations add"),
        (["t", "new-york"], "new-york"),
        (["t", "my-garden", "net_*"], "net_*"),
        (["t", "**"], "**"),
        (["T", "my-garden"], "T"),
        (["t", "my-garden", "--read-token"], "16"),
    ],
)
def test_an_impossible_token_is_refused_with_the_way_out(
    tokens: StationTokens,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    named: str,
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("short\n"))
    assert main(["tokens", "add", *arguments]) == 1
    assert named in capsys.readouterr().err
    assert tokens.all() == []


def test_a_damaged_file_is_named(tokens: StationTokens, capsys: pytest.CaptureFixture[str]) -> None:
    tokens.file.parent.mkdir()
    tokens.file.write_text("[")
    assert main(["tokens", "add", "garden", "my-garden"]) == 1
    assert str(tokens.file) in capsys.readouterr().err
