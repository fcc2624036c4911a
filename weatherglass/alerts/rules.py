"""The rules, one list: when something is an alert, and what to tell about it.

A rule fires for a subject once its value has been beyond `limit` for `lasting`; it resolves once the value has been
back behind `clears` (or is no longer measured) for `well_for`. Between the two limits nothing changes. Limits that are
not measured anywhere are judgements; their reason stands beside them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from weatherglass.alerts import metrics as m
from weatherglass.alerts.conditions import Condition, Increase, Latest, Quantile, Ratio
from weatherglass.formatting import words as in_words
from weatherglass.store.alerts import Severity
from weatherglass.topics import RAW, REJECTED

LOOK_SECONDS = 15.0
"""Between two looks at all rules."""

MINUTE = timedelta(minutes=1)
HALF_MINUTE = timedelta(seconds=30)

DURATION = "duration"
"""How a value in seconds is written: in words."""
LOGS = "docs/troubleshooting.md, Logs"
"""The section that says where each part's log is, on one machine and in the cluster."""


@dataclass(frozen=True)
class Rule:
    """`words` may hold `{subject}` and `{value}`; `value` says how the number is written: a format, or `DURATION`.

    `above`: whether the value must be above `limit`, else below. `because_of`: rules that explain this one: while one
    of them fires, this one is kept but not sent on. `dag`: whose log shows it. `page`: of the dashboard.
    """

    name: str
    condition: Condition
    limit: float
    clears: float
    lasting: timedelta
    severity: Severity
    words: str
    means: str
    still_works: str
    to_do: str
    above: bool = True
    well_for: timedelta = MINUTE
    value: str = "{:.0f}"
    because_of: tuple[str, ...] = ()
    dag: str | None = None
    page: str = "system"

    def fires(self, value: float) -> bool:
        return value > self.limit if self.above else value < self.limit

    def well(self, value: float) -> bool:
        """Whether a firing alert may be over. A value at the limit itself is neither."""
        return value <= self.clears if self.above else value >= self.clears

    def said(self, subject: str, value: float) -> str:
        shown = in_words(timedelta(seconds=value)) if self.value == DURATION else self.value.format(value)
        return self.words.format(subject=subject, value=shown)


def _down(name: str, metric: m.Metric, words: str, means: str, still_works: str, to_do: str, **others: Any) -> Rule:
    """Something that must be 1 is 0."""
    told: dict[str, Any] = {"severity": Severity.CRITICAL, "lasting": HALF_MINUTE, "well_for": HALF_MINUTE} | others
    told |= {"words": words, "means": means, "still_works": still_works, "to_do": to_do}
    return Rule(name, Latest(metric, worst="min"), limit=1, clears=1, above=False, **told)


NOTHING_COMES = ("no_new_observations", "source_not_answering")
BROKER = ("broker_unreachable",)

