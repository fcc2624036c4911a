"""The monitor: a long-lived job that collects metrics and evaluates the alert rules every 15 seconds.

It also evaluates the weather alert rules of users.

    python -m weatherglass.monitor <job folder>

It depends on none of the components it monitors: an unavailable component is measured as such. Its progress is the task
log of the DAG `monitor_pipeline`.
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
from weatherglass.alerts.rules import EVALUATION_SECONDS, RULES
from weatherglass.alerts.sample import MetricSample
from weatherglass.formatting import first_line
from weatherglass.jobs.job import Job, job_lifecycle
from weatherglass.monitor.airflow_metrics import AirflowMetrics
from weatherglass.monitor.alert_dispatcher import AlertDispatcher
from weatherglass.monitor.api_metrics import ApiMetrics
from weatherglass.monitor.host_metrics import HostMetrics
from weatherglass.monitor.job_metrics import JobMetrics
from weatherglass.monitor.kafka_metrics import KafkaMetrics
from weatherglass.monitor.log_summary import LogSummary
from weatherglass.monitor.metric_recorder import MetricRecorder
from weatherglass.monitor.notification_channels import channels_from_environment
from weatherglass.monitor.store_metrics import EPOCH, StoreMetrics
from weatherglass.monitor.weather_alert_sender import WeatherAlertSender, station_names
from weatherglass.monitor.weather_alerts import WeatherAlertRun
from weatherglass.settings import Settings, load_settings

log = logging.getLogger(__name__)

STORE_TIMEOUT = timedelta(minutes=1)
"""How long to wait for the store at the start, to load the open alerts."""


class Monitor:
    """Collectors, rule evaluation, notifications and recording together.

    Args:
        environment: environment variables, which contain the notification channels.
        now: returns the current time in UTC.
    """

    def __init__(self, settings: Settings, job: Job, environment: Mapping[str, str], now: Callable[[], datetime]):
        self.job = job
        self.now = now
        airflow = f"http://{settings.airflow_host}:{settings.airflow_port}"
        self.store_metrics = StoreMetrics(settings, now(), pipeline_start(settings))
        self.kafka_metrics = KafkaMetrics(settings)
        self.collectors = (
            self.store_metrics,
            self.kafka_metrics,
            JobMetrics(settings),
            ApiMetrics(settings),
            AirflowMetrics(settings, airflow),
            HostMetrics(settings),
        )
        store, channels = self.store_metrics.engine, channels_from_environment(environment)
        links = Links(airflow)
        self.dispatcher = AlertDispatcher(store, channels, links)
        self.recorder = MetricRecorder(store, job.folder.path)
        self.weather_alerts = WeatherAlertRun(store, job.heartbeat)
        self.weather_alert_sender = WeatherAlertSender(store, channels, links, lambda: station_names(settings))
        self.log_summary = LogSummary()
        self.evaluator = RuleEvaluator(RULES)

    def run(self) -> None:
        """Collect and evaluate until the job is asked to stop."""
        self._load_open_alerts()
        while not self.job.stop_requested():
            started = time.monotonic()
            self.run_once()
            self.job.wait(max(EVALUATION_SECONDS - (time.monotonic() - started), 1.0))

    def run_once(self) -> None:
        """Collect one sample, evaluate the rules, send notifications and record the sample."""
        started = time.monotonic()
        sample = MetricSample(self.now())
        for collector in self.collectors:
            collector.collect(sample)
            self.job.heartbeat()
        evaluation = self.evaluator.evaluate(sample)
        errors = self.dispatcher.dispatch(evaluation, sample.at)
        self.job.heartbeat()  # a channel that does not respond takes its time limit
        weather_lines = self.weather_alerts.run(sample.at)
        errors += self.weather_alert_sender.send(sample.at)
        sample.put(m.COLLECTION_SECONDS, time.monotonic() - started)
        self.recorder.record(sample)
        for line in [*weather_lines, *self.log_summary.lines(evaluation, sample, errors)]:
            self.job.report(line, open=len(evaluation.firing))
        self.job.heartbeat()

    def close(self) -> None:
        self.kafka_metrics.close()
        self.store_metrics.close()

    def _load_open_alerts(self) -> None:
        deadline = self.now() + STORE_TIMEOUT
        while True:
            try:
                open_alerts = self.dispatcher.open_alerts()
                break
            except SQLAlchemyError as error:
                if self.now() > deadline or self.job.wait(2.0):
                    log.warning("Open alerts cannot be read, they may be sent again: %s", first_line(error))
                    open_alerts = []
                    break
                self.job.heartbeat()
        self.evaluator = RuleEvaluator(RULES, open_alerts)
        names = ", ".join(f"{alert.rule.name} ({alert.subject})" for alert in open_alerts)
        self.job.report(
            f"Evaluating {len(RULES)} rules every {EVALUATION_SECONDS:g} s; open alerts at start: {names or 'none'}"
        )


def pipeline_start(settings: Settings) -> datetime:
    """When the pipeline was started, from the launcher's file; `EPOCH` if it was not started by the launcher."""
    try:
        started = (settings.state_dir / "run" / "launcher.json").stat().st_mtime
    except FileNotFoundError:
        return EPOCH
    return datetime.fromtimestamp(started, UTC)


def main(folder: Path) -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("kafka").setLevel(logging.ERROR)
    with job_lifecycle(folder) as job:
        monitor = Monitor(load_settings(), job, os.environ, lambda: datetime.now(UTC))
        try:
            monitor.run()
        finally:
            monitor.close()
