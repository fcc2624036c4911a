"""The watcher of the inference service: a long-lived job that sees to it that the actors live. They do the work.

    python -m ray_jobs.serve_predictions <job folder>

The actors are detached: they outlive this process, and the next watcher finds them by name. Ray restarts an actor
whose process dies; the watcher restarts one that is silent, moves one to a node that has none while another has two,
and replaces all when the settings have changed. Asked to stop it drains them: each finishes its batch and commits, then
ends.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

# How long Ray's client code retries a head that is gone before it aborts the process; its default is a minute.
os.environ.setdefault("RAY_gcs_rpc_server_reconnect_timeout_s", "15")

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util import list_named_actors
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ray_jobs.inference.actor import InferenceActor
from ray_jobs.inference.placement import move
from weatherglass.formatting import counted, first_line
from weatherglass.jobs.job import Job, running
from weatherglass.net import refusal
from weatherglass.records import iso
from weatherglass.settings import PROJECT_ROOT, Settings, load_settings, variable

log = logging.getLogger(__name__)

NAMESPACE = "weatherglass"
NAME = "inference-"
CPUS = 0.2
"""What an actor books of Ray's CPUs: mostly it waits, and training must find a place beside it."""
LOOK_SECONDS = 2.0
HEALTH_SECONDS = 5.0
SILENT_SECONDS = 20.0
"""An actor whose loop shows no progress for this long is started anew."""
PATIENCE_SECONDS = 90.0
"""Actors that are not all healthy for this long end the job; it covers their start on a busy machine."""


STATES = ("ok", "degraded", "failing")
"""From good to bad."""


class RayUnhealthy(RuntimeError):
    """Ray or the actors do not answer; the message says what, and what to do."""


