"""The watcher: a long-lived job that looks at the whole pipeline every 15 seconds and tells what is wrong with it.

    python -m weatherglass.monitor <job folder>

It needs none of what it watches: whatever is away is measured as away. Its progress, which is the task log of the DAG
`monitor_pipeline`, is the running story of the pipeline's health in words.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from weatherglass.alerts import metrics as m
from weatherglass.alerts.notification import Links
from weatherglass.alerts.rule_evaluator import RuleEvaluator
from weatherglass.alerts.rules import LOOK_SECONDS, RULES
from weatherglass.alerts.sample import MetricSample
from weatherglass.jobs.job import Job, running
from weatherglass.monitor.airflow_metrics import AirflowMetrics
from weatherglass.monitor.alert_dispatcher import AlertDispatcher
from weatherglass.monitor.api_metrics import ApiMetrics
from weatherglass.monitor.host_metrics import HostMetrics
from weatherglass.monitor.job_metrics import JobMetrics
from weatherglass.monitor.kafka_metrics import KafkaMetrics
from weatherglass.monitor.log_summary import LogSummary
from weatherglass.monitor.metric_recorder import MetricRecorder
from weatherglass.monitor.notification_channels import channels
from weatherglass.monitor.store_metrics import LONG_AGO, StoreMetrics
from weatherglass.settings import Settings, load_settings

log = logging.getLogger(__name__)

STORE_PATIENCE = timedelta(minutes=1)
"""For which a store is waited for at the start, to learn what an earlier watcher has told."""


class Monitor:
    """All of it together. `now` is asked for the time of each look."""

    def __init__(self, settings: Settings, job: Job, environment: Mapping[str, str], now: Callable[[], datetime]):
        self.job = job
        self.now = now
        airflow = f"http://{settings.airflow_host}:{settings.airflow_port}"
        self.stored = StoreMetrics(settings, now(), beginning(settings))
        self.brokers = KafkaMetrics(settings)
        self.parts = (
            self.stored,
            self.brokers,
            JobMetrics(settings),
            ApiMetrics(settings),
            AirflowMetrics(settings, airflow),
            HostMetrics(settings),
        )
        self.desk = AlertDispatcher(self.stored.engine, channels(environment), Links(airflow))
        self.memory = MetricRecorder(self.stored.engine, job.folder.path)
        self.story = LogSummary()
        self.watch = RuleEvaluator(RULES)

    def run(self) -> None:
        """Until the job is asked to stop."""
        self._learn_what_is_known()
        while not self.job.stopping():
            started = time.monotonic()
            self.look()
            self.job.wait(max(LOOK_SECONDS - (time.monotonic() - started), 1.0))

    def look(self) -> None:
        """One look at everything, and what follows from it."""
        started = time.monotonic()
        sample = MetricSample(self.now())
        for part in self.parts:
            part.look(sample)
            self.job.beat()
        look = self.watch.look(sample)
        problems = self.desk.take(look, sample.at)
        sample.put(m.WATCH_SECONDS, time.monotonic() - started)
        self.memory.take(sample)
        for line in self.story.tell(look, sample, problems):
            self.job.report(line, open=len(look.on))
        self.job.beat()

    def close(self) -> None:
        self.brokers.close()
        self.stored.close()

    def _learn_what_is_known(self) -> None:
        until = self.now() + STORE_PATIENCE
        while True:
            try:
                known = self.desk.known()
                break
            except SQLAlchemyError as error:
                if self.now() > until or self.job.wait(2.0):
                    log.warning("the store does not tell which alerts are open, they may be sent again: %s", error)
                    known = []
                    break
                self.job.beat()
        self.watch = RuleEvaluator(RULES, known)
        names = ", ".join(f"{firing.rule.name} ({firing.subject})" for firing in known)
        self.job.report(f"watching {len(RULES)} rules every {LOOK_SECONDS:g} s; open from before: {names or 'nothing'}")


def beginning(settings: Settings) -> datetime:
    """Since when the pipeline runs, by the launcher's record; long ago where no launcher runs it."""
    try:
        started = (settings.state_dir / "run" / "launcher.json").stat().st_mtime
    except FileNotFoundError:
        return LONG_AGO
    return datetime.fromtimestamp(started, UTC)


def main(folder: Path) -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("kafka").setLevel(logging.ERROR)
    with running(folder) as job:
        watcher = Monitor(load_settings(), job, os.environ, lambda: datetime.now(UTC))
        try:
            watcher.run()
        finally:
            watcher.close()
