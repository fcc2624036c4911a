"""Supervisor of the inference service: a long-lived job that keeps the actors alive. The actors do the work.

    python -m ray_jobs.serve_predictions <job folder>

The actors are detached: they continue when this process ends, and the next supervisor finds them by name. Ray restarts
an actor whose process exits. The supervisor restarts an actor that makes no progress, moves one from a node that has
two to a node without any, and replaces all of them when the settings have changed. When it is stopped it drains the
actors: each finishes and commits its batch, then exits.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sys
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

# How long Ray's client retries an unreachable head before it aborts the process; the default is one minute.
os.environ.setdefault("RAY_gcs_rpc_server_reconnect_timeout_s", "15")

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util import list_named_actors
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ray_jobs.inference.actor import InferenceActor
from ray_jobs.inference.placement import next_move
from weatherglass.consumer.client_metrics import BYTE_RATES
from weatherglass.formatting import count_noun, first_line
from weatherglass.jobs.job import Job, job_lifecycle
from weatherglass.net import connection_error
from weatherglass.records import iso
from weatherglass.settings import PROJECT_ROOT, Settings, load_settings
from weatherglass.settings_errors import variable
from weatherglass.waiting import wait_until

log = logging.getLogger(__name__)

NAMESPACE = "weatherglass"
NAME = "inference-"
CPUS = 0.2
"""CPUs that an actor reserves in Ray: it is idle most of the time, and training must fit on the same node."""
CHECK_SECONDS = 2.0
HEAD_POLL_SECONDS = 0.5
HEAD_SECONDS = 30.0
"""How long the start waits for the head, which may have just been started as well."""
HEALTH_TIMEOUT_SECONDS = 5.0
DRAIN_TIMEOUT_SECONDS = 16.0
"""Longer than `InferenceActor.drain` takes."""
STALLED_SECONDS = 20.0
"""An actor whose loop makes no progress for this long is restarted."""
UNHEALTHY_SECONDS = 90.0
"""The job fails when not all actors serve for this long."""
START_SECONDS = 240.0
"""The same while the actors that do not serve are starting: on a busy machine, that takes minutes."""

STATES = ("ok", "degraded", "failing")
"""From best to worst."""


class RayUnhealthy(RuntimeError):
    """Ray or the actors do not respond. The message names the cause and a remedy."""


def namespace(settings: Settings) -> str:
    """Ray's namespace of the actors of an installation."""
    return settings.topic_prefix + NAMESPACE