class ActorSupervisor:
    """Holds the actors of one set of settings."""

    def __init__(self, settings: Settings, job: Job):
        self.settings = settings
        self.job = job
        self.fingerprint = hashlib.sha256(settings.model_dump_json().encode()).hexdigest()[:12]
        self.actors: dict[str, Any] = {}
        self.pids: dict[str, int] = {}
        self.restarts = 0
        self._healthy_at = time.monotonic()
        self._before: dict[str, float] = {}
        self._conditions: dict[str, dict[str, dict[str, str]]] = {}

    def run(self) -> None:
        """Until the job is asked to stop.

        Raises:
            RayUnhealthy: the head is gone, or the actors do not get well.
        """
        self._probe()
        self._join()
        self._remove_others()
        self._ensure()
        while not self.job.wait(LOOK_SECONDS):
            self._look()
        if self.job.folder.stop_requested_by():
            self._drain(self.actors)

    def _probe(self) -> None:
        """`ray.init` on a dead head blocks for minutes, and a head that dies takes this process along wordless."""
        if why := refusal(self.settings.ray_head):
            raise RayUnhealthy(
                f"no Ray head at {self.settings.ray_head} ({why}): see whether it runs and read its log "
                f"(docs/troubleshooting.md, Logs), or set {variable('ray_port')} or {variable('ray_address')} to where "
                "it is"
            )

    def _join(self) -> None:
        head = self.settings.ray_head
        try:
            ray.init(address=head, namespace=NAMESPACE, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, RuntimeError) as error:
            raise RayUnhealthy(
                f"the Ray head at {head} does not take us in ({error}): is it another stack's, with another token "
                "than the one in RAY_AUTH_TOKEN_PATH, or still starting?"
            ) from error

    def _remove_others(self) -> None:
        """Drain actors that run with other settings, or are more than these settings want.

        All of them before the first new one starts, since the number of actors decides who owns which partition.
        """
        names = [name for name in list_named_actors() if name.startswith(NAME)]
        found = {name: ray.get_actor(name) for name in names}
        wanted = self._names()
        strange = {}
        for name, actor in found.items():
            health = self._health(actor)
            if name not in wanted or health is None or health["fingerprint"] != self.fingerprint:
                strange[name] = actor
        if strange:
            self._say(f"replacing {', '.join(sorted(strange))}: other settings, or no answer")
            self._drain(strange)

    def _ensure(self) -> None:
        for name in self._names():
            self.actors[name] = self._start(name, "SPREAD")

    def _start(self, name: str, where: Any) -> Any:
        """The actor of this name: the one there is, or a new one; `where` is Ray's scheduling strategy."""
        remote: Any = ray.remote(InferenceActor)
        return remote.options(
            name=name,
            lifetime="detached",
            get_if_exists=True,
            max_restarts=-1,
            num_cpus=CPUS,
            scheduling_strategy=where,
            max_concurrency=2,
            runtime_env={"env_vars": {"PYTHONPATH": str(PROJECT_ROOT), "OMP_NUM_THREADS": "1"}},
        ).remote(self.settings, int(name.removeprefix(NAME)), self.fingerprint)

    def _names(self) -> list[str]:
        return [f"{NAME}{shard}" for shard in range(self.settings.inference_actors)]

    def _look(self) -> None:
        self._probe()
        healths = {name: self._health(actor) for name, actor in self.actors.items()}
        for name, health in healths.items():
            if health is not None:
                self._note_pid(name, health["pid"])
                if health["idle"] > SILENT_SECONDS:
                    self._say(f"{name} is silent for {health['idle']:.0f} s ({health['phase']}); starting it anew")
                    ray.kill(self.actors[name], no_restart=False)
        well = [health for health in healths.values() if health and health["idle"] <= SILENT_SECONDS]
        serving = [health for health in well if health["phase"] == "serving"]
        changed = self._note_conditions(healths)
        if len(serving) == len(healths):
            self._healthy_at = time.monotonic()
            self._report(serving, changed)
            self._spread(healths)
            return
        waited = time.monotonic() - self._healthy_at
        missing = [name for name, health in healths.items() if health not in serving]
        phases = {health["phase"] for health in well} - {"serving"}
        words = f"waiting for {', '.join(missing)} ({', '.join(sorted(phases)) or 'no answer'}) for {waited:.0f} s"
        if waited > PATIENCE_SECONDS:
            raise RayUnhealthy(f"{words}; see the actors' logs in Ray's dashboard at {self.settings.ray_dashboard}")
        self._say(words)

    def _spread(self, healths: Mapping[str, dict[str, Any] | None]) -> None:
        """Move one actor, if one is in the wrong place; the next when all serve again."""
        places = {name: health["node"] for name, health in healths.items() if health}
        nodes = {node["NodeID"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")}
        if step := move(places, nodes):
            name, node = step
            self._say(f"{name} moves to a node of its own")
            self._drain({name: self.actors[name]})
            del self.pids[name]
            self._before = {}
            self.actors[name] = self._start(name, NodeAffinitySchedulingStrategy(node, soft=True))

    def _note_conditions(self, healths: dict[str, dict[str, Any] | None]) -> bool:
        """How each actor and each model stands (state, since, why); whether anything changed."""
        now, before = iso(datetime.now(UTC)), self._conditions
        actors = {}
        for name, health in healths.items():
            state, why = _condition(health, name in self.pids)
            known = before.get("actors", {}).get(name)
            same = known is not None and (known["state"], known["why"]) == (state, why)
            actors[name] = {"state": state, "since": known["since"] if known and same else now, "why": why}
        models: dict[str, dict[str, str]] = {}
        for name, new in (pair for health in healths.values() if health for pair in health["models"].items()):
            if name not in models or STATES.index(new["state"]) > STATES.index(models[name]["state"]):
                models[name] = new
        self._conditions = {"actors": actors, "models": models}
        return self._conditions != before

    def _say(self, words: str, **figures: Any) -> None:
        """A line of progress, with how everything stands."""
        self.job.report(words, **figures, **self._conditions)

    def _health(self, actor: Any) -> dict[str, Any] | None:
        try:
            health: dict[str, Any] = ray.get(actor.health.remote(), timeout=HEALTH_SECONDS)
            return health
        except (GetTimeoutError, RayError) as error:
            log.info("no answer from an actor: %s", first_line(error))
            return None

    def _note_pid(self, name: str, pid: int) -> None:
        if self.pids.get(name, pid) != pid:
            self.restarts += 1
            self._say(f"{name} was restarted: process {pid} instead of {self.pids[name]}")
            self._before = {}
        self.pids[name] = pid

    def _report(self, healths: list[dict[str, Any]], changed: bool) -> None:
        """A line when something was answered, or how the models stand has changed; else only a heartbeat."""
        names = ("records", "answers", "rejected", "hours", "batches")
        now = {name: sum(health[name] for health in healths) for name in names}
        new = {name: now[name] - self._before.get(name, now[name] if self._before else 0) for name in names}
        first, self._before = not self._before, now
        versions = ", ".join(sorted({health["forecaster"] for health in healths}))
        said = (
            f"{counted(new['answers'], 'answer')} to {counted(new['records'], 'record')} by model version {versions}"
            if new["records"]
            else f"serving with model version {versions}, nothing new"
        )
        slowest, lag = max(health["batch_ms"] for health in healths), sum(health["lag"] for health in healths)
        if new["records"] or first or changed:
            models = self._conditions["models"].items()
            unwell = "".join(f"; {name}: {one['why']}" for name, one in models if one["state"] != "ok")
            self._say(
                f"{said}{unwell}; last batch {slowest:.0f} ms, lag {lag}",
                **new,
                lag=lag,
                ms=round(slowest),
                model_version=versions,
                detector_version=healths[0]["detector"],
                pids=sorted(self.pids.values()),
                rss_mb=round(sum(health["rss_mb"] for health in healths)),
                restarts=self.restarts,
            )
        else:
            self.job.beat()

    def _drain(self, actors: dict[str, Any]) -> None:
        """Let them finish and commit their batch, then end them, and wait until they have ended."""
        asked: dict[str, Any] = {name: actor.drain.remote() for name, actor in actors.items()}
        for name, answer in asked.items():
            try:
                done = bool(ray.get(answer, timeout=16))
            except (GetTimeoutError, RayError):
                done = False
            self._say(f"{name} {'drained' if done else 'did not finish in time; its batch will be done again'}")
            ray.kill(actors[name])
        gone_by = time.monotonic() + 10
        while set(actors) & set(list_named_actors()) and time.monotonic() < gone_by:
            time.sleep(0.1)


def _condition(health: dict[str, Any] | None, seen: bool) -> tuple[str, str]:
    """An actor's state, and why; `seen`: it has answered before."""
    if health is None:
        return ("failing", "it does not answer") if seen else ("degraded", "it has not answered yet")
    if health["idle"] > SILENT_SECONDS:
        return "failing", "it makes no progress"
    if health["phase"] != "serving":
        return "degraded", f"it is {health['phase']}"
    return "ok", "it serves"


def main(folder: Path) -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    code = 1
    try:
        with running(folder) as job:
            ActorSupervisor(load_settings(), job).run()
        code = 0
    except Exception as error:
        log.error("%s", error, exc_info=not isinstance(error, RayUnhealthy))
    logging.shutdown()
    os._exit(code)  # Ray's own way out waits for a head that may be gone


if __name__ == "__main__":
    main(Path(sys.argv[1]))
