from __future__ import annotations

import io
import re
import sys

import pytest

from weatherglass.launcher import console
from weatherglass.launcher.console import Console


def test_a_step_has_the_seconds_since_the_start_and_further_lines_are_indented(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter([100.0, 112.34, 2112.34])
    monkeypatch.setattr(console.time, "monotonic", lambda: next(clock))
    output = Console()
    output.log("starting\nwith\ndetails")
    output.log("")
    output.write("text")
    assert capsys.readouterr().out.splitlines() == [
        "[  12.3 s] starting",
        "           with",
        "           details",
        "[2012.3 s] ",
        "text",
    ]


def test_text_is_flushed_at_once_and_a_closed_terminal_is_not_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BufferedWriter(written)))  # type: ignore[arg-type]
    Console().log("starting")
    assert re.search(rb"\] starting\n$", written.getvalue())
    sys.stdout.close()
    Console().log("stopping")
