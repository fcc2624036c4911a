"""The tables. Every change needs a revision in `migrations/versions/`; a test compares the two."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


class UtcTime(TypeDecorator[datetime]):
    """A time with time zone, stored in UTC. SQLite stores no zone, so it is dropped after conversion."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


Document = JSON().with_variant(JSONB(), "postgresql")
RowId = BigInteger().with_variant(Integer(), "sqlite")  # SQLite autoincrements only INTEGER primary keys


def _values() -> list[Column]:
    """The values of a station: °C, %, hPa, m/s, degrees (direction the wind comes from)."""
    names = ("temperature", "humidity", "pressure", "wind_speed", "wind_direction")
    return [Column(name, Float) for name in names]


def _reading() -> list[Column]:
    """The values of an observation; the gust in m/s."""
    resolution = Column("temperature_resolution", Float, comment="Step in which the temperature is reported, °C.")
    return [*_values(), Column("wind_gust", Float), resolution]


published = Table(
    "published",
    metadata,
    Column("station_id", String(100), primary_key=True),
    Column("timestamp", UtcTime, primary_key=True),
    *_reading(),
    Column("source", String(20), comment="Source of the reading; null if unknown."),
    comment="The newest observations of each station that the broker has acknowledged.",
)

observations = Table(
    "observations",
    metadata,
    Column("station_id", String(100), primary_key=True),
    Column("timestamp", UtcTime, primary_key=True),
    *_reading(),
    Column("source", String(20), comment="Source of the reading; null if unknown."),
    Column("stored_at", UtcTime, nullable=False),
    Index(None, "stored_at"),
    comment="One row per station and time.",
)

model_output = Table(
    "model_output",
    metadata,
    Column("station_id", String(100), primary_key=True),
    Column("timestamp", UtcTime, primary_key=True),
    *_values(),
    Column("source", String(20), nullable=False, comment="The model's source."),
    Column("stored_at", UtcTime, nullable=False),
    comment="Values of a weather model at stations that an airport observes; no observations.",
)

guidance = Table(
    "guidance",
    metadata,
    Column("station_id", String(100), primary_key=True),
    Column("model", String(60), primary_key=True),
    Column("run", UtcTime, primary_key=True),
    Column("run_time", String(20), nullable=False, comment="fetch: `run` is a reception time."),
    Column("fetched_at", UtcTime, nullable=False, comment="Forecasts issued earlier did not know the run."),
    Column("latitude", Float, nullable=False),
    Column("longitude", Float, nullable=False),
    Column("elevation", Float),
    Column("simulated", Boolean, nullable=False, comment="True: made by the replay server."),
    Column("observed_only_by_model", Boolean, nullable=False, comment="True: the station has no independent truth."),
    Column("values", Document, nullable=False, comment="Valid times and one list per variable, as in the record."),
    Column("source", String(20)),
    Column("stored_at", UtcTime, nullable=False),
    Index(None, "fetched_at"),
    Index(None, "stored_at"),
    comment="One row per run of a weather model and station, kept for 100 days.",
)

guidance_fetches = Table(
    "guidance_fetches",
    metadata,
    Column("station_id", String(100), primary_key=True),
    Column("model", String(60), primary_key=True),
    Column("checked_at", UtcTime, nullable=False, comment="When the source was last requested."),
    Column("values", Document, nullable=False, comment="The last published run; null before the first."),
    comment="What was last requested and published of each model and station.",
)

features = Table(
    "features",
    metadata,
    Column("station_id", String(100), primary_key=True),
    Column("window_start", UtcTime, nullable=False),
    Column("window_end", UtcTime, nullable=False),
    Column("aggregated_features", Document, nullable=False),
    Column("stored_at", UtcTime, nullable=False),
    comment="The newest leading window of each station, from which its forecast was made.",
)

