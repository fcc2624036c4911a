"""The whole pipeline as a user starts it, with its own folder and ports."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import psutil
import requests
from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient
from playwright.sync_api import Page, expect, sync_playwright

from producer.replay.data import load_data
from tests.waiting import LIMIT, until
from tests.weatherglass.api.browser import CHROMIUM, CHROMIUM_ARGUMENTS
from weatherglass.launcher.airflow_api import airflow_session
from weatherglass.settings import LOOPBACK, PROJECT_ROOT, Settings
from weatherglass.settings_errors import variable

START_LIMIT = 900.0
ASK_SECONDS = 0.5
"""Interval of polls that send requests to Airflow or start a program."""
STOP_LIMIT = 180.0


def replay_without_gaps(now: datetime) -> dict[str, float]:
    """Settings with which the replay reaches no hour without observations of a station during the test.

    All stations have such a gap in the night of 26 October 2013; their next prediction would come hours later. Empty if
    the present is far from a gap. Otherwise the replay starts days ago and is so slow that the longest run takes a day.
    """
    data = load_data(Settings())

    def is_complete(first: datetime, last: datetime) -> bool:
        hours = [first + number * timedelta(hours=1) for number in range((last - first) // timedelta(hours=1) + 2)]
        replayed = [data.calendar.data_time(hour) for hour in hours]
        return not any(np.isnan(data.values_at(n, hour)).all() for n in range(len(data.stations)) for hour in replayed)

    day = timedelta(days=1)
    now = now.replace(minute=0, second=0, microsecond=0)
    if is_complete(now - day, now + timedelta(hours=3)):
        return {}
    starts = [now - timedelta(hours=ago) for ago in range(24, 97, 6)]
    start = next(start for start in starts if is_complete(start, start + day))
    return {"replay_start_hours": (now - start) / timedelta(hours=1), "replay_speed": 16.0}


class RunningStack:
    """`make up`, and access as its user: the API, Airflow's REST API, the web UI and the topics."""

    def __init__(self, settings: Settings, folder: Path):
        self.settings = settings
        self.output = folder / "up.log"
        self.base = f"http://{LOOPBACK}:{settings.airflow_port}"
        self._process: subprocess.Popen[bytes] | None = None
        self._token = ""

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the user, with the variable of every setting that is not the default."""
        variables = {
            variable(name): str(getattr(self.settings, name))
            for name, field in type(self.settings).model_fields.items()
            if getattr(self.settings, name) != field.default
        }
        return {**os.environ, **variables}

    def up(self) -> None:
        """Start, and return when all components are healthy."""
        start = self.output.stat().st_size if self.output.exists() else 0
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-u", "-m", "weatherglass.launcher", "up"],
                cwd=PROJECT_ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

        def ready() -> bool:
            output = self.output.read_bytes()[start:].decode(errors="replace")
            assert self._process is not None
            assert self._process.poll() is None, f"`up` exited during the start:\n{output}"
            return f"{self.base}/plugin/weatherglass" in output  # the addresses are the last output of a start

        until("the end of the start", ready, START_LIMIT)
        until("all components to be healthy", self.is_healthy, interval=ASK_SECONDS)
        self._login()

    def interrupt(self) -> None:
        """Ctrl-C; returns when `up` has exited, and fails if a process is left."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        self._process.wait(STOP_LIMIT)
        left = self.processes()
        assert not left, f"left: {[' '.join(process.cmdline())[:120] for process in left]}"

    def is_healthy(self) -> bool:
        """Whether `make status` exits with 0; otherwise its output is printed, for the report of a failed test."""
        done = self._run("weatherglass", "status")
        if done.returncode:
            print(done.stdout, done.stderr)
        return done.returncode == 0

    def down(self) -> None:
        """`make down`."""
        self._run("weatherglass.launcher", "down")
        if self._process is not None and self._process.poll() is None:
            self._process.wait(STOP_LIMIT)

    def processes(self) -> list[psutil.Process]:
        """Every running process that was started with this state folder."""
        processes = []
        for process in psutil.process_iter():
            try:
                state = process.environ().get(variable("state_dir"))
                if state == str(self.settings.state_dir) and process.status() != psutil.STATUS_ZOMBIE:
                    processes.append(process)
            except psutil.Error:
                continue
        return [process for process in processes if process.pid != os.getpid()]

    def programs(self, command: str) -> list[psutil.Process]:
        """The processes whose command line contains the text."""
        processes = []
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                if command in " ".join(process.cmdline()):
                    processes.append(process)
        return processes

    @contextmanager
    def suspended(self, command: str) -> Iterator[None]:
        """Suspend the programs with this text in their command line, and the launcher, which would restart them."""
        assert self._process is not None
        processes = [psutil.Process(self._process.pid), *self.programs(command)]
        assert len(processes) > 1, f"no process of {command}"
        try:
            for process in processes:
                process.suspend()
            yield
        finally:
            for process in processes:
                with suppress(psutil.NoSuchProcess):
                    process.resume()

    def get(self, path: str) -> requests.Response:
        return requests.get(f"{self.base}{path}", headers={"Authorization": f"Bearer {self._token}"}, timeout=60)

    def api(self, path: str) -> Any:
        """Response of the Weatherglass API as JSON; None if the status is 404."""
        response = self.get(f"/weatherglass{path}")
        if response.status_code == 404:
            return None
        response.raise_for_status()
        return response.json()

    def stations(self) -> list[str]:
        """The station ids of the API."""
        return [item["station"]["station_id"] for item in self.api("/stations")["stations"]]

    def mark_failed(self, dag_id: str) -> None:
        """Mark the newest run failed, as the web UI does."""
        self._airflow("PATCH", self._newest_run(dag_id), {"state": "failed"})

    def clear(self, dag_id: str) -> None:
        """Clear the newest run, so that its tasks run again."""
        self._airflow("POST", f"{self._newest_run(dag_id)}/clear", {"dry_run": False})

    def _newest_run(self, dag_id: str) -> str:
        runs = self._airflow("GET", f"/dags/{dag_id}/dagRuns?order_by=-run_after&limit=1")["dag_runs"]
        return f"/dags/{dag_id}/dagRuns/{quote(runs[0]['dag_run_id'], safe='')}"

    def run_dag(self, dag_id: str, **parameters: object) -> dict[str, Any]:
        """Trigger a DAG as the web UI does, and wait for the run to end."""
        created = self._airflow("POST", f"/dags/{dag_id}/dagRuns", {"logical_date": None, "conf": parameters})
        run = f"/dags/{dag_id}/dagRuns/{quote(created['dag_run_id'], safe='')}"

        def ended() -> dict[str, Any] | None:
            state = self._airflow("GET", run)
            return state if state["state"] in ("success", "failed") else None

        return until(f"the end of the run of {dag_id}", ended, interval=ASK_SECONDS)

    def pause(self, dag_id: str, paused: bool) -> None:
        """Pause or unpause a DAG; after pausing, wait until none of its runs is running. Queued runs stay queued."""
        self._airflow("PATCH", f"/dags/{dag_id}", {"is_paused": paused})
        if paused:
            until(
                f"the end of the runs of {dag_id}",
                lambda: self._airflow("GET", f"/dags/{dag_id}/dagRuns?state=running")["total_entries"] == 0,
                interval=ASK_SECONDS,
            )

    def records(self, topic: str) -> list[Any]:
        """All committed records of a topic up to its current end."""
        consumer = KafkaConsumer(
            bootstrap_servers=self.settings.bootstrap_servers,
            isolation_level="read_committed",
            enable_auto_commit=False,
        )
        try:
            partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
            consumer.assign(partitions)
            consumer.seek_to_beginning(*partitions)
            ends = consumer.end_offsets(partitions)
            records = []
            while any(consumer.position(partition) < ends[partition] for partition in partitions):
                for batch in consumer.poll(1000).values():
                    records += batch
            return records
        finally:
            consumer.close()

    def lag(self, group: str, topic: str) -> int:
        """Records of the topic after the committed offsets of the group."""
        with _admin(self.settings) as admin:
            committed = admin.list_group_offsets({group: None})[group]
        consumer = KafkaConsumer(bootstrap_servers=self.settings.bootstrap_servers)
        try:
            partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
            ends = consumer.end_offsets(partitions)
        finally:
            consumer.close()
        return sum(ends[p] - (committed[p].offset if p in committed else 0) for p in partitions)

    @contextmanager
    def browsing(self) -> Iterator[Page]:
        """A browser page of a user who is logged in to Airflow."""
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS)
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            page.set_default_timeout(LIMIT * 1000)
            expect.set_options(timeout=LIMIT * 1000)
            page.goto(self.base)
            page.locator("input[name=username]").fill("admin")
            page.locator("input[name=password]").fill(self._password())
            page.locator("button[type=submit]").click()
            yield page
            browser.close()

    def _password(self) -> str:
        return json.loads((self.settings.secrets_dir / "airflow_passwords.json").read_text())["admin"]

    def _login(self) -> None:
        login = {"username": "admin", "password": self._password()}
        response = requests.post(f"{self.base}/auth/token", json=login, timeout=60)
        response.raise_for_status()
        self._token = response.json()["access_token"]

    def _airflow(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        response = airflow_session().request(
            method,
            f"{self.base}/api/v2{path}",
            json=body,
            headers={"Authorization": f"Bearer {self._token}"},
            timeout=60,
        )
        response.raise_for_status()
        return response.json()

    def _run(self, module: str, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", module, command],
            cwd=PROJECT_ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=STOP_LIMIT,
            check=False,
        )


@contextmanager
def _admin(settings: Settings) -> Iterator[KafkaAdminClient]:
    admin = KafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    try:
        yield admin
    finally:
        admin.close()
