"""Runs the app in an HTTP server for tests."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import uvicorn
from fastapi import FastAPI

from tests.conftest import free_ports
from weatherglass.settings import LOOPBACK, Settings
from weatherglass.settings_errors import variable

START_SECONDS = STOP_SECONDS = 120


@contextmanager
def serving(app: FastAPI, port: int | None = None, http: type[asyncio.Protocol] | str = "auto") -> Iterator[str]:
    """Serve an app in a thread, with a protocol class of uvicorn; yields its address."""
    port = port or free_ports(1)[0]
    server = uvicorn.Server(uvicorn.Config(app, host=LOOPBACK, port=port, log_level="warning", http=http))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    end = time.monotonic() + START_SECONDS
    while not server.started:
        assert thread.is_alive(), "the server exited during startup"
        assert time.monotonic() < end, f"the server did not start in {START_SECONDS} s"
        time.sleep(0.05)
    try:
        yield f"http://{LOOPBACK}:{port}"
    finally:
        server.should_exit = True
        thread.join(STOP_SECONDS)
        assert not thread.is_alive(), "the server did not stop"


@contextmanager
def standalone_api(settings: Settings) -> Iterator[str]:
    """Run `python -m weatherglass.api`; yields its address. SIGTERM stops it even if event streams are open."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("WEATHERGLASS_")}
    configured = {variable(name): str(getattr(settings, name)) for name in ("state_dir", "api_port")}
    process = subprocess.Popen([sys.executable, "-m", "weatherglass.api"], env={**inherited, **configured})
    address = f"http://{LOOPBACK}:{settings.api_port}"
    try:
        end = time.monotonic() + START_SECONDS
        while True:
            assert process.poll() is None, "the API exited during startup"
            assert time.monotonic() < end, f"the API did not start in {START_SECONDS} s"
            try:
                httpx.get(f"{address}/stations", timeout=START_SECONDS)
                break
            except httpx.TransportError:
                time.sleep(0.2)
        yield address
        process.terminate()
        process.wait(STOP_SECONDS)
    finally:
        process.kill()
        process.wait()