predictions = Table(
    "predictions",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("station_id", String(100), nullable=False),
    Column("timestamp", UtcTime, nullable=False, comment="Time of the observation on which the prediction is based."),
    Column("method", String(40), nullable=False),
    Column("model_version", String(100), nullable=False),
    Column("is_anomaly", Boolean, nullable=False),
    Column("score", Float, nullable=False),
    Column("predictions", Document, nullable=False, comment="Valid times and one list per variable, as in the record."),
    Column("anomaly", Document, nullable=False),
    Column("confidence", Document, nullable=False),
    Column("source", String(20)),
    Column("inputs_hash", String(64), comment="SHA-256 of the model inputs."),
    Column("stored_at", UtcTime, nullable=False),
    UniqueConstraint("station_id", "timestamp"),
    Index(
        "ix_predictions_flagged",
        "timestamp",
        "id",
        sqlite_where=text("is_anomaly = 1"),
        postgresql_where=text("is_anomaly"),
    ),
    Index(None, "timestamp"),
    Index(None, "stored_at"),
    sqlite_autoincrement=True,  # ids of deleted rows are not reused, so that cursors stay valid
    comment="One row per prediction: all variables and leads, the anomaly result, the interval.",
)

shadow_predictions = Table(
    "shadow_predictions",
    metadata,
    Column("station_id", String(100), primary_key=True),
    Column("timestamp", UtcTime, primary_key=True),
    Column("model_version", String(100), primary_key=True),
    Column("method", String(40), nullable=False),
    Column("predictions", Document, nullable=False),
    Column("confidence", Document, nullable=False),
    Column("inputs_hash", String(64)),
    Column("stored_at", UtcTime, nullable=False),
    Index(None, "timestamp"),
    Index(None, "stored_at"),
    comment="Forecasts from the same inputs by the version that did not serve the station.",
)

verification = Table(
    "verification",
    metadata,
    Column("version", String(100), primary_key=True, comment="A model version, or the method of a fallback."),
    Column("hindcast", Boolean, primary_key=True, comment="True: computed from history afterwards, not live."),
    Column("day", Date, primary_key=True, comment="UTC day of the valid times."),
    Column("station_id", String(100), primary_key=True),
    Column("variable", String(20), primary_key=True),
    Column("lead", Integer, primary_key=True, autoincrement=False, comment="Hours, 1 to 24."),
    Column("n", Integer, nullable=False, comment="Verified forecast values."),
    Column("mae", Float, nullable=False),
    Column("rmse", Float, nullable=False),
    Column("bias", Float, nullable=False, comment="Mean of forecast minus observation."),
    Column("n_mape", Integer, comment="Of n, values of which an error is a percentage; null before version 0.2."),
    Column("mape", Float, comment="Mean absolute error of these in % of the observation; null for temperature."),
    Column("crps", Float, comment="Continuous ranked probability score; null without intervals."),
    Column("coverage_80", Float, comment="Share of observations inside the interval; null without one."),
    Column("coverage_90", Float),
    Column("n_baselines", Integer, nullable=False, comment="Of n, cases in which both baselines have a value."),
    Column("mae_compared", Float, comment="MAE of the version on these cases."),
    Column(
        "mae_persistence",
        Float,
        comment="MAE of persistence on these; skill = 1 - mae_compared / mae_persistence.",
    ),
    Column("mae_damped", Float, comment="MAE of the damped anomaly on these cases."),
    Index(None, "day"),
    comment="Scores of forecasts against observations, by day.",
)

