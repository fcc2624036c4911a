"""A full file system."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from tests.chaos.disk import fill, mounted


def test_a_filled_file_system_accepts_nothing_until_the_file_is_deleted(tmp_path: Path) -> None:
    with mounted(tmp_path / "small", 1) as is_mounted:
        if not is_mounted:
            pytest.skip("mounting needs root")
        filler, other = tmp_path / "small" / "fill", tmp_path / "small" / "other"
        assert 0 < fill(filler) <= 1 << 20
        with pytest.raises(OSError) as caught:  # noqa: PT011 (the number is checked)
            other.write_bytes(bytes(4096))
        assert caught.value.errno == errno.ENOSPC
        filler.unlink()
        other.write_bytes(bytes(4096))
    assert not (tmp_path / "small" / "other").exists()
