"""Create the tables published, observations and predictions"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
DOCUMENT = sa.JSON().with_variant(JSONB(), "postgresql")
ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _values() -> list[sa.Column]:
    names = ("temperature", "humidity", "pressure", "wind_speed", "wind_direction")
    return [sa.Column(name, sa.Float()) for name in names]


def upgrade() -> None:
    op.create_table(
        "published",
        sa.Column("station_id", sa.String(100), nullable=False),
        sa.Column("timestamp", TIME, nullable=False),
        *_values(),
        sa.PrimaryKeyConstraint("station_id", name="pk_published"),
        comment="The newest observation of each station that the broker has acknowledged.",
    )
    op.create_table(
        "observations",
        sa.Column("station_id", sa.String(100), nullable=False),
        sa.Column("timestamp", TIME, nullable=False),
        *_values(),
        sa.Column("source", sa.String(20), comment="Where the reading comes from; null if unknown."),
        sa.Column("stored_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("station_id", "timestamp", name="pk_observations"),
        comment="One row a station and time.",
    )
    op.create_table(
        "predictions",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("station_id", sa.String(100), nullable=False),
        sa.Column("timestamp", TIME, nullable=False, comment="Time of the observation that the prediction answers."),
        sa.Column("method", sa.String(40), nullable=False),
        sa.Column("model_version", sa.String(100), nullable=False),
        sa.Column("is_anomaly", sa.Boolean(), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column(
            "predictions", DOCUMENT, nullable=False, comment="Valid times and a list per variable, as in the record."
        ),
        sa.Column("anomaly", DOCUMENT, nullable=False),
        sa.Column("confidence", DOCUMENT, nullable=False),
        sa.Column("source", sa.String(20)),
        sa.Column("stored_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_predictions"),
        sa.UniqueConstraint("station_id", "timestamp", name="uq_predictions_station_id_timestamp"),
        comment="One row an issue: all variables and leads, the verdict on the reading, the interval.",
        sqlite_autoincrement=True,
    )
    op.create_index("ix_predictions_is_anomaly_id", "predictions", ["is_anomaly", "id"])
    op.create_index("ix_predictions_timestamp", "predictions", ["timestamp"])


def downgrade() -> None:
    for table in ("predictions", "observations", "published"):
        op.drop_table(table)
