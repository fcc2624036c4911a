"""Add MAPE and CRPS to the verification"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

COLUMNS = {
    "n_mape": (sa.Integer, "Of n, values of which an error is a percentage; null before version 0.2."),
    "mape": (sa.Float, "Mean absolute error of these in % of the observation; null for temperature."),
    "crps": (sa.Float, "Continuous ranked probability score; null without intervals."),
}


def upgrade() -> None:
    for name, (kind, comment) in COLUMNS.items():
        op.add_column("verification", sa.Column(name, kind(), comment=comment))


def downgrade() -> None:
    with op.batch_alter_table("verification") as batch:
        for name in COLUMNS:
            batch.drop_column(name)
