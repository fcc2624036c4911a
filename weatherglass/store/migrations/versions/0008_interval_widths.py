"""Create the table of interval factors by station"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "interval_widths",
        sa.Column("version", sa.String(100), primary_key=True),
        sa.Column("station_id", sa.String(100), primary_key=True),
        sa.Column("day", sa.Date(), nullable=False, comment="UTC; what came true before it was looked at."),
        sa.Column(
            "factors",
            sa.JSON().with_variant(JSONB(), "postgresql"),
            nullable=False,
            comment="[lead][variable][level] of the interval's half-width.",
        ),
        comment="How much wider or narrower than its training says a version's intervals are made, station by station.",
    )


def downgrade() -> None:
    op.drop_table("interval_widths")
