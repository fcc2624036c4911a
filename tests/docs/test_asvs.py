"""The table of security requirements: complete, and each test that it names exists."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tests.docs.named_tests import exists, named_tests
from weatherglass.api.login_throttle import MAX_FAILURES, WINDOW_SECONDS
from weatherglass.record_schemas import RECORDS
from weatherglass.settings import PROJECT_ROOT

LEVEL_1 = re.findall(
    r"\S+",
    """
    1.2.1 1.2.2 1.2.3 1.2.4 1.2.5 1.3.1 1.3.2 1.5.1 2.1.1 2.2.1 2.2.2 2.3.1 3.2.1 3.2.2 3.3.1 3.4.1 3.4.2 3.5.1
    3.5.2 3.5.3 4.1.1 4.4.1 5.2.1 5.2.2 5.3.1 5.3.2 6.1.1 6.2.1 6.2.2 6.2.3 6.2.4 6.2.5 6.2.6 6.2.7 6.3.1 6.4.1
    6.4.2 7.2.1 7.2.2 7.2.3 7.2.4 7.4.1 7.4.2 8.1.1 8.2.1 8.2.2 8.3.1 9.1.1 9.1.2 9.1.3 9.2.1 10.4.1 10.4.2 10.4.3
    10.4.4 10.4.5 11.3.1 11.3.2 11.4.1 12.1.1 12.2.1 12.2.2 13.4.1 14.2.1 14.3.1 15.1.1 15.2.1 15.3.1
    """,
)
"""The items of level 1. Source: OWASP/ASVS, folder 5.0/en, V1 to V16; V16 has none, V17 (WebRTC) does not apply."""


def rows() -> list[tuple[str, str, str]]:
    """Item, state and the text with tests or the reason."""
    lines = (PROJECT_ROOT / "docs" / "asvs.md").read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if re.match(r"\| \d", line)]
    return [(item, state, text) for item, _, state, text in cells]


def test_every_item_of_level_1_is_listed_once() -> None:
    listed = []
    for item, _, _ in rows():
        first, _, last = item.partition(" to ")
        chapter, _, number = first.rpartition(".")
        end = int(last.rpartition(".")[2]) if last else int(number)
        listed += [f"{chapter}.{index}" for index in range(int(number), end + 1)]
    assert sorted(listed) == sorted(LEVEL_1)


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_a_tested_item_names_existing_tests_and_the_others_a_reason(row: tuple[str, str, str]) -> None:
    _, state, text = row
    assert state in ("tested", "n/a", "open")
    named = named_tests(text)
    assert bool(named) is (state == "tested")
    assert state == "tested" or text
    assert [name for name in named if not exists(*name)] == []


def test_the_linter_forbids_unsafe_functions() -> None:
    """`make lint` and so `make test` fail for exec, eval, pickle, weak hash functions and shells."""
    configuration = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["ruff"]["lint"]
    assert "S" in configuration["select"]
    ignored = set(configuration["ignore"]) | {
        rule
        for pattern, rules in configuration.get("per-file-ignores", {}).items()
        if not pattern.startswith("tests")
        for rule in rules
    }
    assert not ignored & {"S", "S102", "S301", "S307", "S324", "S602", "S605"}


def test_every_record_has_a_published_schema() -> None:
    assert {file.stem for file in (PROJECT_ROOT / "docs" / "schemas").glob("*.json")} >= set(RECORDS)


def test_the_limits_of_logins_are_documented() -> None:
    limits = (PROJECT_ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert f"after {MAX_FAILURES} failed logins" in limits
    assert WINDOW_SECONDS == 300
    assert "within five minutes" in limits


def test_the_rules_of_access_are_documented() -> None:
    parts = {line.split("|")[1].strip() for line in security_policy().splitlines() if line.startswith("| ")}
    assert {"Airflow, dashboard and REST API inside it", "REST API as a separate process", "Kafka broker"} <= parts


def test_times_to_fix_are_documented() -> None:
    assert re.search(r"\d+ days", security_policy().partition("## Dependencies")[2])


def test_images_contain_no_metadata_of_git() -> None:
    patterns = (PROJECT_ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert patterns[1] == "*"  # everything is excluded except for what follows
    assert not any("git" in pattern for pattern in patterns[2:])


def security_policy() -> str:
    return Path(PROJECT_ROOT / "SECURITY.md").read_text(encoding="utf-8")
