"""Store what is subtracted from the forecasts of a station with the scale factors of its intervals"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

DOCUMENT = sa.JSON().with_variant(JSONB(), "postgresql")
NO_BIAS = [[[0.0] * 4] * 4] * 24
FACTORS = "[lead][variable][level], factors of the half-width."


def upgrade() -> None:
    recalibrations = op.create_table(
        "recalibrations",
        sa.Column("version", sa.String(100), primary_key=True),
        sa.Column("station_id", sa.String(100), primary_key=True),
        sa.Column("day", sa.Date(), nullable=False, comment="UTC day on which it was estimated."),
        sa.Column(
            "bias",
            DOCUMENT,
            nullable=False,
            comment="[lead][class of the base hour][variable], subtracted from values.",
        ),
        sa.Column("factors", DOCUMENT, nullable=False, comment=FACTORS),
        comment="What is changed in the forecasts and intervals of a version, by station.",
    )
    old = sa.table("interval_scaling", *(sa.column(name) for name in ("version", "station_id", "day", "factors")))
    rows = sa.select(old.c.version, old.c.station_id, old.c.day, sa.literal(NO_BIAS, DOCUMENT), old.c.factors)
    op.execute(recalibrations.insert().from_select(["version", "station_id", "day", "bias", "factors"], rows))
    op.drop_table("interval_scaling")


def downgrade() -> None:
    op.create_table(
        "interval_scaling",
        sa.Column("version", sa.String(100), primary_key=True),
        sa.Column("station_id", sa.String(100), primary_key=True),
        sa.Column("day", sa.Date(), nullable=False, comment="UTC day on which the factors were computed."),
        sa.Column("factors", DOCUMENT, nullable=False, comment=FACTORS),
        comment="Scale factors of the prediction intervals of a version, by station.",
    )
    op.execute(
        "INSERT INTO interval_scaling (version, station_id, day, factors) "
        "SELECT version, station_id, day, factors FROM recalibrations"
    )
    op.drop_table("recalibrations")
