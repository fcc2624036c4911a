"""The local Ray head: its command, its environment, and its working folder.

Ray listens on all interfaces for much of its traffic, regardless of its options, so every client must send a token
(`RAY_AUTH_MODE`). The node's own address stays on loopback: Ray replaces 127.0.0.1 by the machine's external address
(which changes when a laptop changes networks), but uses any other loopback address as given.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from weatherglass.launcher.credentials import Credentials
from weatherglass.launcher.ports import FIRST_WORKER, RAY_RANGE, RAY_SERVICES
from weatherglass.launcher.processes import Program
from weatherglass.settings import LOOPBACK, Settings

OBJECT_STORE_BYTES = 100_000_000
START_LIMITS = dict.fromkeys(
    ("RAY_DASHBOARD_STARTUP_TIMEOUT_S", "RAY_DASHBOARD_SUBPROCESS_MODULE_WAIT_READY_TIMEOUT"), "240"
)
"""Seconds that Ray waits for its dashboard and for each of the dashboard's processes. With the defaults, 60 and 30, it
gives the dashboard up on a busy machine."""
PRIORITY = {"RAY_worker_niceness": "0"}
"""The default is the lowest priority, with which the inference service makes no progress on a busy machine. Trainings
lower their own priority."""


def client_environment(credentials: Credentials) -> dict[str, str]:
    """The environment variables of a client of the head."""
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(credentials.ray_token_file),
        "RAY_USAGE_STATS_ENABLED": "0",
    }


def program(settings: Settings, bin_folder: Path, environment: dict[str, str]) -> Program:
    first = settings.ray_worker_port_min
    host = settings.ray_head.rpartition(":")[0]
    services = dict(zip(RAY_SERVICES, range(first, first + len(RAY_SERVICES)), strict=True))
    names = (
        "node-manager-port",
        "object-manager-port",
        "dashboard-agent-listen-port",
        "dashboard-agent-grpc-port",
        "runtime-env-agent-port",
        "metrics-export-port",
        "ray-client-server-port",  # not used, but Ray always starts it
    )
    argv = [
        str(bin_folder / "ray"),
        "start",
        "--head",
        "--block",
        "--no-monitor",
        "--disable-usage-stats",
        "--include-log-monitor=false",
        f"--node-ip-address={host}",
        f"--port={settings.ray_port}",
        f"--num-cpus={settings.ray_cpus}",
        f"--object-store-memory={OBJECT_STORE_BYTES}",
        "--include-dashboard=true",  # otherwise Ray continues without a dashboard that failed, and is not restarted
        f"--dashboard-host={LOOPBACK}",
        f"--dashboard-port={settings.ray_dashboard_port}",
        *(f"--{name}={port}" for name, port in zip(names, services.values(), strict=False)),
        f"--min-worker-port={first + FIRST_WORKER}",
        f"--max-worker-port={first + RAY_RANGE - 1}",
        f"--temp-dir={working_folder(settings)}",
        "--log-color=false",
    ]
    own = {"DASHBOARD_METRIC_PORT": str(services["the metrics of Ray's dashboard"])}
    return Program("ray", argv, {**environment, **START_LIMITS, **PRIORITY, **own})


def working_folder(settings: Settings) -> Path:
    """Ray's working folder, in a private parent folder: Ray makes the folder itself accessible to all users.

    It is not in the state folder, because the path of a socket has at most 107 bytes. `<state>/ray` links to its
    parent, whose name is random: another user cannot create it before.

    Raises:
        FileNotFoundError: `prepare` was not called.
    """
    return _link(settings).readlink() / "ray"


def prepare(settings: Settings) -> None:
    """Create an empty parent folder of the working folder, with mode 0700."""
    link = _link(settings)
    clean(settings)
    if link.is_symlink() and _create_private(link.readlink()):
        return
    link.unlink(missing_ok=True)
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(tempfile.mkdtemp(prefix="weatherglass-", dir="/tmp"))


def clean(settings: Settings) -> None:
    """Remove the folder of a stopped head; the logs of its last session move to `<state>/logs/ray-session`."""
    link = _link(settings)
    if not link.is_symlink() or not _is_private(link.readlink()):
        return
    logs = link.readlink() / "ray" / "session_latest" / "logs"
    if logs.is_dir():
        kept = settings.state_dir / "logs" / "ray-session"
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(logs.resolve(), kept, symlinks=True, dirs_exist_ok=True, ignore=_special_files)
    shutil.rmtree(link.readlink(), ignore_errors=True)


def _link(settings: Settings) -> Path:
    return settings.state_dir / "ray"


def _create_private(folder: Path) -> bool:
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    return _is_private(folder)


def _is_private(folder: Path) -> bool:
    """Whether this is a folder of this user that no other user can access."""
    try:
        status = folder.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not stat.S_IMODE(status.st_mode) & 0o077


def _special_files(folder: str, names: list[str]) -> list[str]:
    """The names that cannot be copied as files: reading a named pipe would wait for its writer."""
    kinds = {name: stat.S_IFMT((Path(folder) / name).lstat().st_mode) for name in names}
    return [name for name, kind in kinds.items() if kind not in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK)]
