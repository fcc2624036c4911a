"""Create the tables weather_alert_rules and weather_alerts"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0020"
down_revision = "0016"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
DOCUMENT = sa.JSON().with_variant(JSONB(), "postgresql")
ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "weather_alert_rules",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("definition", DOCUMENT, nullable=False, comment="As in `weather_alerts.rule`."),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("created_by", sa.String(100), nullable=False),
        sa.Column("deleted_at", TIME, comment="Null while the rule is in use."),
        sa.Column("evaluated_at", TIME),
        sa.Column("not_evaluated", DOCUMENT, nullable=False, comment="Reason by station, at the last evaluation."),
        sa.PrimaryKeyConstraint("id", name="pk_weather_alert_rules"),
        comment="Rules of users about the forecasts and faults of stations.",
        sqlite_autoincrement=True,
    )
    op.create_table(
        "weather_alerts",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("rule_id", ROW_ID, nullable=False),
        sa.Column("rule_name", sa.String(100), nullable=False),
        sa.Column("station_id", sa.String(100), nullable=False),
        sa.Column("since", TIME, nullable=False),
        sa.Column("seen_at", TIME, nullable=False, comment="When the rule was last evaluated for the station."),
        sa.Column("ended_at", TIME),
        sa.Column("end_reason", sa.String(20), comment="cleared, expired or deleted; null while the alert is open."),
        sa.Column("details", DOCUMENT, nullable=False, comment="What the rule found at the last evaluation."),
        sa.Column("sent_at", TIME, comment="When the message was sent; null if not sent."),
        sa.Column("end_sent_at", TIME, comment="When the message about the end was sent."),
        sa.PrimaryKeyConstraint("id", name="pk_weather_alerts"),
        comment="Weather alerts; one open row per rule and station.",
        sqlite_autoincrement=True,
    )
    op.create_index(
        "uq_weather_alerts_open",
        "weather_alerts",
        ["rule_id", "station_id"],
        unique=True,
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_index("ix_weather_alerts_since", "weather_alerts", ["since"])


def downgrade() -> None:
    op.drop_table("weather_alerts")
    op.drop_table("weather_alert_rules")
