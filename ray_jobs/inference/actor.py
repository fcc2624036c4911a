"""The Ray actor that runs the inference loop. Its process ends when the loop fails, so that Ray restarts the actor.

The supervisor imports this module only for the class. The dependencies of the actor are therefore imported where they
are used, which saves 190 MB in the supervisor.
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
"""Interval between queries of the registry for a new champion."""
DRAIN_SECONDS = 15.0


class InferenceActor:
    """One shard of inference. Started by `ray_jobs.serve_predictions`, which calls `health` and `drain`.

    Args:
        fingerprint: hash of the settings, by which the supervisor recognizes actors with other settings.
    """

    def __init__(self, settings: Settings, shard: int, fingerprint: str):
        logging.basicConfig(
            level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr, force=True
        )
        logging.getLogger("kafka").setLevel(logging.WARNING)
        from ray_jobs.inference.inference_loop import InferenceLoop
        from ray_jobs.inference.model_manager import ModelManager
        from weatherglass.history.prepared import station_lookup
        from weatherglass.registry.registry import Registry

        self._fingerprint = fingerprint
        self._stopping = threading.Event()
        self._models = ModelManager(Registry(settings), f"inference-{shard}")
        self._service = InferenceLoop(settings, shard, self._models, station_lookup(settings))
        self._loop = threading.Thread(
            target=_exit_on_error, args=(lambda: self._service.run(self._stopping),), name="loop", daemon=True
        )
        self._loop.start()
        threading.Thread(target=_exit_on_error, args=(self._follow_registry,), name="registry", daemon=True).start()

    def health(self) -> dict[str, object]:
        """`InferenceLoop.health` plus process id, memory in MB, Ray node and fingerprint of the settings."""
        process = {"pid": os.getpid(), "rss_mb": psutil.Process().memory_info().rss / 1e6}
        node = ray.get_runtime_context().get_node_id()
        return {**self._service.health(), **process, "node": node, "fingerprint": self._fingerprint}

    def drain(self) -> bool:
        """Finish and commit the current batch, then stop reading; False if that takes longer than `DRAIN_SECONDS`."""
        self._stopping.set()
        self._loop.join(DRAIN_SECONDS)
        return not self._loop.is_alive()

    def _follow_registry(self) -> None:
        while not self._stopping.is_set():
            self._models.wake.wait(REFRESH_SECONDS)
            if self._service.statistics.phase == "serving":
                self._models.refresh(self._service.canary)
            else:
                self._stopping.wait(REFRESH_SECONDS)


def _exit_on_error(run: Callable[[], None]) -> None:
    """Run, and end the process on an exception: an actor whose loop has failed would otherwise appear healthy."""
    try:
        run()
    except BaseException:
        log.exception("thread %s failed; ending this process so that Ray restarts it", threading.current_thread().name)
        logging.shutdown()
        os._exit(1)
