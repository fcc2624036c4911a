"""The folder in which Ray works: private, and usable whatever another user put there."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import make_settings
from tests.ray_heads import end_group
from tests.waiting import LIMIT
from weatherglass.launcher import ray_head
from weatherglass.settings import Settings

LONGEST_SOCKET = "session_2026-11-29_20-32-27_123456_4194304/sockets/plasma_store"
"""Process ids have at most seven digits."""


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    settings = make_settings(tmp_path / "state")
    ray_head.prepare(settings)
    yield settings
    ray_head.clean(settings)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_only_this_user_can_access_the_folder_even_if_ray_opens_it(settings: Settings) -> None:
    folder = ray_head.working_folder(settings)
    folder.mkdir()
    folder.chmod(0o777)  # as Ray does
    assert mode(folder.parent) == 0o700
    assert folder.parent.stat().st_uid == os.getuid()


def test_the_path_of_a_socket_is_short_enough(settings: Settings) -> None:
    file = ray_head.working_folder(settings) / LONGEST_SOCKET
    file.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(file))
    assert file.is_socket()


def test_the_next_start_uses_the_same_folder_emptied(settings: Settings) -> None:
    folder = ray_head.working_folder(settings)
    (folder / "session").mkdir(parents=True)
    ray_head.prepare(settings)
    assert ray_head.working_folder(settings) == folder
    assert not folder.exists()


@pytest.mark.parametrize("kind", ["pipe", "file", "link", "open folder"])
def test_a_name_that_is_taken_is_not_used(settings: Settings, tmp_path: Path, kind: str) -> None:
    taken = ray_head.working_folder(settings).parent
    taken.rmdir()
    match kind:
        case "pipe":
            os.mkfifo(taken)
        case "file":
            taken.write_text("")
        case "link":
            (tmp_path / "target").mkdir(mode=0o700)
            taken.symlink_to(tmp_path / "target")
        case "open folder":
            taken.mkdir()
            taken.chmod(0o777)
    try:
        ray_head.prepare(settings)
        parent = ray_head.working_folder(settings).parent
        assert parent != taken
        assert mode(parent) == 0o700
    finally:
        taken.rmdir() if kind == "open folder" else taken.unlink()


def test_logs_are_kept_although_a_named_pipe_is_among_them(settings: Settings) -> None:
    session = ray_head.working_folder(settings) / "session_1"
    (session / "logs" / "old").mkdir(parents=True)
    (session / "logs" / "gcs.out").write_text("started")
    (session.parent / "session_latest").symlink_to(session)
    os.mkfifo(session / "logs" / "old" / "pipe")
    (session / "logs" / "newest").symlink_to("removed.out")
    ray_head.clean(settings)
    kept = settings.state_dir / "logs" / "ray-session"
    assert (kept / "gcs.out").read_text() == "started"
    assert not (kept / "old" / "pipe").exists()
    assert (kept / "newest").readlink() == Path("removed.out")
    assert not session.exists()


def test_without_a_folder_there_is_nothing_to_clean(tmp_path: Path) -> None:
    ray_head.clean(make_settings(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_every_service_of_ray_has_its_port_of_the_range(settings: Settings, tmp_path: Path) -> None:
    started = ray_head.program(settings, tmp_path, {"A": "1"})
    options = dict(one.removeprefix("--").split("=", 1) for one in started.argv if "=" in one)
    first = settings.ray_worker_port_min
    names = ("node-manager", "object-manager", "dashboard-agent-listen", "dashboard-agent-grpc", "runtime-env-agent")
    assert [int(options[f"{name}-port"]) - first for name in (*names, "metrics-export", "ray-client-server")] == [
        *range(7)
    ]
    assert started.environment == {
        "A": "1",
        "DASHBOARD_METRIC_PORT": str(first + 7),
        **ray_head.START_LIMITS,
        **ray_head.PRIORITY,
    }
    assert (int(options["min-worker-port"]), int(options["max-worker-port"])) == (first + 10, first + 99)
    assert options["node-ip-address"] == settings.ray_head.rpartition(":")[0]
    assert (options["port"], options["num-cpus"]) == (str(settings.ray_port), str(settings.ray_cpus))
    assert options["temp-dir"] == str(ray_head.working_folder(settings))
    assert started.argv[:3] == [str(tmp_path / "ray"), "start", "--head"]


@pytest.mark.integration
def test_ray_exits_if_its_dashboard_does_not_start(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The launcher starts it again, while a Ray without a dashboard would never be ready."""
    for name in ray_head.START_LIMITS:
        monkeypatch.setitem(ray_head.START_LIMITS, name, "0")
    started = ray_head.program(settings, Path(sys.executable).parent, dict(os.environ))
    with subprocess.Popen(started.argv, env=started.environment, start_new_session=True) as process:
        try:
            assert process.wait(LIMIT) > 0
        finally:
            end_group(process)
