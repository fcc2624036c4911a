"""A PostgreSQL server for tests, on a free port in a temporary folder."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from weatherglass.settings import LOOPBACK

OWNER = "postgres"
"""The server refuses to run as root; in that case it runs as this user of the Debian package."""


class PostgresServer:
    """A server that accepts connections over loopback without a password, for the duration of a test session."""

    def __init__(self, folder: Path, programs: Path, port: int, user: str | None):
        self._data, self._programs, self._port, self._user = folder / "data", programs, port, user
        self._started = False

    def init(self) -> None:
        self._run("initdb", "--username=weatherglass", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C")

    def start(self) -> None:
        self._started = True
        options = f"-c listen_addresses={LOOPBACK} -p {self._port} -c unix_socket_directories='' -c fsync=off"
        self._run("pg_ctl", "--wait", "--timeout=120", f"--log={self._data / 'server.log'}", f"-o {options}", "start")

    def stop(self) -> None:
        """Stop immediately, like a crash."""
        self._run("pg_ctl", "--wait", "--mode=immediate", "stop")
        self._started = False

    def close(self) -> None:
        """Stop the server if it was started, even if the start failed."""
        if self._started:
            self.stop()

    def create_database(self, database: str) -> str:
        """Create an empty database and return its URL."""
        with psycopg.connect(f"{self._address}/postgres", autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
        return f"{self._address.replace('postgresql', 'postgresql+psycopg')}/{database}"

    @property
    def _address(self) -> str:
        return f"postgresql://weatherglass@{LOOPBACK}:{self._port}"

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), f"--pgdata={self._data}", *arguments]
        # The server inherits stdout and stderr; a pipe would never be closed.
        completed = subprocess.run(
            command, user=self._user, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False
        )
        if completed.returncode:
            raise RuntimeError(f"{program} exited with code {completed.returncode}")


def programs() -> Path | None:
    """The folder of the server programs: from the PATH, or the newest version of the Debian package."""
    if initdb := shutil.which("initdb"):
        return Path(initdb).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda file: int(file.parts[-3]))
    return versions[-1].parent if versions else None


@contextmanager
def postgres(port: int) -> Iterator[PostgresServer]:
    """Run a server; skip the test if PostgreSQL is not installed."""
    program_folder = programs()
    if program_folder is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    user = OWNER if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="weatherglass-postgres-"))
    try:
        if user:
            os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
        server = PostgresServer(folder, program_folder, port, user)
        server.init()
        try:
            server.start()
            yield server
        finally:
            server.close()
    finally:
        shutil.rmtree(folder)
