from __future__ import annotations

from pathlib import Path

import pytest

from weatherglass.cli.check_series import CLEAN, FLAGGED, UNUSABLE, check


def test_the_command_tells_by_its_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(tmp_path / "none.csv", 0.1, False, False) == UNUSABLE
    assert "does not exist" in capsys.readouterr().err
    lines = [f"2023-05-01T{hour:02d}:00:00Z,{10 + hour / 10}" for hour in range(5)]
    path = tmp_path / "s.csv"
    path.write_text("\n".join(["time,temperature", *lines]))
    assert check(path, 0.1, False, False) == CLEAN
    path.write_text("\n".join(["time,temperature", *lines, "2023-05-01T05:00:00Z,99"]))
    assert check(path, 0.1, False, False) == FLAGGED
    said = capsys.readouterr().out
    assert "99.0 °C is outside" in said
    assert "not checked, which is not the same as good" in said
