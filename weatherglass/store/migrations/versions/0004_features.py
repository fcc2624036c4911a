"""Create the table features: the newest window of each station"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "features",
        sa.Column("station_id", sa.String(100), nullable=False),
        sa.Column("window_start", TIME, nullable=False),
        sa.Column("window_end", TIME, nullable=False),
        sa.Column("aggregated_features", sa.JSON().with_variant(JSONB(), "postgresql"), nullable=False),
        sa.Column("stored_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("station_id", name="pk_features"),
        comment="The newest leading window of each station, the one its forecast was given.",
    )


def downgrade() -> None:
    op.drop_table("features")
