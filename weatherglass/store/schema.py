"""The tables. A change here wants a revision in `migrations/versions/`; a test compares the two."""

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
    """A time with its zone, kept in UTC. SQLite keeps no zone, so there it is dropped after conversion."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone; the store takes times with a zone only")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


Document = JSON().with_variant(JSONB(), "postgresql")
RowId = BigInteger().with_variant(Integer(), "sqlite")  # SQLite counts up only an INTEGER primary key


def _reading() -> list[Column]:
    """The values of an observation: °C, %, hPa, m/s, degrees from which the wind blows."""
    return [Column(name, Float) for name in ("temperature", "humidity", "pressure", "wind_speed", "wind_direction")]


published = Table(
    "published",
    metadata,
    Column("station_id", String(100), primary_key=True),
    Column("timestamp", UtcTime, nullable=False),
    *_reading(),
    comment="The newest observation of each station that the broker has acknowledged.",
)

observations = Table(
    "observations",
    metadata,
    Column("station_id", String(100), primary_key=True),
    Column("timestamp", UtcTime, primary_key=True),
    *_reading(),
    Column("source", String(20), comment="Where the reading comes from; null if unknown."),
    Column("stored_at", UtcTime, nullable=False),
    Index(None, "stored_at"),
    comment="One row a station and time.",
)

features = Table(
    "features",
    metadata,
    Column("station_id", String(100), primary_key=True),
    Column("window_start", UtcTime, nullable=False),
    Column("window_end", UtcTime, nullable=False),
    Column("aggregated_features", Document, nullable=False),
    Column("stored_at", UtcTime, nullable=False),
    comment="The newest leading window of each station, the one its forecast was given.",
)

predictions = Table(
    "predictions",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("station_id", String(100), nullable=False),
    Column("timestamp", UtcTime, nullable=False, comment="Time of the observation that the prediction answers."),
    Column("method", String(40), nullable=False),
    Column("model_version", String(100), nullable=False),
    Column("is_anomaly", Boolean, nullable=False),
    Column("score", Float, nullable=False),
    Column("predictions", Document, nullable=False, comment="Valid times and a list per variable, as in the record."),
    Column("anomaly", Document, nullable=False),
    Column("confidence", Document, nullable=False),
    Column("source", String(20)),
    Column("inputs_hash", String(64), comment="SHA-256 of what the model was given."),
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
    sqlite_autoincrement=True,  # the id of a thinned row is never given again: pages of anomalies stay true
    comment="One row an issue: all variables and leads, the verdict on the reading, the interval.",
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
    comment="What the version that did not serve a station would have answered to the same inputs.",
)

verification = Table(
    "verification",
    metadata,
    Column("version", String(100), primary_key=True, comment="A model version, or a fallback's method."),
    Column("hindcast", Boolean, primary_key=True, comment="Forecast afterwards from history, not live."),
    Column("day", Date, primary_key=True, comment="UTC day of the valid times."),
    Column("station_id", String(100), primary_key=True),
    Column("variable", String(20), primary_key=True),
    Column("lead", Integer, primary_key=True, autoincrement=False, comment="Hours, 1 to 24."),
    Column("n", Integer, nullable=False, comment="Forecasts with a truth."),
    Column("mae", Float, nullable=False),
    Column("rmse", Float, nullable=False),
    Column("bias", Float, nullable=False, comment="Forecast minus truth."),
    Column("coverage_80", Float, comment="Share of truths inside the interval; null where it was not kept."),
    Column("coverage_90", Float),
    Column("n_baselines", Integer, nullable=False, comment="Of n, those that both baselines could answer too."),
    Column("mae_compared", Float, comment="The version's own MAE on these."),
    Column("mae_persistence", Float, comment="Persistence's MAE on these; skill = 1 - mae_compared / it."),
    Column("mae_damped", Float, comment="The damped anomaly's MAE on these."),
    Index(None, "day"),
    comment="Forecasts against what came true, summed up by day.",
)

verification_runs = Table(
    "verification_runs",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("at", UtcTime, nullable=False),
    Column("through", UtcTime, nullable=False, comment="What was stored up to here has been verified."),
    Column("days", Integer, nullable=False, comment="Days made anew."),
    Column("pairs", Integer, nullable=False, comment="Numbers paired with a truth."),
    Column("seconds", Float, nullable=False),
    comment="One row a run of the verification.",
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
    comment="Errors of two versions on the same cases (station, time, lead), by the hour they were valid for.",
)

comparisons = Table(
    "comparisons",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("at", UtcTime, nullable=False),
    Column("champion", String(100), nullable=False),
    Column("challenger", String(100), nullable=False),
    Column("decision", String(20), nullable=False, comment="promote, keep or wait."),
    Column("why", Text, nullable=False),
    Column("figures", Document, nullable=False, comment="The table of the decision, by variable."),
    comment="Every look at a challenger against the champion.",
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
    Column("who", String(200), nullable=False),
    Column("why", Text, nullable=False),
    Column("figures", Document, nullable=False),
    Index(None, "kind", "id"),
    sqlite_autoincrement=True,
    comment="Append-only, by triggers: which version was made champion or challenger when, by whom and why.",
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("kind", String(40), nullable=False),
    Column("version", String(100), nullable=False),
    Column("since", UtcTime, nullable=False),
    Column("by", String(100), nullable=False, comment="The actor that refused it."),
    Column("reason", Text, nullable=False),
    Column("released_at", UtcTime, comment="Promoted again afterwards, so it is to be tried again."),
    Index(None, "kind", "version"),
    comment="Versions that failed their trial or in service, and why; they do not serve while not released.",
)

verdicts = Table(
    "verdicts",
    metadata,
    Column("station_id", String(100), primary_key=True),
    Column("timestamp", UtcTime, primary_key=True, comment="Of the flagged reading: the prediction's identity."),
    Column("verdict", String(20), nullable=False, comment="confirmed or false_alarm."),
    Column("by", String(100), nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("note", Text, nullable=False),
    comment="What a person says of a flag; the last word counts.",
)

injected_faults = Table(
    "injected_faults",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("station_id", String(100), nullable=False),
    Column("variable", String(20), nullable=False, comment="all: of the whole station."),
    Column("kind", String(40), nullable=False, comment="spike, drift, stuck, ..."),
    Column("start", UtcTime, nullable=False),
    Column("end", UtcTime, nullable=False, comment="Of the last reading that is wrong, included."),
    UniqueConstraint("station_id", "variable", "start"),
    comment="Faults put into replayed or simulated observations on purpose: the truth that flags are judged by.",
)

detection = Table(
    "detection",
    metadata,
    Column("version", String(100), primary_key=True, comment="Of the detector; `none`: rules alone."),
    Column("day", Date, primary_key=True),
    Column("truth", String(20), primary_key=True, comment="injected or verdict."),
    Column("kind", String(40), primary_key=True, comment="Of the injected fault; empty for what has none."),
    Column("hits", Integer, nullable=False, comment="Faults found, or flags confirmed."),
    Column("misses", Integer, nullable=False, comment="Faults not found; 0 for verdicts."),
    Column("false_alarms", Integer, nullable=False),
    comment="How good the flags are: precision = hits / (hits + false_alarms), recall = hits / (hits + misses).",
)

trainings_asked = Table(
    "trainings_asked",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("at", UtcTime, nullable=False),
    Column("why", Text, nullable=False),
    comment="Every time the verification has started a training; the next waits for the cool-down also where it fails.",
)

drift = Table(
    "drift",
    metadata,
    Column("version", String(100), primary_key=True),
    Column("day", Date, primary_key=True, comment="The last of the days that were compared."),
    Column("feature", String(60), primary_key=True),
    Column("psi", Float, nullable=False, comment="Population stability index against the training's history."),
    Column("ks", Float, nullable=False, comment="Kolmogorov-Smirnov distance."),
    Column("n", Integer, nullable=False),
    Column("psi_limit", Float, nullable=False, comment="Beyond it the inputs have drifted."),
    comment="How far the inputs have moved from those that a version was trained on.",
)

interval_widths = Table(
    "interval_widths",
    metadata,
    Column("version", String(100), primary_key=True),
    Column("station_id", String(100), primary_key=True),
    Column("day", Date, nullable=False, comment="UTC; what came true before it was looked at."),
    Column("factors", Document, nullable=False, comment="[lead][variable][level] of the interval's half-width."),
    comment="How much wider or narrower than its training says a version's intervals are made, station by station.",
)

alerts = Table(
    "alerts",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("rule", String(60), nullable=False),
    Column("subject", String(200), nullable=False, comment="What it is about: a version, a variable, a station."),
    Column("severity", String(20), nullable=False, comment="warning or critical."),
    Column("since", UtcTime, nullable=False),
    Column("seen_at", UtcTime, nullable=False, comment="When the rule last found it so."),
    Column("resolved_at", UtcTime),
    Column("words", Text, nullable=False),
    Column("figures", Document, nullable=False),
    Column("acknowledged_by", String(100)),
    Column("acknowledged_at", UtcTime),
    Column("silenced_until", UtcTime),
    Column("sent_at", UtcTime, comment="When it was sent on; null: not yet, or there was no need."),
    Column("end_sent_at", UtcTime, comment="When its end was sent on."),
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
    comment="What is wrong, or was; one open row a rule and subject.",
)

polls = Table(
    "polls",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("at", UtcTime, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("outcome", String(60), nullable=False, comment="ok, or the kind of error."),
    Column("new", Integer, nullable=False, comment="Observations published."),
    Column("filled", Integer, nullable=False, comment="Published: steps that were missed."),
    Column("revised", Integer, nullable=False, comment="Published again with other values."),
    Column("repeated", Integer, nullable=False, comment="Not published: nothing new."),
    Column("unobserved", Integer, nullable=False, comment="Stations without an answer that could be used."),
    Column("calls", Integer, nullable=False, comment="Of Open-Meteo's budget: one a location and request."),
    Column("clock_skew", Float, comment="Seconds this machine's clock is ahead of the source's."),
    Index(None, "at"),
    comment="One row a poll of the source, for a week.",
)

metric_history = Table(
    "metric_history",
    metadata,
    Column("name", String(80), primary_key=True),
    Column("labels", String(200), primary_key=True, comment="Their values in the metric's order, by commas."),
    Column("at", UtcTime, primary_key=True, comment="The stretch's end."),
    Column("value", Float, nullable=False, comment="Mean of a gauge; a counter's increase."),
    Index(None, "at"),
    sqlite_with_rowid=False,
    comment="A week of what is measured, in stretches of five minutes.",
)

station_days = Table(
    "station_days",
    metadata,
    Column("station_id", String(100), primary_key=True),
    Column("day", Date, primary_key=True, comment="UTC day of the observations' own times."),
    Column("expected", Integer, nullable=False, comment="Observations at its usual interval."),
    Column("received", Integer, nullable=False),
    Column("interval_seconds", Float, nullable=False, comment="Its usual interval."),
    Column("timeliness_median", Float, comment="Seconds from an observation's time to its arrival."),
    Column("timeliness_p95", Float),
    Column("longest_gap", Float, nullable=False, comment="Seconds without an observation."),
    Column("failed", Document, nullable=False, comment="Share of checked readings that failed, by check."),
    Column("log", Document, nullable=False, comment="Intervals of up, late, silent and suspect, in order."),
    comment="How a station did on a day.",
)
