"""Tokens of own stations: what they permit, how they are stored, and changes by several processes."""

from __future__ import annotations

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from weatherglass.files import DamagedFileError
from weatherglass.settings import Settings
from weatherglass.station_tokens import StationTokens, TokenError

NOW = datetime(2026, 7, 14, 12, tzinfo=UTC)
PASSKEY = "3BB6B2D81F4A9C1D5E0F7A6B8C9D0E1F"


@pytest.fixture
def tokens(tmp_path: Path) -> StationTokens:
    return StationTokens(Settings(state_dir=tmp_path))


def test_a_token_is_found_by_its_text_only(tokens: StationTokens) -> None:
    text = tokens.add("garden", ["my-garden"], NOW)
    found = tokens.find(text)
    assert found is not None
    assert (found.name, found.stations, found.created_at, found.is_generated) == (
        "garden",
        ("my-garden",),
        "2026-07-14T12:00:00Z",
        True,
    )
    for other in (text[:-1], text.upper(), f"{text} ", "", "garden", found.sha256, "\ud800"):
        assert tokens.find(other) is None, other


@pytest.mark.parametrize(
    ("stations", "permitted", "refused"),
    [
        (["a"], ["a"], ["b", "A", "a-1", ""]),
        (["a", "b"], ["a", "b"], ["c", "ab"]),
        (["net-*"], ["net-1", "net-oslo"], ["net", "nets", "my-net-1", "net"]),
        (["*"], ["a", "net-1"], []),
    ],
)
def test_a_token_permits_its_stations_only(
    tokens: StationTokens, stations: list[str], permitted: list[str], refused: list[str]
) -> None:
    token = tokens.find(tokens.add("t", stations, NOW))
    assert token is not None
    assert [token.permits(name) for name in permitted + refused] == [True] * len(permitted) + [False] * len(refused)
    assert token.only_station == ("a" if stations == ["a"] else None)


def test_the_file_is_private_and_contains_no_token(tokens: StationTokens) -> None:
    texts = [tokens.add("a", ["a"], NOW), tokens.add("b", ["b"], NOW, PASSKEY)]
    content = tokens.file.read_text()
    assert texts[1] == PASSKEY
    assert [text for text in texts if text.lower() in content.lower()] == []
    assert stat.S_IMODE(tokens.file.stat().st_mode) == 0o600
    assert stat.S_IMODE(tokens.file.parent.stat().st_mode) == 0o700
    assert len(set(texts[:1] + [tokens.add(f"c{number}", ["c"], NOW) for number in range(20)])) == 21


def test_changes_of_other_processes_take_effect(tokens: StationTokens, tmp_path: Path) -> None:
    other = StationTokens(Settings(state_dir=tmp_path))
    text = other.add("garden", ["my-garden"], NOW)
    assert tokens.find(text)
    assert other.remove("garden")
    assert tokens.find(text) is None
    assert not other.remove("garden")


def test_no_simultaneous_change_is_lost(tmp_path: Path) -> None:
    def add(number: int) -> None:
        StationTokens(Settings(state_dir=tmp_path)).add(f"t-{number}", ["a"], NOW)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(add, range(24)))
    names = {token.name for token in StationTokens(Settings(state_dir=tmp_path)).all()}
    assert names == {f"t-{number}" for number in range(24)}


@pytest.mark.parametrize(
    ("name", "stations", "secret"),
    [
        ("", ["a"], None),
        ("My garden", ["a"], None),
        ("x" * 101, ["a"], None),
        ("taken", ["a"], None),
        ("new", [], None),
        ("new", ["a"], "short"),
        ("new", ["a"], "x" * 101),
        ("new", ["a"], "with spaces in the text"),
        ("new", ["a"], "größer als sechzehn"),
        ("new", ["a"], "line\nbreak of the text"),
        ("new", ["a"], PASSKEY),
    ],
)
def test_an_impossible_token_is_refused_without_its_text(
    tokens: StationTokens, name: str, stations: list[str], secret: str | None
) -> None:
    tokens.add("taken", ["a"], NOW, PASSKEY)
    with pytest.raises(TokenError) as refused:
        tokens.add(name, stations, NOW, secret)
    assert not secret or secret not in str(refused.value)
    assert [token.name for token in tokens.all()] == ["taken"]


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: "{}}",
        lambda text: json.dumps([{"name": "x"}]),
        lambda text: text.replace('"is_generated": true', '"is_generated": 1'),
        lambda text: text.replace('"name": "a"', '"name": 7'),
        lambda text: text.replace('"name"', '"nome"'),
    ],
)
def test_a_damaged_file_accepts_nothing_and_is_not_replaced(tokens: StationTokens, change: object) -> None:
    text = tokens.add("a", ["a"], NOW)
    damaged = change(tokens.file.read_text())  # type: ignore[operator]
    tokens.file.write_text(damaged)
    for call in (
        lambda: tokens.find(text),
        tokens.all,
        lambda: tokens.add("b", ["b"], NOW),
        lambda: tokens.remove("a"),
    ):
        with pytest.raises(DamagedFileError) as error:
            call()
        assert text not in str(error.value)
    assert tokens.file.read_text() == damaged
