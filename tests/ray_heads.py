"""Ray for tests: a head process, or a local instance in the test process.

Ray gives up on a node whose start takes half a minute, which happens on a busy machine; the start is then repeated.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from tests.waiting import until
from weatherglass.launcher import ray_head
from weatherglass.launcher.credentials import Credentials
from weatherglass.settings import Settings

ATTEMPTS = 3
KILL_TIMEOUT_SECONDS = 120.0


@contextmanager
def ray_heads(settings: Settings, log: Path) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Yields a function that starts the Ray head of `settings` in its own session; started heads are ended on exit."""
    started: list[subprocess.Popen[bytes]] = []

    def attempt() -> subprocess.Popen[bytes]:
        ray_head.prepare(settings)
        environment = {**os.environ, **ray_head.client_environment(Credentials(settings))}
        program = ray_head.program(settings, Path(sys.executable).parent, environment)
        with log.open("wb") as out:
            process = subprocess.Popen(
                program.argv, env=program.environment, stdout=out, stderr=out, start_new_session=True
            )
        started.append(process)
        until("the Ray head", lambda: process.poll() is not None or b"Ray runtime started" in log.read_bytes())
        return process

    def start() -> subprocess.Popen[bytes]:
        for _ in range(ATTEMPTS):
            process = attempt()
            if process.poll() is None:
                return process
            end_group(process)
        raise AssertionError(log.read_text())

    try:
        yield start
    finally:
        for process in started:
            # Jobs of the head run in their own sessions.
            children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
            end_group(process)
            for child in children:
                with suppress(psutil.NoSuchProcess):
                    child.kill()
        ray_head.clean(settings)


def init_ray(folder: Path) -> None:
    """Start a local Ray for this process, with workers of the same priority as those of the launcher's head."""
    import ray

    os.environ |= ray_head.PRIORITY
    for number in range(ATTEMPTS):
        try:
            ray.init(
                "local",
                num_cpus=2,
                include_dashboard=False,
                _temp_dir=str(folder / str(number)),
                object_store_memory=100_000_000,
                log_to_driver=False,
            )
            return
        except Exception:  # Ray raises no narrower type here
            ray.shutdown()
            if number == ATTEMPTS - 1:
                raise


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process together with its session."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(KILL_TIMEOUT_SECONDS)
