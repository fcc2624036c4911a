"""The threat model: every threat has a measure, and the tests that show it exist."""

from __future__ import annotations

import re

import pytest

from tests.docs.named_tests import exists, named_tests
from weatherglass.settings import PROJECT_ROOT

STRIDE = {"S", "T", "R", "I", "D", "E"}


def threats() -> list[list[str]]:
    """Kinds, attack, measure and tests of each threat."""
    model = (PROJECT_ROOT / "SECURITY.md").read_text(encoding="utf-8").partition("## Threat model")[2]
    lines = re.findall(r"^\| [STRIDE, ]+ \|.*$", model.partition("### Accepted")[0], re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.parametrize("threat", threats(), ids=lambda threat: threat[1])
def test_a_threat_has_a_measure_that_existing_tests_show(threat: list[str]) -> None:
    kinds, attack, measure, tests = threat
    assert set(kinds.split(", ")) <= STRIDE
    assert attack
    assert measure
    assert named_tests(tests)
    assert [name for name in named_tests(tests) if not exists(*name)] == []
