"""The command: what it refuses, and an error before the first measurement."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks.pipeline import __main__ as command
from benchmarks.pipeline.isolated import PipelineFailed
from weatherglass.files import exclusive_lock
from weatherglass.settings import Settings


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
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @contextmanager
    def failing(*_: object) -> Iterator[None]:
        raise PipelineFailed("ray.log")
        yield

    monkeypatch.setattr(command, "load_settings", lambda: Settings(state_dir=tmp_path))
    monkeypatch.setattr(command, "services", failing)
    monkeypatch.setattr(command.signal, "signal", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["benchmarks.pipeline"])
    assert command.main() == 1
    assert "ray.log" in capsys.readouterr().out


def test_a_second_benchmark_does_not_touch_the_services_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    used: list[object] = []
    monkeypatch.setattr(command, "load_settings", lambda: Settings(state_dir=tmp_path))
    monkeypatch.setattr(command, "services", lambda *arguments: used.append(arguments))
    monkeypatch.setattr(command.signal, "signal", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["benchmarks.pipeline"])
    with exclusive_lock(tmp_path / "benchmarks" / "command.lock"):
        assert command.main() == 1
    assert not used
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_a_closed_terminal_ends_the_benchmark_with_an_exception(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As SIGTERM does, so that everything is removed; but not with `nohup`, which ignores the signal."""
    handlers: dict[int, Any] = {}
    ignored = signal.SIGUSR1
    monkeypatch.setattr(command, "load_settings", lambda: Settings(state_dir=tmp_path))
    monkeypatch.setattr(command, "run", lambda *_: 0)
    monkeypatch.setattr(command.signal, "signal", handlers.__setitem__)
    monkeypatch.setattr(
        command.signal, "getsignal", lambda number: signal.SIG_IGN if number == ignored else signal.SIG_DFL
    )
    monkeypatch.setattr(sys, "argv", ["benchmarks.pipeline"])
    command.main()
    for number in (signal.SIGHUP, signal.SIGTERM):
        with pytest.raises(SystemExit) as raised:
            handlers[number](number, None)
        assert raised.value.code == 128 + number
    ignored = signal.SIGHUP
    handlers.clear()
    command.main()
    assert set(handlers) == {signal.SIGTERM}
