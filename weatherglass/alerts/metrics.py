"""What is measured: names and units as Prometheus wants them, few labels, none of them unbounded.

Source of the conventions: prometheus.io/docs/practices/naming.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

PREFIX = "weatherglass_"


class MetricKind(StrEnum):
    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


@dataclass(frozen=True)
class Metric:
    """One of the list. `labels` are the names; a value is known by theirs, in this order.

    `buckets`: upper bounds of a histogram, the last one infinite and not named.
    """

    name: str
    kind: MetricKind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    kept: bool = False
    """Whether a week of it stays in the store."""


METRICS: list[Metric] = []
"""All of them, in the order of the pipeline."""


def _gauge(name: str, words: str, *labels: str, kept: bool = False) -> Metric:
    return _listed(Metric(PREFIX + name, MetricKind.GAUGE, words, labels, kept=kept))


def _counter(name: str, words: str, *labels: str, kept: bool = False) -> Metric:
    return _listed(Metric(f"{PREFIX}{name}_total", MetricKind.COUNTER, words, labels, kept=kept))


def _histogram(name: str, words: str, buckets: tuple[float, ...], *labels: str) -> Metric:
    return _listed(Metric(PREFIX + name, MetricKind.HISTOGRAM, words, labels, buckets))


def _listed(metric: Metric) -> Metric:
    METRICS.append(metric)
    return metric


# --- the source
POLLS = _counter("polls", "Polls of the source.", "outcome")
POLL_SECONDS = _gauge("poll_seconds", "Duration of the last poll.", kept=True)
POLL_AGE = _gauge("poll_age_ratio", "Time since the last poll that was answered, in intervals between polls.")
POLLED = _counter("polled_observations", "Observations in the answers: new, filled, revised or repeated.", "kind")
UNOBSERVED = _gauge("unobserved_stations", "Stations that the last poll got no observation of.")
BUDGET = _gauge("open_meteo_budget_used_ratio", "Share of the day's free calls used in the last 24 h.", kept=True)
CLOCK_SKEW = _gauge("clock_skew_seconds", "This machine's clock against the source's, ahead or behind.")

# --- Kafka
KAFKA_UP = _gauge("kafka_up", "Whether the broker answers: 1 or 0.")
LAG = _gauge("consumer_lag_records", "Records that wait for a consumer group.", "group", "topic", "partition")
LAG_SECONDS = _gauge("consumer_lag_seconds", "How long the oldest of them has waited.", "group", "topic", kept=True)
TOPIC_RECORDS = _counter("topic_records", "Records ever written to a topic.", "topic", kept=True)
TOPIC_BYTES = _gauge("topic_bytes", "Size of a topic on the broker's disk.", "topic", kept=True)
REJECTED = _counter("rejected_records", "Observations that could not be used, by reason.", "reason")

# --- Spark
BATCHES = _counter("spark_batches", "Batches of the features query.")
ROWS = _counter("spark_rows", "Observations the features query has read.")
ROWS_PER_SECOND = _gauge("spark_rows_per_second", "Rate at which the last batches' rows came in.", kept=True)
BATCH_SECONDS = _gauge(
    "spark_batch_seconds", "Mean time of the batches since the last look, by phase.", "phase", kept=True
)
BATCH_OVER_TRIGGER = _gauge("spark_batch_over_trigger_ratio", "That time over the trigger's interval.")
WATERMARK_LAG = _gauge("watermark_lag_seconds", "Newest observation's time less the watermark.", kept=True)
WATERMARK_AGE = _gauge("watermark_age_seconds", "Now less the watermark.", kept=True)
STATE_ROWS = _gauge("spark_state_rows", "Windows in the features query's state.", kept=True)
STATE_BYTES = _gauge("spark_state_bytes", "Memory of that state.", kept=True)
LATE_ROWS = _counter("spark_late_rows", "Rows dropped since their window was closed already.")

# --- Ray, inference and models
RAY_UP = _gauge("ray_up", "Whether the Ray head answers: 1 or 0.")
ACTOR_UP = _gauge("actor_up", "Whether an inference actor answers and gets on: 1 or 0.", "actor")
ACTOR_RESTARTS = _counter("actor_restarts", "Inference actors that were started again.")
ACTOR_BYTES = _gauge("actor_memory_bytes", "Resident memory of all inference actors.", kept=True)
INFERENCE_SECONDS = _gauge("inference_batch_seconds", "Time of the slowest actor's last batch.", kept=True)
INFERENCE_RECORDS = _counter("inference_records", "Window features that inference has read.")
INFERENCE_ANSWERS = _counter("inference_answers", "Predictions that inference has made.")
MODEL_STATE = _gauge("model_state", "State of a model's seat: 0 ok, 1 degraded, 2 failing.", "model")
MODEL_INFO = _gauge("model_info", "1 for the version in service.", "version")
MODEL_AGE = _gauge("model_age_seconds", "Time since the version in service was trained.")
FALLBACK = _gauge("fallback_stations_ratio", "Share of stations whose newest forecast is not the model's.", kept=True)
VERIFICATION_AGE = _gauge("verification_age_seconds", "Time since forecasts were last compared with what came true.")
TRUTHLESS = _gauge("verification_without_truth_seconds", "Time since a verification last found anything to compare.")

# --- store and end to end
STORE_UP = _gauge("store_up", "Whether the store can be read: 1 or 0.")
STORE_BYTES = _gauge("store_bytes", "Size of the store's file.", kept=True)
STORED = _counter("stored_records", "Records the sink has written.", "kind")
OBSERVATION_AGE = _gauge("newest_observation_age_seconds", "Time since an observation last arrived.", kept=True)
PREDICTION_AGE = _gauge("newest_prediction_age_seconds", "Time since a prediction last arrived.", kept=True)
FROM_PUBLISHING = _histogram(
    "publishing_to_prediction_seconds",
    "From an observation's arrival on weather-raw to its prediction in the store.",
    (0.5, 1, 2, 5, 10, 30, 60, 120, 300),
    "station",
)
FROM_OBSERVATION = _histogram(
    "observation_to_prediction_seconds",
    "From an observation's own time to its prediction in the store.",
    (60, 300, 900, 1800, 3600, 7200),
    "station",
)

# --- stations
SILENCE = _gauge("station_silence_ratio", "Time since a station was last heard, in its usual intervals.", "station")
BEHIND = _gauge("station_behind_ratio", "A station's newest observation behind the network's, in intervals.", "station")
FROZEN = _gauge("station_frozen", "Whether a station repeats a value that should move: 1 or 0.", "station")

# --- jobs, API, Airflow
JOB_HOST_UP = _gauge("job_host_up", "Whether the job host runs: 1 or 0.")
JOB_UP = _gauge("job_up", "Whether a long-lived job runs: 1 or 0; only of those that were ever started.", "job")
JOB_SILENCE = _gauge("job_silence_seconds", "Time since a running job's last sign of work, its start excepted.", "job")
JOB_STARTS = _counter("job_starts", "Starts of a job that the watcher has seen.", "job")
API_REQUESTS = _counter("api_answers", "Requests the API has answered.", "outcome", kept=True)
AIRFLOW_UP = _gauge("airflow_up", "Whether a part of Airflow is healthy: 1 or 0.", "component")
AIRFLOW_HEARTBEAT = _gauge("airflow_heartbeat_age_seconds", "Time since its last heartbeat.", "component")
DAG_FAILED = _gauge("dag_failed", "Whether the newest ended run of a DAG failed: 1 or 0.", "dag")
DAG_SECONDS = _gauge("dag_run_seconds", "Duration of the newest ended run of a DAG.", "dag", kept=True)
DAG_QUEUED = _gauge("dag_queue_seconds", "How long that run had waited for its start.", "dag", kept=True)

# --- the machine
DISK_FREE = _gauge("disk_free_ratio", "Free share of the disk that holds the state folder.", kept=True)
PART_CPU = _counter("part_cpu_seconds", "CPU time of a part's living processes.", "part", kept=True)
PART_MEMORY = _gauge(
    "part_memory_bytes", "Memory of a part, a page that n processes share counted 1/n.", "part", kept=True
)
PART_PROCESSES = _gauge("part_processes", "Living processes of a part.", "part")
PART_READ = _counter("part_read_bytes", "Bytes its living processes have read, network included.", "part")
PART_WRITTEN = _counter("part_written_bytes", "Bytes its living processes have written, network included.", "part")
NETWORK = _counter("network_bytes", "Bytes over all of this machine's interfaces.", "direction", kept=True)
WATCH_SECONDS = _gauge("watch_look_seconds", "How long the watcher's last look took.", kept=True)

BY_NAME = {metric.name: metric for metric in METRICS}