class ActorSupervisor:
    """Runs the actors for one set of settings."""

    def __init__(self, settings: Settings, job: Job):
        self.settings = settings
        self.job = job
        self.fingerprint = hashlib.sha256(settings.model_dump_json().encode()).hexdigest()[:12]
        self.actors: dict[str, Any] = {}
        self.pids: dict[str, int] = {}
        self._served: dict[str, int] = {}
        """Process id of each actor when it served last."""
        self.restarts = 0
        self._healthy_at = time.monotonic()
        self._counts: dict[str, float] = {}
        """Sums of the actors' counters at the last report; empty before the first one and after a restart."""
        self._states: dict[str, dict[str, dict[str, str]]] = {}
        """`actors` and `models` -> name -> state, since, reason."""

    def run(self) -> None:
        """Supervise until the job is stopped.

        Raises:
            RayUnhealthy: the head is unreachable, or the actors do not recover.
        """
        self._wait_for_head()
        self._remove_outdated()
        self._start_all()
        while not self.job.wait(CHECK_SECONDS):
            self._check()
        if self.job.folder.stop_requested_by():
            self._drain(self.actors)

    def _wait_for_head(self) -> None:
        """Connect to the head, and repeat that while it starts.

        After a restart of the head, the next start of this job would otherwise fail and be delayed.

        Raises:
            RayUnhealthy: the connection fails after `HEAD_SECONDS`, or a stop is requested meanwhile.
        """
        end, waiting = time.monotonic() + HEAD_SECONDS, False
        while True:
            try:
                self._probe()
                self._connect()
                return
            except RayUnhealthy as error:
                if not waiting:
                    self._report(f"waiting up to {HEAD_SECONDS:g} s: {error}")
                waiting = True
                if time.monotonic() > end or self.job.wait(HEAD_POLL_SECONDS):
                    raise

    def _probe(self) -> None:
        """Fail early: `ray.init` blocks for minutes without a head, and Ray aborts this process without a message."""
        if reason := connection_error(self.settings.ray_head):
            raise RayUnhealthy(
                f"no Ray head at {self.settings.ray_head} ({reason}): check that it is running and read its log "
                f"(docs/troubleshooting.md, Logs), or set {variable('ray_port')} or {variable('ray_address')} to its "
                "address"
            )

    def _connect(self) -> None:
        head = self.settings.ray_head
        try:
            ray.init(address=head, namespace=namespace(self.settings), log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, RuntimeError) as error:
            raise RayUnhealthy(
                f"the Ray head at {head} refuses the connection ({error}): it is still starting, or belongs to another "
                "installation whose token differs from the one in RAY_AUTH_TOKEN_PATH"
            ) from error

    def _remove_outdated(self) -> None:
        """Drain actors that run with other settings or exceed the configured number.

        All of them end before the first new one starts, because the number of actors decides which partitions each of
        them reads.
        """
        names = [name for name in list_named_actors() if name.startswith(NAME)]
        running = {name: ray.get_actor(name) for name in names}
        configured, healths = self._names(), self._wait_for_responses(running)
        outdated = {
            name: running[name]
            for name, health in healths.items()
            if name not in configured or health is None or health["fingerprint"] != self.fingerprint
        }
        if outdated:
            self._report(f"replacing {', '.join(sorted(outdated))}: other settings, or no response")
            self._drain(outdated)

    def _wait_for_responses(self, actors: Mapping[str, Any]) -> dict[str, dict[str, Any] | None]:
        """`_health` of each actor; None if it does not respond within `START_SECONDS`.

        Without the wait, each start of this job would end the actors that the previous one had started, and on a
        machine that is busy for long, none would ever serve.
        """
        healths = {name: self._health(name, actor) for name, actor in actors.items()}
        end = time.monotonic() + START_SECONDS
        while missing := sorted(name for name, health in healths.items() if health is None):
            if time.monotonic() > end or self.job.wait(CHECK_SECONDS):
                break
            self._report(f"waiting up to {START_SECONDS:g} s for the first response of {', '.join(missing)}")
            healths |= {name: self._health(name, actors[name]) for name in missing}
        return healths

    def _start_all(self) -> None:
        for name in self._names():
            self.actors[name] = self._start(name, "SPREAD")

    def _start(self, name: str, scheduling_strategy: Any) -> Any:
        """The running actor of this name, or a new one."""
        remote: Any = ray.remote(InferenceActor)
        return remote.options(
            name=name,
            lifetime="detached",
            get_if_exists=True,
            max_restarts=-1,
            num_cpus=CPUS,
            scheduling_strategy=scheduling_strategy,
            max_concurrency=2,
            runtime_env={"env_vars": {"PYTHONPATH": str(PROJECT_ROOT), "OMP_NUM_THREADS": "1"}},
        ).remote(self.settings, int(name.removeprefix(NAME)), self.fingerprint)

    def _names(self) -> list[str]:
        return [f"{NAME}{shard}" for shard in range(self.settings.inference_actors)]

    def _check(self) -> None:
        """Query every actor, restart those that make no progress, and report.

        Raises:
            RayUnhealthy: not all actors have been serving for `UNHEALTHY_SECONDS`, or `START_SECONDS`.
        """
        self._probe()
        healths = {name: self._health(name, actor) for name, actor in self.actors.items()}
        for name, health in healths.items():
            if health is not None:
                self._update_pid(name, health["pid"])
                if health["idle"] > STALLED_SECONDS:
                    self._report(f"restarting {name}: no progress for {health['idle']:.0f} s ({health['phase']})")
                    ray.kill(self.actors[name], no_restart=False)
        responsive = [health for health in healths.values() if health and health["idle"] <= STALLED_SECONDS]
        serving = [health for health in responsive if health["phase"] == "serving"]
        self._served |= {name: health["pid"] for name, health in healths.items() if health in serving}
        changed = self._update_states(healths)
        if len(serving) == len(healths):
            self._healthy_at = time.monotonic()
            self._report_counts(serving, changed)
            self._spread(healths)
            return
        waited = time.monotonic() - self._healthy_at
        missing = [name for name, health in healths.items() if health not in serving]
        phases = {health["phase"] for health in responsive} - {"serving"}
        line = f"waiting {waited:.0f} s for {', '.join(missing)} ({', '.join(sorted(phases)) or 'no response'})"
        is_starting = not any(name in self._served and self._served[name] == self.pids.get(name) for name in missing)
        if waited > (START_SECONDS if is_starting else UNHEALTHY_SECONDS):
            self._end_unresponsive(name for name in missing if healths[name] is None)
            raise RayUnhealthy(f"{line}; see the actor logs in Ray's dashboard at {self.settings.ray_dashboard}")
        self._report(line)

    def _end_unresponsive(self, names: Iterable[str]) -> None:
        """End actors that have served and do not respond any more: the next start would wait for them."""
        for name in names:
            if name in self.pids:
                self._report(f"ending {name}, which does not respond")
                ray.kill(self.actors[name])

    def _spread(self, healths: Mapping[str, dict[str, Any] | None]) -> None:
        """Move one actor if nodes are unevenly used; the next move follows when all actors serve again."""
        node_of = {name: health["node"] for name, health in healths.items() if health}
        nodes = {node["NodeID"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")}
        if move := next_move(node_of, nodes):
            name, node = move
            self._report(f"moving {name} to a node without an actor")
            self._drain({name: self.actors[name]})
            del self.pids[name]
            self._counts = {}
            self.actors[name] = self._start(name, NodeAffinitySchedulingStrategy(node, soft=True))

    def _update_states(self, healths: dict[str, dict[str, Any] | None]) -> bool:
        """Update the states of actors and models; True if any changed. A model has its worst state on any actor."""
        now, previous = iso(datetime.now(UTC)), self._states
        actors = {}
        for name, health in healths.items():
            state, reason = _actor_state(health, name in self.pids)
            before = previous.get("actors", {}).get(name)
            unchanged = before is not None and (before["state"], before["reason"]) == (state, reason)
            since = before["since"] if before and unchanged else now
            actors[name] = {"state": state, "since": since, "reason": reason}
        models: dict[str, dict[str, str]] = {}
        for name, model in (item for health in healths.values() if health for item in health["models"].items()):
            if name not in models or STATES.index(model["state"]) > STATES.index(models[name]["state"]):
                models[name] = model
        self._states = {"actors": actors, "models": models}
        return self._states != previous

    def _report(self, line: str, **figures: Any) -> None:
        """Report progress together with the states of actors and models."""
        self.job.report(line, **figures, **self._states)

    def _health(self, name: str, actor: Any) -> dict[str, Any] | None:
        """`InferenceActor.health`; None if the actor does not respond."""
        try:
            health: dict[str, Any] = ray.get(actor.health.remote(), timeout=HEALTH_TIMEOUT_SECONDS)
            return health
        except GetTimeoutError:
            log.info("%s does not respond within %g s", name, HEALTH_TIMEOUT_SECONDS)
        except RayError as error:
            self._served.pop(name, None)  # its process has ended: the next one is starting
            log.info("%s does not respond: %s", name, first_line(error))
        return None

    def _update_pid(self, name: str, pid: int) -> None:
        if self.pids.get(name, pid) != pid:
            self.restarts += 1
            self._report(f"{name} was restarted: process {pid} replaces {self.pids[name]}")
            self._counts = {}
        self.pids[name] = pid

    def _report_counts(self, healths: list[dict[str, Any]], changed: bool) -> None:
        """Report if records were processed or a state changed; otherwise only send a heartbeat."""
        names = ("records", "predictions", "rejected", "hours", "batches")
        counts = {name: sum(health[name] for health in healths) for name in names}
        new = {name: counts[name] - self._counts.get(name, counts[name] if self._counts else 0) for name in names}
        first, self._counts = not self._counts, counts
        versions = ", ".join(sorted({health["forecaster"] for health in healths}))
        line = (
            f"{count_noun(new['predictions'], 'prediction')} for {count_noun(new['records'], 'record')} by model "
            f"version {versions}"
            if new["records"]
            else f"serving with model version {versions}, no new records"
        )
        slowest, lag = max(health["batch_ms"] for health in healths), sum(health["lag"] for health in healths)
        if any(new.values()) or first or changed:
            models = self._states["models"].items()
            problems = "".join(f"; {name}: {model['reason']}" for name, model in models if model["state"] != "ok")
            self._report(
                f"{line}{problems}; last batch {slowest:.0f} ms, lag {lag}",
                **new,
                lag=lag,
                ms=round(slowest),
                model_version=versions,
                detector_version=healths[0]["detector"],
                pids=sorted(self.pids.values()),
                rss_mb=round(sum(health["rss_mb"] for health in healths)),
                restarts=self.restarts,
                kafka_bytes_per_second={
                    direction: round(sum(health["kafka_bytes_per_second"][direction] for health in healths), 1)
                    for direction in BYTE_RATES
                },
            )
        else:
            self.job.heartbeat()

    def _drain(self, actors: dict[str, Any]) -> None:
        """Let actors finish and commit their batch, end them, and wait until they have ended."""
        requests: dict[str, Any] = {name: actor.drain.remote() for name, actor in actors.items()}
        for name, request in requests.items():
            try:
                drained = bool(ray.get(request, timeout=DRAIN_TIMEOUT_SECONDS))
            except (GetTimeoutError, RayError):
                drained = False
            self._report(f"{name} {'drained' if drained else 'not drained in time; its batch will be repeated'}")
            ray.kill(actors[name])
        wait_until(lambda: not set(actors) & set(list_named_actors()), 10)


def _actor_state(health: dict[str, Any] | None, responded_before: bool) -> tuple[str, str]:
    """State of an actor and the reason."""
    if health is None:
        return ("failing", "does not respond") if responded_before else ("degraded", "has not responded yet")
    if health["idle"] > STALLED_SECONDS:
        return "failing", "makes no progress"
    if health["phase"] != "serving":
        return "degraded", str(health["phase"])
    return "ok", "serving"


def main(folder: Path) -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    code = 1
    try:
        with job_lifecycle(folder) as job:
            ActorSupervisor(load_settings(), job).run()
        code = 0
    except Exception as error:
        log.error("%s", error, exc_info=not isinstance(error, RayUnhealthy))
    logging.shutdown()
    os._exit(code)  # a regular exit waits for a Ray head that may be unreachable


if __name__ == "__main__":
    main(Path(sys.argv[1]))
