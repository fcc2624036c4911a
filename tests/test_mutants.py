"""Probes in the code of a module."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.mutants import with_probes

SOURCE = """LIMIT = 1

def sign(number):
    if number > 0:
        return 1
    elif number < -LIMIT:
        return (
            -1
        )
    return 0
"""


def test_probes_name_the_executed_lines_and_the_test_file(tmp_path: Path) -> None:
    """Line 1 is executed outside of functions, line 5 not at all; line 8 belongs to the statement that begins in 7."""
    namespace: dict[str, Any] = {}
    exec(with_probes(SOURCE, {1, 4, 5, 6, 8, 10}, tmp_path), namespace)
    assert [namespace["sign"](number) for number in (-3, -2)] == [-1, -1]
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        f"{line} tests:test_mutants.py" for line in (1, 4, 6, 8)
    ]
    assert namespace["sign"](0) == 0
    assert (tmp_path / "10 tests:test_mutants.py").exists()
