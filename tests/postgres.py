"""A PostgreSQL server of the tests' own, on a free port in a temporary folder."""

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
"""The server refuses to run as root, and runs as this user of Debian's package then."""


class PostgresServer:
    """Whoever comes over loopback is let in: it holds nothing, and lives as long as a test."""

    def __init__(self, folder: Path, programs: Path, port: int, user: str | None):
        self._data, self._programs, self._port, self._user = folder / "data", programs, port, user
        self._started = False

    def make(self) -> None:
        self._run("initdb", "--username=weatherglass", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C")

    def start(self) -> None:
        self._started = True
        options = f"-c listen_addresses={LOOPBACK} -p {self._port} -c unix_socket_directories='' -c fsync=off"
        self._run("pg_ctl", "--wait", "--timeout=120", f"--log={self._data / 'server.log'}", f"-o {options}", "start")

    def stop(self) -> None:
        """At once, as a crash would."""
        self._run("pg_ctl", "--wait", "--mode=immediate", "stop")
        self._started = False

    def end(self) -> None:
        """Stop it if it was started, however far that went."""
        if self._started:
            self.stop()

    def create(self, database: str) -> str:
        """An empty database; its URL."""
        with psycopg.connect(f"{self._address}/postgres", autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
        return f"{self._address.replace('postgresql', 'postgresql+psycopg')}/{database}"

    @property
    def _address(self) -> str:
        return f"postgresql://weatherglass@{LOOPBACK}:{self._port}"

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), f"--pgdata={self._data}", *arguments]
        # The server keeps the outputs it is born with: a pipe would never end.
        done = subprocess.run(
            command, user=self._user, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{program} ended with {done.returncode}")


def programs() -> Path | None:
    """The folder of the server's programs: that on the path, or the newest of Debian's."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda file: int(file.parts[-3]))
    return versions[-1].parent if versions else None


@contextmanager
def postgres(port: int) -> Iterator[PostgresServer]:
    """A running server; the test is skipped, saying so, where PostgreSQL is not installed."""
    found = programs()
    if found is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    user = OWNER if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="weatherglass-postgres-"))
    try:
        if user:
            os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
        server = PostgresServer(folder, found, port, user)
        server.make()
        try:
            server.start()
            yield server
        finally:
            server.end()
    finally:
        shutil.rmtree(folder)
