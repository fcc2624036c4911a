"""All metrics of the monitor: names, units, labels. Labels are few and have a bounded number of values.

Source of the naming conventions: prometheus.io/docs/practices/naming.
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
    """Definition of a metric.

    Attributes:
        labels: names of the labels; a series is identified by their values in this order.
        buckets: upper bounds of a histogram, without the last, infinite one.
        recorded: whether its values of the last week are kept in the store.
    """

    name: str
    kind: MetricKind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    recorded: bool = False


METRICS: list[Metric] = []
"""All metrics, in the order of the pipeline."""


def _gauge(name: str, help_: str, *labels: str, recorded: bool = False) -> Metric:
    return _register(Metric(PREFIX + name, MetricKind.GAUGE, help_, labels, recorded=recorded))


def _counter(name: str, help_: str, *labels: str, recorded: bool = False) -> Metric:
    return _register(Metric(f"{PREFIX}{name}_total", MetricKind.COUNTER, help_, labels, recorded=recorded))


def _histogram(name: str, help_: str, buckets: tuple[float, ...], *labels: str) -> Metric:
    return _register(Metric(PREFIX + name, MetricKind.HISTOGRAM, help_, labels, buckets))


def _register(metric: Metric) -> Metric:
    METRICS.append(metric)
    return metric


# --- source
POLLS = _counter("polls", "Polls of the source.", "outcome")
POLL_SECONDS = _gauge("poll_seconds", "Duration of the last poll.", recorded=True)
POLL_AGE = _gauge("poll_age_ratio", "Time since the last successful poll, in polling intervals.")
POLLED_OBSERVATIONS = _counter(
    "polled_observations", "Observations received, by kind: new, filled, revised or repeated.", "kind"
)
UNOBSERVED_STATIONS = _gauge("unobserved_stations", "Stations without an observation in the last poll.")
BUDGET_USED = _gauge("open_meteo_budget_used_ratio", "Share of the free daily calls used in 24 h.", recorded=True)
CLOCK_SKEW = _gauge("clock_skew_seconds", "Absolute difference between this machine's clock and the source's.")

# --- Kafka
KAFKA_UP = _gauge("kafka_up", "Whether the broker responds: 1 or 0.")
LAG_RECORDS = _gauge("consumer_lag_records", "Records not yet read by a consumer group.", "group", "topic", "partition")
LAG_SECONDS = _gauge(
    "consumer_lag_seconds", "Waiting time of the oldest unread record.", "group", "topic", recorded=True
)
TOPIC_RECORDS = _counter("topic_records", "Records written to a topic since its creation.", "topic", recorded=True)
TOPIC_BYTES = _gauge("topic_bytes", "Size of a topic on the broker's disk.", "topic", recorded=True)
REJECTED_RECORDS = _counter("rejected_records", "Records on weather-rejected, by reason.", "reason")
SKIPPED_RECORDS = _counter("skipped_records", "Invalid records that inference and the sink skipped.", "job")

# --- Spark
BATCHES = _counter("spark_batches", "Batches of the features query.")
ROWS = _counter("spark_rows", "Observations read by the features query.")
ROWS_PER_SECOND = _gauge("spark_rows_per_second", "Input rate of the last batches.", recorded=True)
BATCH_SECONDS = _gauge(
    "spark_batch_seconds", "Mean duration of the batches since the last sample, by phase.", "phase", recorded=True
)
BATCH_OVER_TRIGGER = _gauge("spark_batch_over_trigger_ratio", "Mean batch duration divided by the trigger interval.")
STATE_ROWS = _gauge("spark_state_rows", "Rows in the state of the features query.", recorded=True)
STATE_BYTES = _gauge("spark_state_bytes", "Memory of that state.", recorded=True)
LATE_ROWS = _counter("spark_late_rows", "Observations whose windows were all closed.")

# --- Ray, inference and models
RAY_UP = _gauge("ray_up", "Whether the Ray head responds: 1 or 0.")
ACTOR_UP = _gauge("actor_up", "Whether an inference actor responds and makes progress: 1 or 0.", "actor")
ACTOR_RESTARTS = _counter("actor_restarts", "Restarts of inference actors.")
ACTOR_BYTES = _gauge("actor_memory_bytes", "Resident memory of all inference actors.", recorded=True)
INFERENCE_SECONDS = _gauge("inference_batch_seconds", "Duration of the last batch of the slowest actor.", recorded=True)
INFERENCE_RECORDS = _counter("inference_records", "Window features read by inference.")
INFERENCE_PREDICTIONS = _counter("inference_answers", "Predictions made by inference.")
MODEL_STATE = _gauge("model_state", "State of a model slot: 0 ok, 1 degraded, 2 failing.", "model")
MODEL_INFO = _gauge("model_info", "1 for the version in service.", "version")
MODEL_AGE = _gauge("model_age_seconds", "Time since the version in service was trained.")
FALLBACK_RATIO = _gauge(
    "fallback_stations_ratio", "Share of stations whose newest forecast was not made by the model.", recorded=True
)
GUIDANCE_AGE = _gauge("guidance_age_seconds", "Time since the newest run of a weather model was stored.")
VERIFICATION_AGE = _gauge("verification_age_seconds", "Time since forecasts were last verified.")
TRUTH_AGE = _gauge("verification_without_truth_seconds", "Time since verification last found observations.")

# --- store and end to end
STORE_UP = _gauge("store_up", "Whether the store can be read: 1 or 0.")
STORE_BYTES = _gauge("store_bytes", "Size of the store's file.", recorded=True)
STORED_RECORDS = _counter("stored_records", "Records written by the sink.", "kind")
OBSERVATION_AGE = _gauge("newest_observation_age_seconds", "Time since an observation last arrived.", recorded=True)
OBSERVATION_AGE_RATIO = _gauge(
    "newest_observation_age_ratio", "Time since an observation last arrived, in intervals of the source."
)
PREDICTION_AGE = _gauge("newest_prediction_age_seconds", "Time since a prediction last arrived.", recorded=True)
PUBLISHING_TO_PREDICTION = _histogram(
    "publishing_to_prediction_seconds",
    "From an observation's arrival on weather-raw to its prediction in the store.",
    (0.5, 1, 2, 5, 10, 30, 60, 120, 300),
    "station",
)
OBSERVATION_TO_PREDICTION = _histogram(
    "observation_to_prediction_seconds",
    "From an observation's timestamp to its prediction in the store.",
    (60, 300, 900, 1800, 3600, 7200),
    "station",
)

# --- stations
STATION_SILENCE = _gauge(
    "station_silence_ratio", "Time since a station last reported, in its usual intervals.", "station"
)
STATION_DELAY = _gauge(
    "station_behind_ratio",
    "Delay of a station behind the newest observation of all own or all other stations, in intervals.",
    "station",
)
STATION_FROZEN = _gauge("station_frozen", "Whether a station repeats a value that should vary: 1 or 0.", "station")

# --- jobs, API, Airflow
JOB_HOST_UP = _gauge("job_host_up", "Whether the job host is running: 1 or 0.")
JOB_UP = _gauge("job_up", "Whether a long-lived job is running: 1 or 0; only for jobs that were started before.", "job")
JOB_SILENCE = _gauge("job_silence_seconds", "Time since the heartbeat of a running job, except at its start.", "job")
JOB_STARTS = _counter("job_starts", "Starts of a job since the start of the monitor.", "job")
API_REQUESTS = _counter("api_answers", "Requests answered by the API.", "outcome", recorded=True)
AIRFLOW_UP = _gauge("airflow_up", "Whether a component of Airflow is healthy: 1 or 0.", "component")
AIRFLOW_HEARTBEAT = _gauge(
    "airflow_heartbeat_age_seconds", "Time since the heartbeat of a component of Airflow.", "component"
)
DAG_FAILED = _gauge("dag_failed", "Whether the newest finished run of a DAG failed: 1 or 0.", "dag")
DAG_SECONDS = _gauge("dag_run_seconds", "Duration of the newest finished run of a DAG.", "dag", recorded=True)
DAG_QUEUE_SECONDS = _gauge(
    "dag_queue_seconds", "Queueing time of the newest finished run of a DAG.", "dag", recorded=True
)

# --- machine
DISK_FREE = _gauge("disk_free_ratio", "Free share of the disk that holds the state folder.", recorded=True)
PART_CPU = _counter("part_cpu_seconds", "CPU time of the running processes of a component.", "part", recorded=True)
PART_MEMORY = _gauge(
    "part_memory_bytes", "Memory of a component; a page shared by n processes counts 1/n.", "part", recorded=True
)
PART_PROCESSES = _gauge("part_processes", "Running processes of a component.", "part")
PART_READ = _counter("part_read_bytes", "Bytes read by a component's processes, including network.", "part")
PART_WRITTEN = _counter("part_written_bytes", "Bytes written by a component's processes, including network.", "part")
NETWORK = _counter("network_bytes", "Bytes transferred over all network interfaces.", "direction", recorded=True)
COLLECTION_SECONDS = _gauge("monitor_collection_seconds", "Duration of the monitor's last collection.", recorded=True)

METRICS_BY_NAME = {metric.name: metric for metric in METRICS}
