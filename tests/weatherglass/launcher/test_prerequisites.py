"""The check of the prerequisites, with a PATH on which only what a test puts there is installed."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from weatherglass.settings import PROJECT_ROOT

SCRIPT = PROJECT_ROOT / "weatherglass" / "launcher" / "prerequisites.sh"
TOOLS = ("sh", "sed", "head", "find", "dirname", "chmod", "cat")
JAVA = """echo 'openjdk version "21.0.1" 2023-10-17' >&2"""


class Machine:
    """A folder as PATH, and an empty checkout."""

    def __init__(self, folder: Path):
        self.checkout = folder / "checkout"
        (self.checkout / "spark_jobs/java/src/main").mkdir(parents=True)
        self.path = folder / "bin"
        self.path.mkdir()
        self.apt_calls = folder / "apt-calls"
        for tool in TOOLS:
            (self.path / tool).symlink_to(shutil.which(tool) or tool)

    def install(self, name: str, script: str = "") -> None:
        program = self.path / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    def install_apt(self, user: int, exit_status: int = 0) -> None:
        """`apt-get install` writes its arguments to `apt_calls` and installs Java, javac and Maven."""
        self.install("id", f"echo {user}")
        programs = "\n".join(
            f"printf '#!/bin/sh\\n%s\\n' {shlex.quote(JAVA)} > {self.path}/{name}; chmod +x {self.path}/{name}"
            for name in ("java", "javac", "mvn")
        )
        self.install(
            "apt-get", f'echo "$@" >> {self.apt_calls}\nif [ "$1" = install ]; then\n{programs}\nfi\nexit {exit_status}'
        )

    def check(self, python: str = sys.executable, assume_yes: str = "") -> subprocess.CompletedProcess[str]:
        environment = {"PATH": str(self.path), "PYTHON": python, "ASSUME_YES": assume_yes, "HOME": os.devnull}
        return subprocess.run(
            ["sh", SCRIPT], cwd=self.checkout, env=environment, capture_output=True, text=True, check=False
        )

    def calls(self) -> list[list[str]]:
        return [line.split() for line in self.apt_calls.read_text().splitlines()] if self.apt_calls.exists() else []


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def packages(output: str) -> set[str]:
    """The packages of the only command in the output."""
    (command,) = [line for line in output.splitlines() if "apt-get install" in line]
    arguments = shlex.split(command)
    return set(arguments[arguments.index("install") + 1 :]) - {"--yes"}


@pytest.mark.parametrize(
    ("python", "programs", "expected"),
    [
        ("", (), {"python3", "python3-venv", "default-jdk-headless", "maven"}),
        (sys.executable, (), {"default-jdk-headless", "maven"}),
        (sys.executable, ("java", "javac"), {"maven"}),
        (sys.executable, ("java", "mvn"), {"default-jdk-headless"}),
    ],
)
def test_one_command_installs_all_missing_packages_once(
    machine: Machine, python: str, programs: tuple[str, ...], expected: set[str]
) -> None:
    machine.install_apt(user=1000)
    for program in programs:
        machine.install(program, JAVA)
    done = machine.check(python)
    assert done.returncode == 1
    assert packages(done.stderr) == expected
    assert machine.calls() == []


def test_nothing_is_printed_if_nothing_is_missing(machine: Machine) -> None:
    for program in ("java", "javac", "mvn"):
        machine.install(program, JAVA)
    done = machine.check()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_an_old_java_is_missing(machine: Machine) -> None:
    machine.install_apt(user=1000)
    for program in ("java", "javac", "mvn"):
        machine.install(program, JAVA.replace("21.0.1", "11.0.2"))
    assert packages(machine.check().stderr) == {"default-jdk-headless"}


@pytest.mark.parametrize(("status", "jdk"), [(0, "openjdk-17-jdk-headless"), (100, "default-jdk-headless")])
def test_java_17_is_installed_where_the_release_has_it(machine: Machine, status: int, jdk: str) -> None:
    machine.install_apt(user=1000)
    machine.install("apt-cache", f"exit {status}")
    assert packages(machine.check().stderr) == {jdk, "maven"}


def test_assume_yes_installs_as_root_and_checks_again(machine: Machine) -> None:
    machine.install_apt(user=0)
    assert machine.check(assume_yes="1").returncode == 0
    update, install = machine.calls()
    assert update == ["update"]
    assert install == ["install", "--yes", "default-jdk-headless", "maven"]


@pytest.mark.parametrize(("user", "exit_status"), [(1000, 0), (0, 100)])
def test_assume_yes_fails_without_root_and_if_the_installation_fails(
    machine: Machine, user: int, exit_status: int
) -> None:
    machine.install_apt(user, exit_status)
    assert machine.check(assume_yes="1").returncode == 1
    assert machine.calls() == ([["update"]] if user == 0 else [])