guidance_verification = Table(
    "guidance_verification",
    metadata,
    Column("version", String(100), primary_key=True, comment="As in `verification`."),
    Column("day", Date, primary_key=True, comment="UTC day of the valid times."),
    Column("station_id", String(100), primary_key=True),
    Column("model", String(60), primary_key=True, comment="Open-Meteo's id of the weather model."),
    Column("simulated", Boolean, primary_key=True, comment="True: guidance made by the replay server."),
    Column("variable", String(20), primary_key=True),
    Column("lead", Integer, primary_key=True, autoincrement=False, comment="Hours, 1 to 24."),
    Column("n", Integer, nullable=False, comment="Forecast values with guidance and an observation of no model."),
    Column("mae_compared", Float, nullable=False, comment="MAE of the version on these cases."),
    Column("mae_guidance", Float, nullable=False, comment="MAE of the guidance as it is on these cases."),
    Index(None, "day"),
    comment="Live forecasts compared with the raw guidance that they knew, by day.",
)

verification_runs = Table(
    "verification_runs",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("at", UtcTime, nullable=False),
    Column("through", UtcTime, nullable=False, comment="Everything stored up to this time has been verified."),
    Column("days", Integer, nullable=False, comment="Number of days scored."),
    Column("pairs", Integer, nullable=False, comment="Number of verified forecast values."),
    Column("seconds", Float, nullable=False),
    comment="One row per verification run.",
)

paired_losses = Table(
    "paired_losses",
    metadata,
    Column("champion", String(100), primary_key=True),
    Column("challenger", String(100), primary_key=True),
    Column("hindcast", Boolean, primary_key=True),
    Column("valid_hour", UtcTime, primary_key=True),
    Column("variable", String(20), primary_key=True),
    Column("n", Integer, nullable=False),
    Column("champion_mae", Float, nullable=False),
    Column("challenger_mae", Float, nullable=False),
    comment="Errors of two versions on the same cases (station, time, lead), by valid hour.",
)

comparisons = Table(
    "comparisons",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("at", UtcTime, nullable=False),
    Column("champion", String(100), nullable=False),
    Column("challenger", String(100), nullable=False),
    Column("decision", String(20), nullable=False, comment="promote, keep or wait."),
    Column("reason", Text, nullable=False),
    Column("details", Document, nullable=False, comment="Test result by variable."),
    comment="Every test of a challenger against the champion.",
)

promotions = Table(
    "promotions",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("at", UtcTime, nullable=False),
    Column("kind", String(40), nullable=False, comment="forecaster or anomaly-detector."),
    Column("action", String(20), nullable=False, comment="promote, rollback, challenge or withdraw."),
    Column("from_version", String(100)),
    Column("to_version", String(100)),
    Column("changed_by", String(200), nullable=False),
    Column("reason", Text, nullable=False),
    Column("details", Document, nullable=False),
    Index(None, "kind", "id"),
    sqlite_autoincrement=True,
    comment="Append-only (triggers): changes of champion and challenger.",
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("kind", String(40), nullable=False),
    Column("version", String(100), nullable=False),
    Column("since", UtcTime, nullable=False),
    Column("by", String(100), nullable=False, comment="The actor that rejected it."),
    Column("reason", Text, nullable=False),
    Column("released_at", UtcTime, comment="When it was promoted again; its validation is repeated."),
    Index(None, "kind", "version"),
    comment="Versions that failed validation or failed in service; not used until released.",
)

