"""The Ray actor around the loop. Its process lives and dies with the loop, so that Ray restarts what has failed.

The watcher imports this module for the class alone, so what the actor works with is imported where it is used: the
watcher is 190 MB smaller for it.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable

import psutil
import ray

from weatherglass.settings import Settings

log = logging.getLogger(__name__)

REFRESH_SECONDS = 3.0
"""How soon a new champion is noticed; it serves when it has been loaded and tried."""
DRAIN_SECONDS = 15.0


class InferenceActor:
    """One shard of the service. Made by `ray_jobs.serve_predictions`, which calls `health` and `drain`."""

    def __init__(self, settings: Settings, shard: int, fingerprint: str):
        logging.basicConfig(
            level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr, force=True
        )
        logging.getLogger("kafka").setLevel(logging.WARNING)
        from ray_jobs.inference.model_manager import ModelManager
        from ray_jobs.inference.service import InferenceService
        from weatherglass.history.prepared import station_lookup
        from weatherglass.registry.registry import Registry

        self._fingerprint = fingerprint
        self._stopping = threading.Event()
        self._champions = ModelManager(Registry(settings), f"inference-{shard}")
        self._service = InferenceService(settings, shard, self._champions, station_lookup(settings))
        self._loop = threading.Thread(
            target=_or_die, args=(lambda: self._service.run(self._stopping),), name="loop", daemon=True
        )
        self._loop.start()
        threading.Thread(target=_or_die, args=(self._follow_registry,), name="registry", daemon=True).start()

    def health(self) -> dict[str, object]:
        """`InferenceService.health` with the process id, memory in MB, Ray node and fingerprint of the settings."""
        process = {"pid": os.getpid(), "rss_mb": psutil.Process().memory_info().rss / 1e6}
        node = ray.get_runtime_context().get_node_id()
        return {**self._service.health(), **process, "node": node, "fingerprint": self._fingerprint}

    def drain(self) -> bool:
        """Finish the batch in hand, commit it and read no further; whether that was done in time."""
        self._stopping.set()
        self._loop.join(DRAIN_SECONDS)
        return not self._loop.is_alive()

    def _follow_registry(self) -> None:
        while not self._stopping.is_set():
            self._champions.wake.wait(REFRESH_SECONDS)
            if self._service.figures.phase == "serving":
                self._champions.refresh(self._service.canary)
            else:
                self._stopping.wait(REFRESH_SECONDS)


def _or_die(work: Callable[[], None]) -> None:
    """An exception in a thread ends the whole process: an actor whose loop has died looks healthy otherwise."""
    try:
        work()
    except BaseException:
        log.exception("the %s ended; so does this process, and Ray starts another", threading.current_thread().name)
        logging.shutdown()
        os._exit(1)
