"""The command: what it refuses, and an error before the first measurement."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from benchmarks.pipeline import __main__ as command
from benchmarks.pipeline.isolated import PipelineFailed


@pytest.mark.parametrize(
    "arguments",
    [["soke"], ["--stations", "0"], ["--workers", "5"], ["--rate", "nan"], ["--minutes", "0"], ["--warm-up", "-1"]],
)
def test_impossible_arguments_are_refused(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks.pipeline", *arguments])
    with pytest.raises(SystemExit) as error:
        command.main()
    assert error.value.code == 2


def test_services_that_do_not_start_are_a_line_of_the_log(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @contextmanager
    def failing(*_: object) -> Iterator[None]:
        raise PipelineFailed("ray.log")
        yield

    monkeypatch.setattr(command, "services", failing)
    monkeypatch.setattr(command.signal, "signal", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["benchmarks.pipeline"])
    assert command.main() == 1
    assert "ray.log" in capsys.readouterr().out