verdicts = Table(
    "verdicts",
    metadata,
    Column("station_id", String(100), primary_key=True),
    Column("timestamp", UtcTime, primary_key=True, comment="Time of the flagged reading."),
    Column("verdict", String(20), nullable=False, comment="confirmed or false_alarm."),
    Column("by", String(100), nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("note", Text, nullable=False),
    comment="Verdicts of users on flagged readings; the last one is kept.",
)

injected_faults = Table(
    "injected_faults",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("station_id", String(100), nullable=False),
    Column("variable", String(20), nullable=False, comment="A variable, or `all`."),
    Column("kind", String(40), nullable=False, comment="spike, drift, stuck, ..."),
    Column("start", UtcTime, nullable=False),
    Column("end", UtcTime, nullable=False, comment="Time of the last wrong reading."),
    UniqueConstraint("station_id", "variable", "start"),
    comment="Faults injected into replayed or simulated observations, to score the detector.",
)

detection = Table(
    "detection",
    metadata,
    Column("version", String(100), primary_key=True, comment="Version of the detector; `none`: rules only."),
    Column("day", Date, primary_key=True),
    Column("truth", String(20), primary_key=True, comment="Reference: injected or verdict."),
    Column("kind", String(40), primary_key=True, comment="Kind of the injected fault; empty without one."),
    Column("hits", Integer, nullable=False, comment="Detected faults, or confirmed flags."),
    Column("misses", Integer, nullable=False, comment="Undetected faults; 0 for verdicts."),
    Column("false_alarms", Integer, nullable=False),
    comment="Detector scores: precision = hits / (hits + false_alarms), recall = hits / (hits + misses).",
)

retraining_requests = Table(
    "retraining_requests",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("at", UtcTime, nullable=False),
    Column("reason", Text, nullable=False),
    comment="Trainings requested by the verification; each one starts the cool-down, also if the training fails.",
)

drift = Table(
    "drift",
    metadata,
    Column("version", String(100), primary_key=True),
    Column("day", Date, primary_key=True, comment="The last of the compared days."),
    Column("feature", String(60), primary_key=True),
    Column("psi", Float, nullable=False, comment="Population stability index against the training data."),
    Column("ks", Float, nullable=False, comment="Kolmogorov-Smirnov distance."),
    Column("n", Integer, nullable=False),
    Column("psi_limit", Float, nullable=False, comment="A larger PSI is drift."),
    comment="Difference between the recent inputs and the training data of a version.",
)

recalibrations = Table(
    "recalibrations",
    metadata,
    Column("version", String(100), primary_key=True),
    Column("station_id", String(100), primary_key=True),
    Column("day", Date, nullable=False, comment="UTC day on which it was estimated."),
    Column(
        "bias", Document, nullable=False, comment="[lead][class of the base hour][variable], subtracted from values."
    ),
    Column("factors", Document, nullable=False, comment="[lead][variable][level], factors of the half-width."),
    comment="What is changed in the forecasts and intervals of a version, by station.",
)

alerts = Table(
    "alerts",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("rule", String(60), nullable=False),
    Column("subject", String(200), nullable=False, comment="The affected version, variable, station or job."),
    Column("severity", String(20), nullable=False, comment="warning or critical."),
    Column("since", UtcTime, nullable=False),
    Column("seen_at", UtcTime, nullable=False, comment="When the rule last matched."),
    Column("resolved_at", UtcTime),
    Column("message", Text, nullable=False),
    Column("details", Document, nullable=False),
    Column("acknowledged_by", String(100)),
    Column("acknowledged_at", UtcTime),
    Column("silenced_until", UtcTime),
    Column("sent_at", UtcTime, comment="When the notification was sent; null if not sent."),
    Column("resolution_sent_at", UtcTime, comment="When the resolution was sent."),
    Index(
        "uq_alerts_open",
        "rule",
        "subject",
        unique=True,
        sqlite_where=text("resolved_at IS NULL"),
        postgresql_where=text("resolved_at IS NULL"),
    ),
    Index(None, "since"),
    sqlite_autoincrement=True,
    comment="Open and resolved alerts; one open row per rule and subject.",
)

weather_alert_rules = Table(
    "weather_alert_rules",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("definition", Document, nullable=False, comment="As in `weather_alerts.rule`."),
    Column("created_at", UtcTime, nullable=False),
    Column("created_by", String(100), nullable=False),
    Column("deleted_at", UtcTime, comment="Null while the rule is in use."),
    Column("evaluated_at", UtcTime),
    Column("not_evaluated", Document, nullable=False, comment="Reason by station, at the last evaluation."),
    sqlite_autoincrement=True,
    comment="Rules of users about the forecasts and faults of stations.",
)

weather_alerts = Table(
    "weather_alerts",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("rule_id", RowId, nullable=False),
    Column("rule_name", String(100), nullable=False),
    Column("station_id", String(100), nullable=False),
    Column("since", UtcTime, nullable=False),
    Column("seen_at", UtcTime, nullable=False, comment="When the rule was last evaluated for the station."),
    Column("ended_at", UtcTime),
    Column("end_reason", String(20), comment="cleared, expired or deleted; null while the alert is open."),
    Column("details", Document, nullable=False, comment="What the rule found at the last evaluation."),
    Column("sent_at", UtcTime, comment="When the message was sent; null if not sent."),
    Column("end_sent_at", UtcTime, comment="When the message about the end was sent."),
    Index(
        "uq_weather_alerts_open",
        "rule_id",
        "station_id",
        unique=True,
        sqlite_where=text("ended_at IS NULL"),
        postgresql_where=text("ended_at IS NULL"),
    ),
    Index(None, "since"),
    sqlite_autoincrement=True,
    comment="Weather alerts; one open row per rule and station.",
)

polls = Table(
    "polls",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("at", UtcTime, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("outcome", String(60), nullable=False, comment="ok, or the kind of error."),
    Column("new", Integer, nullable=False, comment="Observations published for the first time."),
    Column("filled", Integer, nullable=False, comment="Published observations of missed steps."),
    Column("revised", Integer, nullable=False, comment="Observations published again with other values."),
    Column("repeated", Integer, nullable=False, comment="Observations not published: no change."),
    Column("unobserved", Integer, nullable=False, comment="Stations without a usable observation."),
    Column("calls", Integer, nullable=False, comment="Calls of the API budget: one per location and request."),
    Column("clock_skew", Float, comment="Seconds by which the local clock is ahead of the source."),
    Column(
        "kind",
        String(20),
        nullable=False,
        server_default="observations",
        comment="observations or guidance.",
    ),
    Index(None, "at"),
    comment="One row per poll of a source, kept for a week.",
)

metric_history = Table(
    "metric_history",
    metadata,
    Column("name", String(80), primary_key=True),
    Column(
        "labels", String(200), primary_key=True, comment="Label values in the order of the metric, comma-separated."
    ),
    Column("at", UtcTime, primary_key=True, comment="End of the interval."),
    Column("value", Float, nullable=False, comment="Mean of a gauge, or increase of a counter."),
    Index(None, "at"),
    sqlite_with_rowid=False,
    comment="A week of metrics in intervals of five minutes.",
)

station_days = Table(
    "station_days",
    metadata,
    Column("station_id", String(100), primary_key=True),
    Column("day", Date, primary_key=True, comment="UTC day of the observation times."),
    Column("expected", Integer, nullable=False, comment="Observations at the usual interval."),
    Column("received", Integer, nullable=False),
    Column("interval_seconds", Float, nullable=False, comment="Usual interval of the station."),
    Column("timeliness_median", Float, comment="Seconds from observation time to arrival."),
    Column("timeliness_p95", Float),
    Column("longest_gap", Float, nullable=False, comment="Longest time without an observation, seconds."),
    Column("failed", Document, nullable=False, comment="Share of checked readings that failed, by check."),
    Column("log", Document, nullable=False, comment="Periods of up, late, silent and suspect, in order."),
    comment="Daily report of each station.",
)

benchmark_results = Table(
    "benchmark_results",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("run", String(60), nullable=False),
    Column("at", UtcTime, nullable=False, comment="End of the measurement."),
    Column("scenario", String(20), nullable=False, comment="What the run varied."),
    Column("stations", Integer, nullable=False),
    Column("rate", Float, nullable=False, comment="Observations per second that were asked for."),
    Column("workers", Integer, nullable=False, comment="Spark's cores and inference actors."),
    Column("figures", Document, nullable=False, comment="What was measured."),
    Column("environment", Document, nullable=False, comment="Machine and versions."),
    Index(None, "run"),
    comment="Benchmarks of the pipeline, one row per measured load.",
)
