"""`make up`: starts everything in order, runs the pipeline, watches its children, and stops all of it at the end.

What brings pandas or SQLAlchemy along is imported where it is used, while the servers start: it takes seconds.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from importlib.metadata import version
from pathlib import Path

import requests

from weatherglass.launcher import airflow, environment, ports, ray_head, stopping
from weatherglass.launcher.airflow_api import AirflowApi
from weatherglass.launcher.console import Console
from weatherglass.launcher.credentials import USER, Credentials
from weatherglass.launcher.errors import StartError
from weatherglass.launcher.kafka import Broker, BrokerError, tail
from weatherglass.launcher.processes import Children, ProcessRecords, Program, members
from weatherglass.net import answers
from weatherglass.settings import LOOPBACK, Settings, Source

RESTARTS = 5
RESTARTS_WITHIN = 600.0
"""Seconds; a child that ended more often than `RESTARTS` times within them is left alone."""
TICK = 0.5


class Stopped(Exception):
    """Somebody asked the stack to stop."""


def up(settings: Settings, show_status: Callable[[Settings], int]) -> int:
    """Run the stack in the foreground until it is stopped. The exit status: 0, or 1 if it could not be started."""
    os.umask(0o077)
    progress = Console()
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    lock = os.open(settings.state_dir / "stack.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        progress.plain(f"Weatherglass runs already in {settings.state_dir}; `make down` stops it.\n")
        show_status(settings)
        return 0
    launcher = Launcher(settings, progress)
    launcher.listen()
    records = ProcessRecords(settings)
    records.write(stopping.LAUNCHER, os.getpid())
    try:
        launcher.run()
    except Stopped:
        failed = False
    except (StartError, BrokerError, OSError, requests.RequestException) as error:
        progress.say(f"Weatherglass cannot go on: {error}")
        failed = True
    finally:
        clean = stopping.stop_everything(settings, progress.say)
        records.forget(stopping.LAUNCHER)
    progress.say("Weatherglass is down" if clean else "some processes could not be ended; `make status` lists them")
    os.close(lock)
    return 1 if failed else 0


class Launcher:
    """The life of one `make up`."""

    def __init__(self, settings: Settings, progress: Console):
        self.settings = settings
        self.say = progress.say
        self.plain = progress.plain
        self.bin = Path(sys.executable).parent
        self.children = Children(settings)
        self._ending = threading.Event()
        self._programs: dict[str, Program] = {}
        self._deaths: dict[str, deque[float]] = {}

    def listen(self) -> None:
        """From now on INT (Ctrl-C), TERM and HUP (the terminal is gone) stop the stack in good order."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: self._end())

    def _end(self) -> None:
        if self._ending.is_set():
            self.say("stopping already; this takes up to 45 s")
        self._ending.set()

    def run(self) -> None:
        """Start, show, watch.

        Raises:
            Stopped: the normal end.
            StartError: something needed is not there or does not start.
        """
        settings = self.settings
        if leftovers := members(settings):
            self.say(f"an earlier start left {len(leftovers)} processes behind; ending them")
            stopping.stop_everything(settings, self.say)
        if taken := ports.problems(settings):
            raise StartError("\n".join(taken))
        credentials = Credentials(settings)
        source = self._start_servers(credentials)
        api = AirflowApi(airflow.url(settings), credentials.password)
        self._wait(lambda: api.healthy() is None, 180, lambda: f"Airflow: {api.healthy()}", needs=airflow.PROCESSES)
        self.say(f"Airflow is up: {airflow.url(settings)}")
        from weatherglass.launcher.pipeline import PipelineStart

        green = PipelineStart(settings, source, api, self.say, self._wait).run()
        self._welcome(credentials, green)
        while True:
            self.tick()

    # --- starting

    def _start_servers(self, credentials: Credentials) -> Source:
        """Start everything that can be started at once, and wait for each where another needs it."""
        settings = self.settings
        chosen: list[tuple[Source, str]] = []

        def ask() -> None:
            from producer import sources

            chosen.append(sources.choose(settings))

        asking = threading.Thread(target=ask, name="choose-source", daemon=True)
        if not settings.kafka_bootstrap:
            self.say("starting the Kafka broker")
            broker = Broker(settings)
            broker.prepare()
            self.start(Program("kafka", broker.command, broker.environment))
        asking.start()
        from weatherglass.store.migrate import migrate

        migrate(settings.store_url)
        asking.join()
        if not chosen:
            raise StartError("the source of observations could not be chosen; the error is above")
        source, words = chosen[0]
        self.say(words)
        self.check()
        common = environment.common(settings, self.bin, credentials, source)
        if not settings.ray_address:
            self.say("starting the Ray head")
            ray_head.prepare(settings)
            self.start(ray_head.program(settings, self.bin, common))
        python = str(self.bin / "python")
        if source is Source.REPLAY:
            self.start(Program("replay", [python, "-m", "producer.replay"], common))
        self.start(Program("job-host", [python, "-m", "weatherglass.jobs.host"], common))
        self._start_airflow(airflow.environment(settings, credentials, common))
        if not settings.kafka_bootstrap:
            broker.wait(self._broker_lives, self.children.log("kafka"))
        self.say(f"Kafka is up on {settings.bootstrap_servers}")
        if source is Source.REPLAY:
            self._wait_for_port("replay", LOOPBACK, settings.replay_port, "the replay server")
        if not settings.ray_address:
            self._wait_for_port("ray", LOOPBACK, settings.ray_dashboard_port, "Ray's dashboard")
            self.say(f"Ray is up on {settings.ray_head}")
        return source

    def _broker_lives(self) -> bool:
        self.check()
        return self.children.alive("kafka")

    def _start_airflow(self, environment: dict[str, str]) -> None:
        """Bring Airflow's tables up to date where that is needed (it takes ten seconds), then its four processes."""
        done = airflow.home(self.settings) / "migrated"
        wanted = version("apache-airflow")
        if not done.exists() or done.read_text(encoding="utf-8") != wanted:
            self.say("making Airflow's tables")
            program = airflow.migration(self.bin, environment)
            self.children.start(program)
            while self.children.alive(program.name):
                self.check()
                time.sleep(0.1)
            if not self.children.succeeded(program.name):
                log = self.children.log(program.name)
                raise StartError(f"Airflow's tables could not be made; the end of {log}:\n{tail(log)}")
            done.write_text(wanted, encoding="utf-8")
        self.say("starting Airflow")
        for program in airflow.programs(self.bin, environment):
            self.start(program)

    def start(self, program: Program) -> None:
        """Start a program that is to run as long as the stack."""
        self.check()
        self._programs[program.name] = program
        self.children.start(program)

    def _wait_for_port(self, name: str, host: str, port: int, what: str) -> None:
        self._wait(lambda: answers(f"{host}:{port}"), 90, lambda: f"{what} on {host}:{port}", needs=(name,))

    # --- watching

    def check(self) -> None:
        """Raise Stopped once the end was asked for."""
        if self._ending.is_set():
            raise Stopped

    def tick(self) -> None:
        """Half a second of the stack's life: heeds signals, replaces what died."""
        self._ending.wait(TICK)
        self.check()
        for name in [name for name in self._programs if not self.children.alive(name)]:
            self._replace(self._programs[name])

    def _replace(self, program: Program) -> None:
        deaths = self._deaths.setdefault(program.name, deque(maxlen=RESTARTS + 1))
        now = time.monotonic()
        deaths.append(now)
        how = f"{program.name} {self.children.ended(program.name)}"
        log = self.children.log(program.name)
        if len(deaths) > RESTARTS and now - deaths[0] < RESTARTS_WITHIN:
            del self._programs[program.name]
            self.say(f"{how}, for the {len(deaths)}th time in {now - deaths[0]:.0f} s: left alone; see {log}")
            return
        self.say(f"{how}; starting it again (its log: {log})")
        self.children.end_session(program.name)
        if program.name == "ray":
            ray_head.prepare(self.settings)
        self.children.start(program)

    def _wait(
        self, done: Callable[[], bool], seconds: float, what: Callable[[], str], needs: Collection[str] = ()
    ) -> None:
        """Wait until something is there, while the stack lives on.

        Raises:
            TimeoutError: it did not come in time; `what` names it.
            StartError: one of the processes it `needs` was given up.
        """
        end = time.monotonic() + seconds
        while not self._answered(done):
            self.tick()
            if lost := [name for name in needs if name not in self._programs]:
                log = self.children.log(lost[0])
                raise StartError(f"{lost[0]} does not start; the end of {log}:\n{tail(log)}")
            if time.monotonic() > end:
                raise TimeoutError(f"not there after {seconds:.0f} s: {what()}")

    @staticmethod
    def _answered(done: Callable[[], bool]) -> bool:
        """Whether it is done; an Airflow that is just being started again is asked again."""
        try:
            return done()
        except (requests.ConnectionError, requests.Timeout):
            return False

    # --- telling

    def _welcome(self, credentials: Credentials, green: bool) -> None:
        from weatherglass.launcher.latest_forecast import in_words

        settings = self.settings
        base = airflow.url(settings)
        self.say("Weatherglass is up" if green else "Weatherglass is started, though not everything is green")
        self.plain(f"""
  Airflow      {base}   login: {USER} / {credentials.password}
  Dashboard    {base}/plugin/weatherglass
  API          {base}/weatherglass/docs
  Ray          {settings.ray_dashboard}   token: in {credentials.ray_token_file}
  Spark        http://{LOOPBACK}:{settings.spark_ui_port}
  Logs         {self.children.logs}

  {in_words(settings) or "No prediction yet; the first follows the first new observation."}

  `make status` shows how it goes. Ctrl-C here, or `make down` from elsewhere, stops everything.
""")