RULES: tuple[Rule, ...] = (
    # --- the source and the stations
    Rule(
        "source_not_answering",
        Latest(m.POLL_AGE),
        4,  # the replay is polled every minute, and a busy scheduler is a minute or two late
        2,
        HALF_MINUTE,
        Severity.CRITICAL,
        "The source has not been polled with success for {value} intervals.",
        "Forecasts rest on ever older observations.",
        "Forecasts, the API and the dashboard, with what they have; the next good poll fills the gap.",
        "Read the log of ingest_observations: it has the source's own answer. With the replay, see whether its server "
        f"runs, and read its log ({LOGS}).",
        value="{:.1f}",
        because_of=("airflow_unwell", *BROKER),
        dag="ingest_observations",
    ),
    Rule(
        "no_new_observations",
        Latest(m.OBSERVATION_AGE),
        1500,  # stations renew every 15 min, two polls of 5 min at most come on top
        900,
        HALF_MINUTE,
        Severity.CRITICAL,
        "No observation of any station has arrived for {value}.",
        "Forecasts rest on ever older observations.",
        "Forecasts, the API and the dashboard, with what they have.",
        "See whether ingest_observations publishes; if it does, whether store_predictions gets on.",
        value=DURATION,
        because_of=("source_not_answering", "job_not_running", "job_silent", "store_unreachable", *BROKER),
        dag="ingest_observations",
    ),
    Rule(
        "station_silent",
        Latest(m.SILENCE),
        3,
        1.5,
        HALF_MINUTE,
        Severity.WARNING,
        "{subject} has been silent for {value} of its usual intervals.",
        "Its forecast grows old, and its neighbours' forecasts go without it.",
        "All other stations.",
        "See the station's line in the log of ingest_observations; if the source has it no more, call the station's "
        "owner.",
        value="{:.1f}",
        because_of=NOTHING_COMES,
        dag="ingest_observations",
        page="station?id={subject}",
    ),
    Rule(
        "station_late",
        Latest(m.BEHIND),
        2,  # intervals; one is a poll that just missed it
        1,
        timedelta(minutes=5),
        Severity.WARNING,
        "{subject} is {value} intervals behind the other stations.",
        "Its forecast starts from an older reading than it could.",
        "All other stations; late readings enter its hours as they come.",
        "If it stays, ask the owner for the delay; the daily report shows its timeliness.",
        value="{:.1f}",
        because_of=("station_silent", *NOTHING_COMES),
        dag="ingest_observations",
        page="station?id={subject}",
    ),
    Rule(
        "station_frozen",
        Latest(m.FROZEN),
        0,
        0,
        HALF_MINUTE,
        Severity.WARNING,
        "{subject} repeats a value that should move.",
        "Its readings are flagged, and its forecast may be wrong.",
        "All other stations; the frozen reading is marked wherever it is shown.",
        "Look at the station's readings; a stuck sensor wants a technician.",
        well_for=timedelta(minutes=2),
        dag="serve_predictions",
        page="station?id={subject}",
    ),
    Rule(
        "budget_nearly_spent",
        Latest(m.BUDGET),
        0.9,
        0.8,
        timedelta(),
        Severity.WARNING,
        "{value} of Open-Meteo's free calls of a day are used.",
        "Beyond it the source refuses until the day is over, and observations stop.",
        "Everything, until then.",
        "Set WEATHERGLASS_POLL_MINUTES higher, or watch fewer stations.",
        value="{:.0%}",
        dag="ingest_observations",
    ),
    Rule(
        "clock_skew",
        Latest(m.CLOCK_SKEW),
        30,
        10,
        timedelta(),
        Severity.WARNING,
        "This machine's clock is {value} off the source's.",
        "Beyond the tolerance observations are rejected as being from the future.",
        "Everything, until then.",
        "Set the clock by NTP (`timedatectl set-ntp true`).",
        value=DURATION,
        dag="ingest_observations",
    ),
    # --- the stream
    _down(
        "broker_unreachable",
        m.KAFKA_UP,
        "The Kafka broker does not answer.",
        "Nothing new is published, computed or forecast.",
        "The API and the dashboard, with what is stored; observations missed meanwhile are fetched again.",
        f"See whether the broker runs, read its log, and start it if it stays away ({LOGS}).",
    ),
    Rule(
        "consumer_behind",
        Latest(m.LAG_SECONDS),
        60,
        15,
        HALF_MINUTE,
        Severity.CRITICAL,
        "{subject}: records have waited for {value}, and lag grows.",
        "Forecasts come later and later.",
        "Everything, late; nothing is lost while the topic keeps it.",
        "Read the log of the job that reads there: does it get on, and how long are its batches? If it cannot keep "
        "up, give it more cores.",
        value=DURATION,
        because_of=("job_not_running", "job_silent", "ray_unreachable", "actor_lost", *BROKER),
    ),
    Rule(
        "watermark_stuck",
        Latest(m.WATERMARK_LAG),
        7200,  # the watermark's ten minutes and a step of an hour in the backfill are 70 minutes
        5400,
        MINUTE,
        Severity.WARNING,
        "The watermark is {value} behind the newest observation.",
        "Windows are not closed: memory grows, and late readings are not told from others.",
        "Features and forecasts, for now.",
        "See the features query's batches in the log of stream_features; clear its task to start it again.",
        value=DURATION,
        because_of=("job_not_running", "job_silent", "consumer_behind", *BROKER),
        dag="stream_features",
    ),
    Rule(
        "batches_too_slow",
        Latest(m.BATCH_OVER_TRIGGER),
        1.5,
        1,
        timedelta(minutes=3),
        Severity.WARNING,
        "Batches of the features query take {value} times the trigger's interval.",
        "It cannot keep up with what arrives; features come later and later.",
        "Everything, late.",
        "See which phase takes long in the log of stream_features; free the machine's CPU, or set "
        "WEATHERGLASS_SPARK_CORES or WEATHERGLASS_SPARK_TRIGGER_SECONDS higher.",
        value="{:.1f}",
        dag="stream_features",
    ),
    Rule(
        "many_rejected",
        Ratio((m.TOPIC_RECORDS, REJECTED), (m.TOPIC_RECORDS, RAW), timedelta(minutes=15), at_least=10),
        0.05,
        0.02,
        timedelta(),
        Severity.WARNING,
        "{value} of the observations of the last quarter of an hour could not be used.",
        "Their stations' features lack them.",
        "All that is well-formed; the rejected bytes lie in weather-rejected with their reasons.",
        "Read the header `reason` there: `future` or `past` is a clock, `late` a slow sender, the others a broken one.",
        value="{:.0%}",
        dag="stream_features",
    ),
    Rule(
        "forecasts_slow",
        Quantile(m.FROM_PUBLISHING, 0.95, timedelta(minutes=20)),
        60,
        30,
        timedelta(),
        Severity.WARNING,
        "One forecast in twenty takes longer than {value} from the observation's arrival.",
        "The newest forecasts are late.",
        "Everything, late.",
        "See which job lags on the page System, then its log; free the machine's CPU.",
        value=DURATION,
        because_of=("consumer_behind", "job_not_running", "job_silent", "actor_lost", "ray_unreachable", *BROKER),
    ),
    # --- jobs
    _down(
        "job_host_down",
        m.JOB_HOST_UP,
        "The job host does not run.",
        "The jobs that run go on; one that ends is not started again.",
        "Everything, until a job ends.",
        f"See whether the job host runs, read its log, and start it if it stays away ({LOGS}).",
    ),
    _down(
        "job_not_running",
        m.JOB_UP,
        "{subject} does not run.",
        "What it makes is not made: features, forecasts, or what the API shows.",
        "All that does not rest on it; it takes over where it stopped.",
        "See its DAG's run: failed as a whole, somebody stopped it, clear the task to start it again. Tried again and "
        "again: the last words of the try say why.",
        because_of=("job_host_down",),
        dag="{subject}",
    ),
    Rule(
        "job_silent",
        Latest(m.JOB_SILENCE),
        30,
        15,
        HALF_MINUTE,
        Severity.CRITICAL,
        "{subject} runs, but has given no sign of work for {value}.",
        "What it makes is not made.",
        "All that does not rest on it.",
        f"It is killed and started again by itself; if not, its log shows what it hangs on ({LOGS}).",
        value=DURATION,
        because_of=("job_host_down", *BROKER),
        dag="{subject}",
    ),
    Rule(
        "job_restarting",
        Increase(m.JOB_STARTS, timedelta(minutes=15)),
        2.5,
        1.5,
        timedelta(),
        Severity.WARNING,
        "{subject} was started again {value} times in a quarter of an hour.",
        "It loses time with every start, and may not get on at all.",
        "All that does not rest on it.",
        "Read the last words of its failed tries in its DAG's task log.",
        because_of=BROKER,
        dag="{subject}",
    ),
    _down(
        "ray_unreachable",
        m.RAY_UP,
        "The Ray head does not answer.",
        "No forecast is made.",
        "Observations, features, the API and the dashboard with the forecasts so far.",
        f"See whether the Ray head runs, read its log, and start it if it stays away ({LOGS}).",
        dag="serve_predictions",
    ),
    _down(
        "actor_lost",
        m.ACTOR_UP,
        "{subject} does not answer or does not get on.",
        "Its share of the stations gets no new forecast.",
        "The other stations; Ray starts the actor again by itself.",
        "If it stays: the log of serve_predictions, then the actor's own in Ray's dashboard.",
        because_of=("ray_unreachable",),
        dag="serve_predictions",
    ),
    _down(
        "airflow_unwell",
        m.AIRFLOW_UP,
        "Airflow's {subject} is not healthy.",
        "No polls, training or restarts of jobs while the scheduler, triggerer or DAG processor is down; no page while "
        "the API server is.",
        "The jobs that run go on.",
        f"See whether it runs, read its log, and start it if it stays away ({LOGS}).",
        lasting=MINUTE,
    ),
    # --- models
    Rule(
        "models_on_fallback",
        Latest(m.FALLBACK),
        0.5,
        0.3,
        MINUTE,
        Severity.WARNING,
        "{value} of the stations are forecast without the model.",
        "Forecasts are as good as climatology or persistence, their intervals wider.",
        "Everything; every forecast says how it was made.",
        "See train_models: is there a champion, and does it know these stations?",
        value="{:.0%}",
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
        "The model of {subject} is not the one that should serve.",
        "An older model or a baseline answers.",
        "Everything, with that.",
        "The log of serve_predictions says why it was refused; train a new version, or roll back.",
        because_of=("ray_unreachable", "actor_lost"),
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
        "The model in service was trained {value} ago.",
        "It does not know the season's last month.",
        "Everything.",
        "Run prepare_history with new history; training follows by itself.",
        value=DURATION,
        dag="train_models",
        page="models",
    ),
    Rule(
        "verification_stopped",
        Latest(m.VERIFICATION_AGE),
        3 * 3600,  # it runs hourly
        2 * 3600,
        timedelta(),
        Severity.WARNING,
        "Forecasts have not been compared with what came true for {value}.",
        "Nobody sees a forecast getting worse.",
        "Everything else.",
        "Read the log of the verification's last run.",
        value=DURATION,
        dag="verify_forecasts",
        page="models",
    ),
    Rule(
        "verification_without_truth",
        Latest(m.TRUTHLESS),
        6 * 3600,
        3 * 3600,
        timedelta(),
        Severity.WARNING,
        "Verification has found nothing to compare for {value}.",
        "Nobody sees a forecast getting worse.",
        "Everything else.",
        "See whether observations of past valid times are in the store, under the stations' own names.",
        value=DURATION,
        because_of=NOTHING_COMES,
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
        "The last run of {subject} failed.",
        "What it makes (a model, history, a report) is the one from before.",
        "Everything, with that.",
        "Read the failed task's log; its DAG's page has triage notes. A run that succeeds ends this alert.",
        well_for=timedelta(),
        dag="{subject}",
    ),
    # --- store, API, machine
    _down(
        "store_unreachable",
        m.STORE_UP,
        "The store cannot be read.",
        "The API and the dashboard show nothing; alerts are sent, but not kept.",
        "Observations, features and forecasts go on through Kafka, and are stored when it is back.",
        "The disk may be full, or the database of WEATHERGLASS_DATABASE_URL down.",
    ),
    Rule(
        "api_errors",
        Ratio((m.API_REQUESTS, "error"), (m.API_REQUESTS, None), timedelta(minutes=5), at_least=5),
        0.05,
        0.02,
        timedelta(),
        Severity.WARNING,
        "{value} of the API's answers in the last five minutes are errors of its own (5xx).",
        "Pages and programs that ask the API get no answer.",
        "All that does not ask the API.",
        f"Read the API server's log ({LOGS}); `/health` says which part is failing.",
        value="{:.0%}",
        because_of=("store_unreachable",),
    ),
    Rule(
        "disk_nearly_full",
        Latest(m.DISK_FREE, worst="min"),
        0.05,
        0.07,
        HALF_MINUTE,
        Severity.CRITICAL,
        "The disk that holds the pipeline's data has {value} free.",
        "Kafka and the store stop when it is full.",
        "Everything, until then.",
        "See what takes the room (one machine: `du -sh .weatherglass/*`, cluster: `docker system df --verbose`); "
        "shorten the topics' retention, or move the data to a larger disk.",
        above=False,
        value="{:.1%}",
    ),
)

BY_NAME = {rule.name: rule for rule in RULES}
