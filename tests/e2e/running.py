"""The whole stack as a user starts it, in a folder and on ports of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from functools import partial
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
from tests import waiting
from tests.weatherglass.api.browser import CHROMIUM_ARGUMENTS, CHROMIUM
from weatherglass.launcher.airflow_api import session
from weatherglass.settings import LOOPBACK, PROJECT_ROOT, Settings, variable

START_LIMIT = 900.0
STOP_LIMIT = 180.0
until = partial(waiting.until, pause=0.5)  # a look starts a program or asks Airflow


def replay_without_a_gap(now: datetime) -> dict[str, float]:
    """Settings with which the replay meets no hour in which a station is silent, as all were in the night of
    26 October 2013: who waits for its prediction would wait for hours.

    Empty where the present is far from such hours; else the replay begins days ago, and so slow that it takes the
    longest run to get through a day.
    """
    data = load_data(Settings())

    def whole(first: datetime, last: datetime) -> bool:
        hours = [first + number * timedelta(hours=1) for number in range((last - first) // timedelta(hours=1) + 2)]
        shown = [data.calendar.earlier(hour) for hour in hours]
        return not any(np.isnan(data.at(n, hour)).all() for n in range(len(data.stations)) for hour in shown)

    day = timedelta(days=1)
    now = now.replace(minute=0, second=0, microsecond=0)
    if whole(now - day, now + timedelta(hours=3)):
        return {}
    starts = [now - timedelta(hours=ago) for ago in range(24, 97, 6)]
    start = next(start for start in starts if whole(start, start + day))
    return {"replay_start_hours": (now - start) / timedelta(hours=1), "replay_speed": 16.0}


class RunningStack:
    """`make up` and what a user then does: the API and Airflow's REST API with the login, and a look at the topics."""

    def __init__(self, settings: Settings, folder: Path):
        self.settings = settings
        self.output = folder / "up.log"
        self.base = f"http://{LOOPBACK}:{settings.airflow_port}"
        self._process: subprocess.Popen[bytes] | None = None
        self._token = ""

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the user: every setting that is not the default, by its variable."""
        chosen = {
            variable(name): str(getattr(self.settings, name))
            for name, field in type(self.settings).model_fields.items()
            if getattr(self.settings, name) != field.default
        }
        return {**os.environ, **chosen}

    def up(self) -> None:
        """Start, and return when everything is green."""
        mark = self.output.stat().st_size if self.output.exists() else 0
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
            said = self.output.read_bytes()[mark:].decode(errors="replace")
            assert self._process is not None
            assert self._process.poll() is None, f"`up` ended while starting:\n{said}"
            assert "not everything is green" not in said, f"`up` gave up waiting:\n{said}"
            return "Weatherglass is up" in said

        until("the stack to be up", ready, START_LIMIT)
        self._login()

    def interrupt(self) -> None:
        """Ctrl-C; returns when `up` has ended, and fails if it leaves anything behind."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        self._process.wait(STOP_LIMIT)
        left = self.processes()
        assert not left, f"left behind: {[' '.join(process.cmdline())[:120] for process in left]}"

    def is_green(self) -> bool:
        """By `make status`; what it says otherwise is printed, for who waits for it in vain."""
        done = self._stack("status")
        if done.returncode:
            print(done.stdout, done.stderr)
        return done.returncode == 0

    def down(self) -> None:
        """`make down`, and as the last resort every process of this stack by its id."""
        self._stack("down")
        if self._process is not None and self._process.poll() is None:
            self._process.wait(STOP_LIMIT)

    def processes(self) -> list[psutil.Process]:
        """Every live process that was started with this stack's state folder."""
        found = []
        for process in psutil.process_iter():
            try:
                state = process.environ().get(variable("state_dir"))
                if state == str(self.settings.state_dir) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return [process for process in found if process.pid != os.getpid()]

    def programs(self, words: str) -> list[psutil.Process]:
        """Those of `processes` whose command line holds the words."""
        found = []
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                if words in " ".join(process.cmdline()):
                    found.append(process)
        return found

    @contextmanager
    def held(self, words: str) -> Iterator[None]:
        """Hold the programs with these words, and the launcher, which would replace what is lost."""
        assert self._process is not None
        held = [psutil.Process(self._process.pid), *self.programs(words)]
        assert len(held) > 1, f"no process of {words}"
        try:
            for process in held:
                process.suspend()
            yield
        finally:
            for process in held:
                with suppress(psutil.NoSuchProcess):
                    process.resume()

    def get(self, path: str) -> requests.Response:
        return requests.get(f"{self.base}{path}", headers={"Authorization": f"Bearer {self._token}"}, timeout=60)

    def api(self, path: str) -> Any:
        """A path of the Weatherglass API, as JSON; None while it answers 404."""
        answer = self.get(f"/weatherglass{path}")
        if answer.status_code == 404:
            return None
        answer.raise_for_status()
        return answer.json()

    def stations(self) -> list[str]:
        """The stations that the API knows."""
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
        answer = self._airflow("POST", f"/dags/{dag_id}/dagRuns", {"logical_date": None, "conf": parameters})
        run = f"/dags/{dag_id}/dagRuns/{quote(answer['dag_run_id'], safe='')}"

        def ended() -> dict[str, Any] | None:
            state = self._airflow("GET", run)
            return state if state["state"] in ("success", "failed") else None

        return until(f"the run of {dag_id} to end", ended)

    def pause(self, dag_id: str, paused: bool) -> None:
        """Pause a DAG; when pausing, wait until no run of it is under way. One that is queued stays so until later."""
        self._airflow("PATCH", f"/dags/{dag_id}", {"is_paused": paused})
        if paused:
            until(
                f"the runs of {dag_id} to end",
                lambda: self._airflow("GET", f"/dags/{dag_id}/dagRuns?state=running")["total_entries"] == 0,
            )

    def records(self, topic: str) -> list[Any]:
        """All records of a topic up to its present end, as committed."""
        consumer = KafkaConsumer(
            bootstrap_servers=self.settings.bootstrap_servers,
            isolation_level="read_committed",
            enable_auto_commit=False,
        )
        try:
            parts = [TopicPartition(topic, part) for part in consumer.partitions_for_topic(topic)]
            consumer.assign(parts)
            consumer.seek_to_beginning(*parts)
            ends = consumer.end_offsets(parts)
            found = []
            while any(consumer.position(part) < ends[part] for part in parts):
                for batch in consumer.poll(1000).values():
                    found += batch
            return found
        finally:
            consumer.close()

    def lag(self, group: str, topic: str) -> int:
        """Records of the topic that the group has not yet committed."""
        with _admin(self.settings) as admin:
            committed = admin.list_group_offsets({group: None})[group]
        consumer = KafkaConsumer(bootstrap_servers=self.settings.bootstrap_servers)
        try:
            parts = [TopicPartition(topic, part) for part in consumer.partitions_for_topic(topic)]
            ends = consumer.end_offsets(parts)
        finally:
            consumer.close()
        return sum(ends[part] - (committed[part].offset if part in committed else 0) for part in parts)

    @contextmanager
    def browsing(self) -> Iterator[Page]:
        """A browser whose user is logged in to Airflow."""
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS)
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            page.set_default_timeout(waiting.LIMIT * 1000)
            expect.set_options(timeout=waiting.LIMIT * 1000)
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
        answer = requests.post(f"{self.base}/auth/token", json=login, timeout=60)
        answer.raise_for_status()
        self._token = answer.json()["access_token"]

    def _airflow(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        answer = session().request(
            method,
            f"{self.base}/api/v2{path}",
            json=body,
            headers={"Authorization": f"Bearer {self._token}"},
            timeout=60,
        )
        answer.raise_for_status()
        return answer.json()

    def _stack(self, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "weatherglass" if command == "status" else "weatherglass.launcher", command],
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
