"""All alert rules of the monitor, with the texts of their alerts.

A rule fires for a subject when its value has been beyond `threshold` for `for_`. It is resolved when the value has been
back within `clear_threshold`, or missing, for `keep_firing_for`. Between the two thresholds the state does not change.
Thresholds are judgements unless a comment gives a measurement.

This module exceeds 400 lines because it is one table.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from weatherglass.alerts import metrics as m
from weatherglass.alerts.conditions import Condition, Increase, Latest, Quantile, Ratio
from weatherglass.formatting import format_duration
from weatherglass.store.alerts import Severity
from weatherglass.topics import RAW, REJECTED

EVALUATION_SECONDS = 15.0
"""Interval between two evaluations of all rules."""

MINUTE = timedelta(minutes=1)
HALF_MINUTE = timedelta(seconds=30)

DURATION = "duration"
"""Value format of a value in seconds that is shown as a duration, such as `25 min`."""
LOGS_SECTION = "docs/troubleshooting.md, Logs"
"""The section that lists where each component's log is, on one machine and in the cluster."""


@dataclass(frozen=True)
class Rule:
    """An alert rule.

    Attributes:
        fires_when: the condition in words, for the documentation.
        summary: what is wrong; may contain `{subject}` and `{value}`.
        impact: what does not work as a consequence.
        unaffected: what continues to work.
        runbook: what to do.
        above: whether the rule fires above the threshold; otherwise below.
        value_format: how `{value}` is formatted: a format string, or `DURATION`.
        inhibited_by: rules that explain this one. While one of them fires, this alert is recorded but not sent.
        dag: the DAG whose log shows the problem; may contain `{subject}`.
        page: the page of the dashboard that shows it; may contain `{subject}`.
    """

    name: str
    condition: Condition
    threshold: float
    clear_threshold: float
    for_: timedelta
    severity: Severity
    fires_when: str
    summary: str
    impact: str
    unaffected: str
    runbook: str
    above: bool = True
    keep_firing_for: timedelta = MINUTE
    value_format: str = "{:.0f}"
    inhibited_by: tuple[str, ...] = ()
    dag: str | None = None
    page: str = "system"

    def fires(self, value: float) -> bool:
        return value > self.threshold if self.above else value < self.threshold

    def clears(self, value: float) -> bool:
        """Whether a firing alert may be resolved. A value equal to the threshold neither fires nor prevents that."""
        return value <= self.clear_threshold if self.above else value >= self.clear_threshold

    def summary_for(self, subject: str, value: float) -> str:
        if self.value_format == DURATION:
            return self.summary.format(subject=subject, value=format_duration(timedelta(seconds=value)))
        return self.summary.format(subject=subject, value=self.value_format.format(value))


def _must_be_up(
    name: str,
    metric: m.Metric,
    fires_when: str,
    summary: str,
    impact: str,
    unaffected: str,
    runbook: str,
    **options: Any,
) -> Rule:
    """A rule that fires when a gauge that must be 1 is 0."""
    fields: dict[str, Any] = {
        "severity": Severity.CRITICAL,
        "for_": HALF_MINUTE,
        "keep_firing_for": HALF_MINUTE,
    } | options
    fields |= {"fires_when": fires_when, "summary": summary, "impact": impact}
    fields |= {"unaffected": unaffected, "runbook": runbook}
    condition = Latest(metric, aggregation="min")
    return Rule(name, condition, threshold=1, clear_threshold=1, above=False, **fields)


NO_OBSERVATIONS = ("no_new_observations", "source_not_answering")
BROKER_DOWN = ("broker_unreachable",)
RAY_DOWN = ("ray_unreachable",)

