"""Rename tables and columns to standard terms and rewrite comments"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
DOCUMENT = sa.JSON().with_variant(JSONB(), "postgresql")
ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

RENAMED_COLUMNS = (
    ("alerts", "words", "message"),
    ("alerts", "figures", "details"),
    ("alerts", "end_sent_at", "resolution_sent_at"),
    ("promotions", "who", "changed_by"),
    ("promotions", "why", "reason"),
    ("promotions", "figures", "details"),
    ("comparisons", "why", "reason"),
    ("comparisons", "figures", "details"),
)
TABLE_COMMENTS = {
    "alerts": "Open and resolved alerts; one open row per rule and subject.",
    "comparisons": "Every test of a challenger against the champion.",
    "detection": "Detector scores: precision = hits / (hits + false_alarms), recall = hits / (hits + misses).",
    "drift": "Difference between the recent inputs and the training data of a version.",
    "features": "The newest leading window of each station, from which its forecast was made.",
    "injected_faults": "Faults injected into replayed or simulated observations, to score the detector.",
    "metric_history": "A week of metrics in intervals of five minutes.",
    "observations": "One row per station and time.",
    "paired_losses": "Errors of two versions on the same cases (station, time, lead), by valid hour.",
    "polls": "One row per poll of the source, kept for a week.",
    "predictions": "One row per prediction: all variables and leads, the anomaly result, the interval.",
    "promotions": "Append-only (triggers): changes of champion and challenger.",
    "quarantine": "Versions that failed validation or failed in service; not used until released.",
    "shadow_predictions": "Forecasts from the same inputs by the version that did not serve the station.",
    "station_days": "Daily report of each station.",
    "verdicts": "Verdicts of users on flagged readings; the last one is kept.",
    "verification": "Scores of forecasts against observations, by day.",
    "verification_runs": "One row per verification run.",
}
COLUMN_COMMENTS = {
    ("alerts", "subject"): "The affected version, variable, station or job.",
    ("alerts", "seen_at"): "When the rule last matched.",
    ("alerts", "sent_at"): "When the notification was sent; null if not sent.",
    ("alerts", "resolution_sent_at"): "When the resolution was sent.",
    ("comparisons", "details"): "Test result by variable.",
    ("detection", "version"): "Version of the detector; `none`: rules only.",
    ("detection", "truth"): "Reference: injected or verdict.",
    ("detection", "kind"): "Kind of the injected fault; empty without one.",
    ("detection", "hits"): "Detected faults, or confirmed flags.",
    ("detection", "misses"): "Undetected faults; 0 for verdicts.",
    ("drift", "day"): "The last of the compared days.",
    ("drift", "psi"): "Population stability index against the training data.",
    ("drift", "psi_limit"): "A larger PSI is drift.",
    ("injected_faults", "variable"): "A variable, or `all`.",
    ("injected_faults", "end"): "Time of the last wrong reading.",
    ("metric_history", "labels"): "Label values in the order of the metric, comma-separated.",
    ("metric_history", "at"): "End of the interval.",
    ("metric_history", "value"): "Mean of a gauge, or increase of a counter.",
    ("observations", "source"): "Source of the reading; null if unknown.",
    ("polls", "new"): "Observations published for the first time.",
    ("polls", "filled"): "Published observations of missed steps.",
    ("polls", "revised"): "Observations published again with other values.",
    ("polls", "repeated"): "Observations not published: no change.",
    ("polls", "unobserved"): "Stations without a usable observation.",
    ("polls", "calls"): "Calls of the API budget: one per location and request.",
    ("polls", "clock_skew"): "Seconds by which the local clock is ahead of the source.",
    ("predictions", "timestamp"): "Time of the observation on which the prediction is based.",
    ("predictions", "predictions"): "Valid times and one list per variable, as in the record.",
    ("predictions", "inputs_hash"): "SHA-256 of the model inputs.",
    ("quarantine", "by"): "The actor that rejected it.",
    ("quarantine", "released_at"): "When it was promoted again; its validation is repeated.",
    ("station_days", "day"): "UTC day of the observation times.",
    ("station_days", "expected"): "Observations at the usual interval.",
    ("station_days", "interval_seconds"): "Usual interval of the station.",
    ("station_days", "timeliness_median"): "Seconds from observation time to arrival.",
    ("station_days", "longest_gap"): "Longest time without an observation, seconds.",
    ("station_days", "log"): "Periods of up, late, silent and suspect, in order.",
    ("verdicts", "timestamp"): "Time of the flagged reading.",
    ("verification", "version"): "A model version, or the method of a fallback.",
    ("verification", "hindcast"): "True: computed from history afterwards, not live.",
    ("verification", "n"): "Verified forecast values.",
    ("verification", "bias"): "Mean of forecast minus observation.",
    ("verification", "coverage_80"): "Share of observations inside the interval; null without one.",
    ("verification", "n_baselines"): "Of n, cases in which both baselines have a value.",
    ("verification", "mae_compared"): "MAE of the version on these cases.",
    (
        "verification",
        "mae_persistence",
    ): "MAE of persistence on these; skill = 1 - mae_compared / mae_persistence.",
    ("verification", "mae_damped"): "MAE of the damped anomaly on these cases.",
    ("verification_runs", "through"): "Everything stored up to this time has been verified.",
    ("verification_runs", "days"): "Number of days scored.",
    ("verification_runs", "pairs"): "Number of verified forecast values.",
}


REQUESTS_COMMENT = "Trainings requested by the verification; each one starts the cool-down, also if the training fails."
SCALING_COMMENT = "Scale factors of the prediction intervals of a version, by station."


def upgrade() -> None:
    for table, old, new in RENAMED_COLUMNS:
        op.execute(f"ALTER TABLE {table} RENAME COLUMN {old} TO {new}")
    _create_requests("retraining_requests", "reason")
    op.execute("INSERT INTO retraining_requests (at, reason) SELECT at, why FROM trainings_asked ORDER BY id")
    op.drop_table("trainings_asked")
    _create_scaling("interval_scaling")
    op.execute("INSERT INTO interval_scaling SELECT version, station_id, day, factors FROM interval_widths")
    op.drop_table("interval_widths")
    if op.get_bind().dialect.supports_comments:
        for table, comment in TABLE_COMMENTS.items():
            op.create_table_comment(table, comment)
        for (table, column), comment in COLUMN_COMMENTS.items():
            op.alter_column(table, column, comment=comment)


def downgrade() -> None:
    """Restore the names; the new comments stay."""
    _create_scaling("interval_widths")
    op.execute("INSERT INTO interval_widths SELECT version, station_id, day, factors FROM interval_scaling")
    op.drop_table("interval_scaling")
    _create_requests("trainings_asked", "why")
    op.execute("INSERT INTO trainings_asked (at, why) SELECT at, reason FROM retraining_requests ORDER BY id")
    op.drop_table("retraining_requests")
    for table, old, new in RENAMED_COLUMNS:
        op.execute(f"ALTER TABLE {table} RENAME COLUMN {new} TO {old}")


def _create_requests(name: str, reason: str) -> None:
    op.create_table(
        name,
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column(reason, sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=f"pk_{name}"),
        comment=REQUESTS_COMMENT,
    )


def _create_scaling(name: str) -> None:
    op.create_table(
        name,
        sa.Column("version", sa.String(100), nullable=False),
        sa.Column("station_id", sa.String(100), nullable=False),
        sa.Column("day", sa.Date(), nullable=False, comment="UTC day on which the factors were computed."),
        sa.Column("factors", DOCUMENT, nullable=False, comment="[lead][variable][level], factors of the half-width."),
        sa.PrimaryKeyConstraint("version", "station_id", name=f"pk_{name}"),
        comment=SCALING_COMMENT,
    )
