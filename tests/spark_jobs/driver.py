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

import psutil
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient

from spark_jobs.spark_conf import environment as spark_environment
from spark_jobs.spark_conf import stream_conf
from weatherglass.jobs.folder import JobFolder
from weatherglass.settings import PROJECT_ROOT, Settings
from weatherglass.settings_errors import variable
from weatherglass.topics import RAW, SPARK_GROUP

TIMEOUT_SECONDS = 480.0
"""Generous, for a busy machine; on an idle one Spark starts in ten seconds."""


class Driver:
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
        self.start()
        assert self.process
        return self.process.wait(TIMEOUT_SECONDS)

    def start(self) -> None:
        for file in (self.folder.stop, self.folder.exit):
            file.unlink(missing_ok=True)
        conf = [part for name, value in self.conf.items() for part in ("--conf", f"{name}={value}")]
        submit = Path(sys.executable).with_name("spark-submit")
        explicit = self.settings.model_dump(include=set(self.settings.model_fields_set), mode="json")
        environment = {variable(name): str(value) for name, value in explicit.items()}
        environment |= spark_environment(self.settings) | {
            "PYSPARK_PYTHON": sys.executable,
            "PYTHONPATH": str(PROJECT_ROOT),
        }
        with self.folder.log.open("ab") as log:
            self.process = subprocess.Popen(
                [str(submit), *conf, str(self.script), *self.arguments, str(self.folder.path)],
                env={**os.environ, **environment},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self) -> None:
        """End all processes of the job with SIGKILL, as a power cut would."""
        if self.process and self.is_running():
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def in_batch(self) -> bool:
        """Whether the checkpoint contains a started batch without its end, even if the job has crashed."""
        logs = (self.checkpoint / "features" / name for name in ("offsets", "commits"))
        started, committed_ = ({file.name for file in log.glob("[0-9]*")} for log in logs)
        return bool(started - committed_)

    def stop(self) -> int:
        assert self.process
        self.folder.request_stop("a test")
        return self.process.wait(TIMEOUT_SECONDS)

    def wait_for(self, what: str, condition: Callable[[], Any]) -> Any:
        """The first true value of the condition; fails if the job ends before that, or after `TIMEOUT_SECONDS`."""
        assert self.process
        end = time.monotonic() + TIMEOUT_SECONDS
        while not (value := condition()):
            code = self.process.poll()
            assert code is None, f"exited with {code} before {what}: {self.folder.outcome()}\n{self.log_tail()}"
            assert time.monotonic() < end, f"no {what} in {TIMEOUT_SECONDS} s\n{self.log_tail()}"
            time.sleep(0.1)
        return value

    def progress(self) -> list[dict[str, Any]]:
        try:
            lines = self.folder.progress.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in lines]

    def listening_addresses(self) -> set[str]:
        """The IP addresses on which processes of the job accept connections."""
        assert self.process
        submitted = psutil.Process(self.process.pid)
        return {
            connection.laddr.ip
            for process in [submitted, *submitted.children(recursive=True)]
            for connection in process.net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        }

    def log_tail(self) -> str:
        return self.folder.log.read_text(encoding="utf-8", errors="replace")[-6000:]

    def wait_until_read(self, offsets: dict[int, int]) -> None:
        """Wait until a batch with all messages below these offsets of `weather-raw` is finished."""
        from spark_jobs.batches import last_batch

        def done() -> bool:
            batch = last_batch(self.checkpoint / "features")
            return bool(batch) and all(batch.end[RAW].get(str(p), 0) >= offset for p, offset in offsets.items())

        self.wait_for(f"batch up to {offsets}", done)


def send(servers: str, messages: list[tuple[bytes | None, bytes | None]]) -> dict[int, int]:
    """Publish (key, value) pairs to `weather-raw`; returns the end offset of each partition."""
    producer = KafkaProducer(bootstrap_servers=servers, acks="all")
    try:
        for future in [producer.send(RAW, key=key, value=value) for key, value in messages]:
            future.get(120)
    finally:
        producer.close()
    return ends(servers, RAW)


def ends(servers: str, topic: str) -> dict[int, int]:
    consumer = KafkaConsumer(bootstrap_servers=servers)
    try:
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
        return {partition.partition: offset for partition, offset in consumer.end_offsets(partitions).items()}
    finally:
        consumer.close()


def read_all(servers: str, topic: str) -> list[Any]:
    """All messages of a topic, in order within each partition."""
    consumer = KafkaConsumer(bootstrap_servers=servers, auto_offset_reset="earliest", enable_auto_commit=False)
    try:
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        last = consumer.end_offsets(partitions)
        messages: list[Any] = []
        while any(consumer.position(partition) < last[partition] for partition in partitions):
            for records in consumer.poll(timeout_ms=500).values():
                messages.extend(records)
        return messages
    finally:
        consumer.close()


def committed(servers: str) -> dict[int, int]:
    """The committed offsets of Spark's consumer group, by partition."""
    admin = KafkaAdminClient(bootstrap_servers=servers)
    try:
        offsets = admin.list_group_offsets({SPARK_GROUP: None})[SPARK_GROUP]
    finally:
        admin.close()
    return {partition.partition: offset.offset for partition, offset in offsets.items()}
