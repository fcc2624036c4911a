"""The local Ray head: its command, its environment, and the folder of its sockets.

Ray listens on all interfaces for much of its traffic, regardless of its options, so every client must send a token
(`RAY_AUTH_MODE`). The node's own address stays on loopback: Ray replaces 127.0.0.1 by the machine's external address
(which changes when a laptop changes networks), but uses any other loopback address as given.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from pathlib import Path

from weatherglass.launcher.credentials import Credentials
from weatherglass.launcher.ports import FIRST_WORKER, RAY_RANGE, RAY_SERVICES
from weatherglass.launcher.processes import Program
from weatherglass.settings import LOOPBACK, Settings

OBJECT_STORE_BYTES = 100_000_000


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
        f"--dashboard-host={LOOPBACK}",
        f"--dashboard-port={settings.ray_dashboard_port}",
        *(f"--{name}={port}" for name, port in zip(names, services.values(), strict=False)),
        f"--min-worker-port={first + FIRST_WORKER}",
        f"--max-worker-port={first + RAY_RANGE - 1}",
        f"--temp-dir={sockets_folder(settings)}",
        "--log-color=false",
    ]
    own = {"DASHBOARD_METRIC_PORT": str(services["the metrics of Ray's dashboard"])}
    return Program("ray", argv, {**environment, **own})


def sockets_folder(settings: Settings) -> Path:
    """Ray's working folder. Not in the state folder, because the path of a socket has at most 107 bytes."""
    name = hashlib.sha256(str(settings.state_dir.resolve()).encode()).hexdigest()[:10]
    return Path("/tmp") / f"weatherglass-{os.getuid()}-{name}"  # noqa: S108  (its owner is checked below)


def prepare(settings: Settings) -> None:
    """Create an empty folder for the sockets that only this user can access.

    Raises:
        PermissionError: the folder belongs to another user.
    """
    folder = sockets_folder(settings)
    clean(settings)
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if status.st_uid != os.getuid() or not stat.S_ISDIR(status.st_mode):
        raise PermissionError(f"the folder for Ray's sockets, {folder}, belongs to another user; remove it")
    folder.chmod(0o700)


def clean(settings: Settings) -> None:
    """Remove the folder of a stopped head; the logs of its last session move to `<state>/logs/ray-session`."""
    folder = sockets_folder(settings)
    if folder.is_symlink() or not folder.exists() or folder.stat().st_uid != os.getuid():
        return
    logs = folder / "session_latest" / "logs"
    if logs.is_dir():
        kept = settings.state_dir / "logs" / "ray-session"
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(logs.resolve(), kept, symlinks=True, dirs_exist_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
