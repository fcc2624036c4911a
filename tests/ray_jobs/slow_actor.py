"""The supervisor of inference, with an actor whose start takes until the file `continue` is in the state folder.

python -m tests.ray_jobs.slow_actor JOB_FOLDER
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import ray

from ray_jobs import serve_predictions
from weatherglass.settings import Settings

COUNTERS = ("records", "predictions", "rejected", "hours", "batches", "batch_ms", "lag", "rss_mb", "idle")


class SlowActor:
    """Adds its process id as a line to the file `started`, and serves nothing."""

    def __init__(self, settings: Settings, _: int, fingerprint: str):
        self._fingerprint = fingerprint
        with (settings.state_dir / "started").open("a") as file:
            file.write(f"{os.getpid()}\n")
        while not (settings.state_dir / "continue").exists():
            time.sleep(0.1)

    def health(self) -> dict[str, Any]:
        versions = {"forecaster": "1", "detector": "1", "models": {}, "phase": "serving"}
        process = {"pid": os.getpid(), "node": ray.get_runtime_context().get_node_id()}
        traffic = {"kafka_bytes_per_second": {"received": 0.0, "sent": 0.0}}
        return {**dict.fromkeys(COUNTERS, 0), **versions, **process, **traffic, "fingerprint": self._fingerprint}

    def drain(self) -> bool:
        return True


if __name__ == "__main__":
    serve_predictions.InferenceActor = SlowActor  # type: ignore[assignment, misc]
    serve_predictions.HEALTH_TIMEOUT_SECONDS = 0.5
    serve_predictions.main(Path(sys.argv[1]))
