"""Create the tables polls, metric_history and station_days, and columns for sent alerts"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
DOCUMENT = sa.JSON().with_variant(JSONB(), "postgresql")
ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column(
        "alerts",
        sa.Column("sent_at", TIME, comment="When it was sent on; null: not yet, or there was no need."),
    )
    op.add_column("alerts", sa.Column("end_sent_at", TIME, comment="When its end was sent on."))
    op.create_table(
        "polls",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("outcome", sa.String(60), nullable=False, comment="ok, or the kind of error."),
        sa.Column("new", sa.Integer, nullable=False, comment="Observations published."),
        sa.Column("filled", sa.Integer, nullable=False, comment="Published: steps that were missed."),
        sa.Column("revised", sa.Integer, nullable=False, comment="Published again with other values."),
        sa.Column("repeated", sa.Integer, nullable=False, comment="Not published: nothing new."),
        sa.Column("unobserved", sa.Integer, nullable=False, comment="Stations without an answer that could be used."),
        sa.Column("calls", sa.Integer, nullable=False, comment="Of Open-Meteo's budget: one a location and request."),
        sa.Column("clock_skew", sa.Float, comment="Seconds this machine's clock is ahead of the source's."),
        sa.PrimaryKeyConstraint("id", name="pk_polls"),
        comment="One row a poll of the source, for a week.",
    )
    op.create_index("ix_polls_at", "polls", ["at"])
    op.create_table(
        "metric_history",
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("labels", sa.String(200), nullable=False, comment="Their values in the metric's order, by commas."),
        sa.Column("at", TIME, nullable=False, comment="The stretch's end."),
        sa.Column("value", sa.Float, nullable=False, comment="Mean of a gauge; a counter's increase."),
        sa.PrimaryKeyConstraint("name", "labels", "at", name="pk_metric_history"),
        comment="A week of what is measured, in stretches of five minutes.",
        sqlite_with_rowid=False,
    )
    op.create_index("ix_metric_history_at", "metric_history", ["at"])
    op.create_table(
        "station_days",
        sa.Column("station_id", sa.String(100), nullable=False),
        sa.Column("day", sa.Date, nullable=False, comment="UTC day of the observations' own times."),
        sa.Column("expected", sa.Integer, nullable=False, comment="Observations at its usual interval."),
        sa.Column("received", sa.Integer, nullable=False),
        sa.Column("interval_seconds", sa.Float, nullable=False, comment="Its usual interval."),
        sa.Column("timeliness_median", sa.Float, comment="Seconds from an observation's time to its arrival."),
        sa.Column("timeliness_p95", sa.Float),
        sa.Column("longest_gap", sa.Float, nullable=False, comment="Seconds without an observation."),
        sa.Column("failed", DOCUMENT, nullable=False, comment="Share of checked readings that failed, by check."),
        sa.Column("log", DOCUMENT, nullable=False, comment="Intervals of up, late, silent and suspect, in order."),
        sa.PrimaryKeyConstraint("station_id", "day", name="pk_station_days"),
        comment="How a station did on a day.",
    )


def downgrade() -> None:
    op.drop_table("station_days")
    op.drop_table("metric_history")
    op.drop_table("polls")
    op.drop_column("alerts", "end_sent_at")
    op.drop_column("alerts", "sent_at")
