"""Runs the features job as in production: with spark-submit, in its own process group."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from spark_jobs.batches import last_batch
from spark_jobs.spark_conf import environment as spark_environment
from spark_jobs.spark_conf import stream_conf, submit_command
from weatherglass.jobs.folder import JobFolder
from weatherglass.settings import PROJECT_ROOT, Settings
from weatherglass.settings_errors import variable

TIMEOUT_SECONDS = 480.0
"""Generous, for a busy machine; on an idle one Spark starts in ten seconds."""


class JobFailed(RuntimeError):
    """The job ended early, or did not do something in time; the message contains the end of its log."""


class FeaturesDriver:
    """Starts and ends one features job.

    Attributes:
        script: the application; another one is a benchmark of another plan.
        arguments: those before the job folder.
        conf: the configuration of Spark; by default that of the job.
    """

    def __init__(self, settings: Settings, folder: Path):
        self.settings, self.folder = settings, JobFolder(folder)
        self.script, self.arguments = PROJECT_ROOT / "spark_jobs" / "stream_features.py", list[str]()
        self.conf = stream_conf(settings)
        folder.mkdir(parents=True, exist_ok=True)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def checkpoint(self) -> Path:
        return self.folder.path / "checkpoint"

    def run(self) -> int:
        """Start the job, wait until it ends by itself, and return its exit code."""
        return self.start().wait(TIMEOUT_SECONDS)

    def start(self) -> subprocess.Popen[bytes]:
        for file in (self.folder.stop, self.folder.exit):
            file.unlink(missing_ok=True)
        explicit = self.settings.model_dump(include=set(self.settings.model_fields_set), mode="json")
        environment = {variable(name): str(value) for name, value in explicit.items()}
        environment |= spark_environment(self.settings) | {
            "PYSPARK_PYTHON": sys.executable,
            "PYTHONPATH": str(PROJECT_ROOT),
        }
        with self.folder.log.open("ab") as log:
            self.process = subprocess.Popen(
                submit_command(self.conf, self.script, *self.arguments, str(self.folder.path)),
                env={**os.environ, **environment},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self.process

    def kill(self) -> None:
        """End all processes of the job with SIGKILL, as a power cut would."""
        if self.process and self.is_running():
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def wait_for(self, what: str, condition: Callable[[], Any]) -> Any:
        """The first true value of the condition.

        Raises:
            JobFailed: the job ends before that, or after `TIMEOUT_SECONDS`.
        """
        end = time.monotonic() + TIMEOUT_SECONDS
        while not (value := condition()):
            if not self.is_running():
                raise JobFailed(f"ended before {what}: {self.folder.outcome()}\n{self.log_tail()}")
            if time.monotonic() > end:
                raise JobFailed(f"no {what} in {TIMEOUT_SECONDS} s\n{self.log_tail()}")
            time.sleep(0.1)
        return value

    def progress(self) -> list[dict[str, Any]]:
        try:
            lines = self.folder.progress.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in lines]

    def log_tail(self) -> str:
        return self.folder.log.read_text(encoding="utf-8", errors="replace")[-6000:]

    def wait_until_read(self, offsets: dict[int, int]) -> None:
        """Wait until a batch with all messages below these offsets of `weather-raw` is finished."""
        topic = self.settings.topics.raw

        def done() -> bool:
            batch = last_batch(self.checkpoint / "features")
            return batch is not None and all(
                batch.end[topic].get(str(number), 0) >= offset for number, offset in offsets.items()
            )

        self.wait_for(f"batch up to {offsets}", done)


def ends(servers: str, topic: str) -> dict[int, int]:
    """The end offset of each partition of a topic."""
    consumer = KafkaConsumer(bootstrap_servers=servers)
    try:
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
        return {partition.partition: offset for partition, offset in consumer.end_offsets(partitions).items()}
    finally:
        consumer.close()
