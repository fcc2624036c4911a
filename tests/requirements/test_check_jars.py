"""Downloaded jars are used only if they are exactly those of the lock."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from weatherglass.settings import PROJECT_ROOT

FILES = {"spark": {"a-1.0.jar": b"a", "b-2.0.jar": b"b"}, "spark-other": {"c-1.0.jar": b"c"}}


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A copy of the script, with a lock of its own and the jars of that lock."""
    lines = []
    for profile, files in FILES.items():
        folder = tmp_path / "jars" / profile
        folder.mkdir(parents=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)
            lines.append(f"{hashlib.sha256(content).hexdigest()}  {profile}/{name}\n")
    (tmp_path / "jars.lock").write_text("".join(lines))
    return Path(shutil.copy(PROJECT_ROOT / "requirements" / "check-jars.sh", tmp_path))


def check(script: Path, profile: str = "spark") -> int:
    command = ["sh", str(script), str(script.parent / "jars"), profile]
    return subprocess.run(command, check=False, capture_output=True, timeout=60).returncode


def test_the_jars_of_the_lock_are_accepted(script: Path) -> None:
    assert [check(script, profile) for profile in FILES] == [0, 0]


def test_a_changed_a_missing_and_an_additional_jar_are_refused(script: Path) -> None:
    jar = script.parent / "jars" / "spark" / "a-1.0.jar"
    jar.write_bytes(b"changed")
    assert check(script) == 1
    jar.unlink()
    assert check(script) == 1
    jar.write_bytes(b"a")
    assert check(script) == 0
    (jar.parent / "c-1.0.jar").write_bytes(b"c")  # its checksum is in the lock, but for another profile
    assert check(script) == 1


def test_a_profile_without_lock_is_refused(script: Path) -> None:
    (script.parent / "jars" / "unknown").mkdir()
    assert check(script, "unknown") == 1


def test_the_lock_contains_every_profile_and_no_other(script: Path) -> None:
    lock = (PROJECT_ROOT / "requirements" / "jars.lock").read_text().splitlines()
    profiles = {line.split("  ")[1].split("/")[0] for line in lock}
    assert profiles == {"kafka", "kafka-zookeeper", "spark"}
