"""Add gust and temperature resolution to observations"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

TABLES = ("published", "observations")


def upgrade() -> None:
    for table in TABLES:
        op.add_column(table, sa.Column("wind_gust", sa.Float()))
        op.add_column(
            table,
            sa.Column("temperature_resolution", sa.Float(), comment="Step in which the temperature is reported, °C."),
        )


def downgrade() -> None:
    for table in TABLES:
        with op.batch_alter_table(table) as batch:
            batch.drop_column("temperature_resolution")
            batch.drop_column("wind_gust")