RULES: tuple[Rule, ...] = (
    # --- source and stations
    Rule(
        "source_not_answering",
        Latest(m.POLL_AGE),
        4,  # the replay is polled every minute, and a busy scheduler may be one or two minutes late
        2,
        HALF_MINUTE,
        Severity.CRITICAL,
        "no successful poll for four intervals (of a minute with the replay, otherwise `WEATHERGLASS_POLL_MINUTES`)",
        "The last successful poll of the source was {value} intervals ago.",
        "Forecasts are based on old observations.",
        "Forecasts, the API and the dashboard, with the data available. The next successful poll fills the gap.",
        "Check the log of ingest_observations for the source's response. With the replay source, check that the replay "
        f"server runs and read its log ({LOGS_SECTION}).",
        value_format="{:.1f}",
        inhibited_by=("airflow_unhealthy", *BROKER_DOWN),
        dag="ingest_observations",
    ),
    Rule(
        "no_new_observations",
        Latest(m.OBSERVATION_AGE_RATIO),
        5 / 3,  # Open-Meteo has new values every 15 min; two polls of at most 5 min are added
        1,
        HALF_MINUTE,
        Severity.CRITICAL,
        "no observation for 25 minutes (15 minutes, the interval of Open-Meteo, and two polls), or with METAR for 100",
        "No observation has arrived from any station for {value} intervals of the source.",
        "Forecasts are based on old observations.",
        "Forecasts, the API and the dashboard, with the data available.",
        "Check whether ingest_observations publishes. If it does, check the consumer lag of store_predictions.",
        value_format="{:.1f}",
        inhibited_by=("source_not_answering", "job_not_running", "job_silent", "store_unreachable", *BROKER_DOWN),
        dag="ingest_observations",
    ),
    Rule(
        "station_silent",
        Latest(m.STATION_SILENCE),
        3,
        1.5,
        HALF_MINUTE,
        Severity.WARNING,
        "no observation of a station for three of its usual intervals, which come from its newest observations",
        "{subject} has not reported for {value} of its usual intervals.",
        "Its forecast is out of date, and forecasts for its neighbours do not use it.",
        "All other stations.",
        "Check the station's line in the log of ingest_observations. If the source no longer has the station, contact "
        "its operator.",
        value_format="{:.1f}",
        inhibited_by=NO_OBSERVATIONS,
        dag="ingest_observations",
        page="station?id={subject}",
    ),
    Rule(
        "station_late",
        Latest(m.STATION_DELAY),
        2,  # intervals; a poll that just missed the observation accounts for one
        1,
        timedelta(minutes=5),
        Severity.WARNING,
        "a station is more than two of its intervals behind the newest observation of all stations, for five minutes",
        "{subject} is {value} intervals behind the other stations.",
        "Its forecast starts from an older reading than necessary.",
        "All other stations. Late readings are added to their hours when they arrive.",
        "If it persists, ask the station's operator about the delay. The daily station report shows its timeliness.",
        value_format="{:.1f}",
        inhibited_by=("station_silent", *NO_OBSERVATIONS),
        dag="ingest_observations",
        page="station?id={subject}",
    ),
    Rule(
        "station_frozen",
        Latest(m.STATION_FROZEN),
        0,
        0,
        HALF_MINUTE,
        Severity.WARNING,
        "the newest reading of a station failed the check `flat_line`",
        "{subject} keeps reporting the same value for a variable that should vary.",
        "Its readings are flagged, and its forecast may be wrong.",
        "All other stations. The frozen reading is marked wherever it is shown.",
        "Check the station's readings. The sensor is probably stuck and needs servicing.",
        keep_firing_for=timedelta(minutes=2),
        dag="serve_predictions",
        page="station?id={subject}",
    ),
    Rule(
        "budget_nearly_spent",
        Latest(m.BUDGET_USED),
        0.9,
        0.8,
        timedelta(),
        Severity.WARNING,
        "90 % of 10,000 calls used within 24 hours",
        "{value} of Open-Meteo's free daily calls have been used.",
        "When all are used, the source refuses requests until the next day and observations stop.",
        "Everything, until then.",
        "Increase WEATHERGLASS_POLL_MINUTES, or use fewer stations or fewer models in WEATHERGLASS_GUIDANCE_MODELS.",
        value_format="{:.0%}",
        dag="ingest_observations",
    ),
    Rule(
        "clock_skew",
        Latest(m.CLOCK_SKEW),
        30,
        10,
        timedelta(),
        Severity.WARNING,
        "more than 30 s between this machine's clock and the one in the source's responses",
        "This machine's clock differs from the source's by {value}.",
        "If the difference exceeds WEATHERGLASS_FUTURE_TOLERANCE_MINUTES, observations are rejected as future ones.",
        "Everything, until then.",
        "Synchronize the clock with NTP (`timedatectl set-ntp true`).",
        value_format=DURATION,
        dag="ingest_observations",
    ),
    # --- stream
    _must_be_up(
        "broker_unreachable",
        m.KAFKA_UP,
        "no response from the broker for half a minute",
        "The Kafka broker does not respond.",
        "No new data is published, processed or forecast.",
        "The API and the dashboard, with the stored data. Missed observations are fetched later.",
        f"Check whether the broker runs, read its log, and restart it if it does not recover ({LOGS_SECTION}).",
    ),
    Rule(
        "consumer_behind",
        Latest(m.LAG_SECONDS),
        60,
        15,
        HALF_MINUTE,
        Severity.CRITICAL,
        "for half a minute, the oldest unread record of a consumer group has waited for more than a minute",
        "{subject}: the oldest unread record has waited for {value}.",
        "Forecasts are delayed.",
        "Everything, with a delay. No data is lost within the topic's retention.",
        "Check in the log of the consuming job whether it makes progress and how long its batches take. If it cannot "
        "keep up, give it more cores.",
        value_format=DURATION,
        inhibited_by=("job_not_running", "job_silent", "ray_unreachable", "actor_lost", *BROKER_DOWN),
    ),
    Rule(
        "batches_too_slow",
        Latest(m.BATCH_OVER_TRIGGER),
        1.5,
        1,
        timedelta(minutes=3),
        Severity.WARNING,
        "batches take 1.5 times the trigger interval (at least one second) for three minutes",
        "Batches of the features query take {value} times the trigger interval.",
        "The query cannot keep up with its input, and features are delayed.",
        "Everything, with a delay.",
        "Check in the log of stream_features which phase takes long. Free CPU on the machine, or increase "
        "WEATHERGLASS_SPARK_CORES or WEATHERGLASS_SPARK_TRIGGER_SECONDS.",
        value_format="{:.1f}",
        dag="stream_features",
    ),
    Rule(
        "many_rejected",
        Ratio((m.TOPIC_RECORDS, REJECTED), (m.TOPIC_RECORDS, RAW), timedelta(minutes=15), min_count=10),
        0.05,
        0.02,
        timedelta(),
        Severity.WARNING,
        "more than 5 % of the observations are rejected within 15 minutes, and at least ten",
        "{value} of the observations of the last 15 minutes were rejected.",
        "The features of the affected stations do not contain the rejected observations.",
        "All valid observations. Rejected records are kept in weather-rejected with the reason.",
        "Check the header `reason` of these records: `future` or `past` indicates a wrong clock, `late` a slow sender, "
        "other reasons a faulty sender.",
        value_format="{:.0%}",
        dag="stream_features",
    ),
    Rule(
        "forecasts_slow",
        Quantile(m.PUBLISHING_TO_PREDICTION, 0.95, timedelta(minutes=20)),
        60,
        30,
        timedelta(),
        Severity.WARNING,
        "the 95th percentile of the time from arrival to stored forecast, over 20 minutes, is more than 60 s",
        "The 95th percentile of the time from an observation's arrival to its forecast is {value}.",
        "The newest forecasts are late.",
        "Everything, with a delay.",
        "Find the job that lags on the page System, and read its log. Free CPU on the machine.",
        value_format=DURATION,
        inhibited_by=(
            "consumer_behind",
            "job_not_running",
            "job_silent",
            "actor_lost",
            "ray_unreachable",
            *BROKER_DOWN,
        ),
    ),
    # --- jobs
    _must_be_up(
        "job_host_down",
        m.JOB_HOST_UP,
        "the job host has not been running for half a minute",
        "The job host is not running.",
        "A job that ends is not restarted.",
        "The jobs that are running.",
        f"Check whether the job host runs, read its log, and restart it if it does not recover ({LOGS_SECTION}).",
    ),
    _must_be_up(
        "job_not_running",
        m.JOB_UP,
        "a long-lived job that was started before has not been running for half a minute",
        "{subject} is not running.",
        "Its output stops: features, forecasts, or the data of the API.",
        "Everything that does not depend on it. The job resumes where it stopped.",
        "Check the run of its DAG. If the run failed, a user stopped it: clear the task to start it again. If the task "
        "is retried repeatedly, its log shows the last output of the job.",
        inhibited_by=("job_host_down",),
        dag="{subject}",
    ),
    Rule(
        "job_silent",
        Latest(m.JOB_SILENCE),
        30,
        15,
        HALF_MINUTE,
        Severity.CRITICAL,
        "for half a minute, the last heartbeat of a running job is older than 30 s; ignored in the first two minutes",
        "{subject} is running, but its last heartbeat was {value} ago.",
        "Its output stops.",
        "Everything that does not depend on it.",
        f"The job is killed and restarted automatically. If it is not, its log shows where it hangs ({LOGS_SECTION}).",
        value_format=DURATION,
        inhibited_by=("job_host_down", *BROKER_DOWN),
        dag="{subject}",
    ),
    Rule(
        "job_restarting",
        Increase(m.JOB_STARTS, timedelta(minutes=15)),
        2.5,
        1.5,
        timedelta(),
        Severity.WARNING,
        "three starts of a job within 15 minutes",
        "{subject} was restarted {value} times within 15 minutes.",
        "It loses time with every restart and may make no progress at all.",
        "Everything that does not depend on it.",
        "Read the last output of the failed tries in the task log of the job's DAG.",
        inhibited_by=BROKER_DOWN,
        dag="{subject}",
    ),
    _must_be_up(
        "ray_unreachable",
        m.RAY_UP,
        "the port of the Ray head accepts no connections for half a minute",
        "The Ray head does not respond.",
        "No forecasts are made.",
        "Observations, features, and the API and the dashboard with the existing forecasts.",
        f"Check whether the Ray head runs, read its log, and restart it if it does not recover ({LOGS_SECTION}).",
        dag="serve_predictions",
    ),
    _must_be_up(
        "actor_lost",
        m.ACTOR_UP,
        "an inference actor does not respond or makes no progress for half a minute",
        "{subject} does not respond or makes no progress.",
        "The actor's share of the stations gets no new forecasts.",
        "The other stations. Ray restarts the actor automatically.",
        "If it persists, read the log of serve_predictions, then the actor's own log in Ray's dashboard.",
        inhibited_by=RAY_DOWN,
        dag="serve_predictions",
    ),
    _must_be_up(
        "airflow_unhealthy",
        m.AIRFLOW_UP,
        "Airflow reports that one of its components is not healthy, for a minute",
        "Airflow's {subject} is not healthy.",
        "While the scheduler, triggerer or DAG processor is down, there are no polls, trainings or job restarts; while "
        "the API server is down, there are no pages.",
        "The jobs that are running.",
        f"Check whether the component runs, read its log, and restart it if it does not recover ({LOGS_SECTION}).",
        for_=MINUTE,
    ),
    # --- models
    Rule(
        "models_on_fallback",
        Latest(m.FALLBACK_RATIO),
        0.5,
        0.3,
        MINUTE,
        Severity.WARNING,
        "more than half of the stations are forecast without the model, for a minute",
        "{value} of the stations are forecast without the model.",
        "Forecasts are only as good as climatology or persistence, with wider intervals.",
        "Everything. Every forecast names the method it was made with.",
        "Check in train_models whether there is a champion and whether it was trained for these stations.",
        value_format="{:.0%}",
        dag="train_models",
        page="models",
    ),
    Rule(
        "model_degraded",
        Latest(m.MODEL_STATE),
        0,
        0,
        HALF_MINUTE,
        Severity.WARNING,
        "the version in service is not the one that should serve, for half a minute",
        "The {subject} in service is not the version that should serve.",
        "An older model or a baseline makes the predictions.",
        "Everything, with that model.",
        "The log of serve_predictions gives the reason for the rejection. Train a new version, or roll back.",
        inhibited_by=("ray_unreachable", "actor_lost"),
        dag="serve_predictions",
        page="models",
    ),
    Rule(
        "model_too_old",
        Latest(m.MODEL_AGE),
        30 * 86400,
        29 * 86400,
        timedelta(),
        Severity.WARNING,
        "the model in service was trained more than 30 days ago",
        "The model in service was trained {value} ago.",
        "The model was not trained on the last month of the season.",
        "Everything.",
        "Run prepare_history with new history. Training follows automatically.",
        value_format=DURATION,
        dag="train_models",
        page="models",
    ),
    Rule(
        "guidance_missing",
        Latest(m.GUIDANCE_AGE),
        18 * 3600,  # older runs are not used: guidance.known_runs.MAX_AGE_HOURS
        12 * 3600,
        timedelta(),
        Severity.WARNING,
        "18 hours without a new run of a weather model, after which the last one is not used any more",
        "The newest run of a weather model was stored {value} ago.",
        "Forecasts are made without guidance, from the observations of the stations alone.",
        "Everything else.",
        "Read the log of the last run of ingest_guidance.",
        value_format=DURATION,
        dag="ingest_guidance",
        page="models",
    ),
    Rule(
        "verification_stopped",
        Latest(m.VERIFICATION_AGE),
        3 * 3600,  # it runs hourly
        2 * 3600,
        timedelta(),
        Severity.WARNING,
        "three hours without a verification, which runs at least hourly",
        "Forecasts were last verified {value} ago.",
        "A decline in forecast quality would go unnoticed.",
        "Everything else.",
        "Read the log of the last run of verify_forecasts.",
        value_format=DURATION,
        dag="verify_forecasts",
        page="models",
    ),
    Rule(
        "verification_without_truth",
        Latest(m.TRUTH_AGE),
        6 * 3600,
        3 * 3600,
        timedelta(),
        Severity.WARNING,
        "six hours without observations to compare with",
        "Verification has found no observations to compare with for {value}.",
        "A decline in forecast quality would go unnoticed.",
        "Everything else.",
        "Check whether the store contains observations of past valid times under the same station ids.",
        value_format=DURATION,
        inhibited_by=NO_OBSERVATIONS,
        dag="verify_forecasts",
        page="models",
    ),
    Rule(
        "dag_failed",
        Latest(m.DAG_FAILED),
        0,
        0,
        timedelta(),
        Severity.WARNING,
        "immediately, when the newest finished run of a DAG has failed",
        "The last run of {subject} failed.",
        "Its previous output (a model, history, a report) stays in use.",
        "Everything, with that output.",
        "Read the log of the failed task; the DAG's documentation has triage notes. A successful run resolves this "
        "alert.",
        dag="{subject}",
    ),
    # --- store, API, machine
    _must_be_up(
        "store_unreachable",
        m.STORE_UP,
        "the store cannot be read for half a minute",
        "The store cannot be read.",
        "The API and the dashboard show no data. Alerts are sent, but not recorded.",
        "Observations, features and forecasts continue through Kafka and are stored when the store is back.",
        "Check whether the disk is full or the database of WEATHERGLASS_DATABASE_URL is down.",
    ),
    Rule(
        "api_errors",
        Ratio((m.API_REQUESTS, "error"), (m.API_REQUESTS, None), timedelta(minutes=5), min_count=5),
        0.05,
        0.02,
        timedelta(),
        Severity.WARNING,
        "more than 5 % of the responses within five minutes are server errors, and at least five",
        "{value} of the API's responses in the last five minutes were server errors (5xx).",
        "Some requests of pages and API clients fail.",
        "Everything that does not use the API.",
        f"Read the API server's log ({LOGS_SECTION}). `/health` shows which component is failing.",
        value_format="{:.0%}",
        inhibited_by=("store_unreachable",),
    ),
    Rule(
        "disk_nearly_full",
        Latest(m.DISK_FREE, aggregation="min"),
        0.05,
        0.07,
        HALF_MINUTE,
        Severity.CRITICAL,
        "less than 5 % of the disk is free for half a minute; resolved at 7 %",
        "{value} of the disk that holds the state folder is free.",
        "Kafka and the store stop when the disk is full.",
        "Everything, until then.",
        "Find what uses the space (one machine: `du -sh .weatherglass/*`, cluster: `docker system df --verbose`). "
        "Shorten the retention of the topics, or move the data to a larger disk.",
        above=False,
        value_format="{:.1%}",
    ),
)

RULES_BY_NAME = {rule.name: rule for rule in RULES}
