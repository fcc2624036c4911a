"""The whole service: the watcher as a job, the actors on a real Ray head, a real broker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from stack.credentials import Credentials
from stack.ray_head import client_environment
from tests.ray_jobs.conftest import PATIENCE, Feed, end_group, predictions, until
from tests.ray_jobs.windows import START, leading
from weatherglass.jobs.folder import JobFolder
from weatherglass.settings import Settings

pytestmark = pytest.mark.integration

MINUTE = timedelta(minutes=1)
STATIONS = ("new-york", "boston", "miami", "chicago", "denver", "seattle")


@contextmanager
def watcher(settings: Settings, folder: JobFolder) -> Iterator[subprocess.Popen[bytes]]:
    environment = {
        **os.environ,
        **client_environment(Credentials(settings)),
        "WEATHERGLASS_STATE_DIR": str(settings.state_dir),
        "WEATHERGLASS_KAFKA_PORT": str(settings.kafka_port),
        "WEATHERGLASS_RAY_PORT": str(settings.ray_port),
        "WEATHERGLASS_INFERENCE_ACTORS": str(settings.inference_actors),
    }
    command = [sys.executable, "-m", "ray_jobs.serve_predictions", str(folder.path)]
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        yield process
    finally:
        end_group(process)


def pids(folder: JobFolder) -> list[int]:
    return (folder.last_progress() or {}).get("pids", [])


def answered(settings: Settings) -> list[tuple[str, int]]:
    """Station and minute of every prediction, as often as a careful consumer sees it."""
    made = predictions(settings.bootstrap_servers)
    return [(p.station_id, int((p.timestamp - START) / MINUTE)) for p in made]


def test_actors_outlive_their_watcher_and_their_own_death_and_are_drained_at_the_end(
    serving_settings: Settings, feed: Feed, ray_head: Callable[[], int], tmp_path: Path
) -> None:
    settings = serving_settings
    ray_head()
    first, second = JobFolder(tmp_path / "first"), JobFolder(tmp_path / "second")
    with watcher(settings, first) as process:
        until(lambda: pids(first), "serving")
        feed.send([leading(station, START) for station in STATIONS])
        until(lambda: len(answered(settings)) == len(STATIONS), "answered")

        # The watcher is killed: the actor answers on, and the next watcher finds it.
        actor = pids(first)
        process.kill()
        process.wait(PATIENCE)
        feed.send([leading(station, START + MINUTE) for station in STATIONS])
        until(lambda: len(answered(settings)) == 2 * len(STATIONS), "answered without a watcher")
    with watcher(settings, second) as process:
        until(lambda: pids(second), "attached")
        assert pids(second) == actor

        # The actor is killed again and again in mid-stream.
        last = 300
        feeding = threading.Thread(target=lambda: _feed_slowly(feed, 2, last))
        feeding.start()
        killed = set()
        for _ in range(3):
            until(lambda: set(pids(second)) - killed, "serving")
            seen = len(answered(settings))
            until(lambda seen=seen: len(answered(settings)) > seen + 20 or not feeding.is_alive(), "in mid-stream")
            for pid in set(pids(second)) - killed:
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
        feeding.join(PATIENCE)
        until(lambda: {(s, last) for s in STATIONS} <= set(answered(settings)), "the newest of each station answered")
        until(lambda: (second.last_progress() or {}).get("restarts"), "restarts reported")
        until(lambda: set(pids(second)) - killed, "serving again")

        done = answered(settings)
        assert len(set(done)) == len(done), "an answer came twice"

        # Asked to stop it drains the actors and ends well.
        actor = sorted(set(pids(second)) - killed)
        second.request_stop("the test")
        assert process.wait(PATIENCE) == 0
    assert second.outcome().ok, second.outcome()
    until(lambda: not any(psutil.pid_exists(pid) for pid in actor), "the actors have ended")
    assert answered(settings) == done


def _feed_slowly(feed: Feed, first: int, last: int) -> None:
    for minute in range(first, last + 1):
        feed.send([leading(station, START + minute * MINUTE, float(minute)) for station in STATIONS])
        threading.Event().wait(0.05)


def test_without_a_head_it_says_so_and_ends(serving_settings: Settings, tmp_path: Path) -> None:
    folder = JobFolder(tmp_path / "job")
    with watcher(serving_settings, folder) as process:
        assert process.wait(PATIENCE) != 0
    outcome = folder.outcome()
    assert not outcome.ok
    assert f"no Ray head at {serving_settings.ray_head}" in outcome.why
    assert "WEATHERGLASS_RAY_PORT" in outcome.why


def test_when_the_head_is_killed_the_watcher_says_so_and_no_actor_is_left(
    serving_settings: Settings, ray_head: Callable[[], int], tmp_path: Path
) -> None:
    folder = JobFolder(tmp_path / "job")
    head = ray_head()
    with watcher(serving_settings, folder) as process:
        until(lambda: pids(folder), "serving")
        actors = pids(folder)
        gcs = [p for p in psutil.Process(head).children(recursive=True) if "gcs_server" in p.name()]
        assert gcs
        os.kill(head, signal.SIGKILL)
        for server in gcs:
            server.kill()
        assert process.wait(PATIENCE) != 0
    assert not folder.outcome().ok
    assert "Ray" in folder.outcome().why
    until(lambda: not any(psutil.pid_exists(pid) for pid in actors), "the actors have ended")
