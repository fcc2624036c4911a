"""Add the limit of each drift value, which depends on the variability of the feature"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(sa.text("DELETE FROM drift"))  # computed every day
    with op.batch_alter_table("drift") as table:
        table.add_column(
            sa.Column("psi_limit", sa.Float(), nullable=False, comment="Beyond it the inputs have drifted.")
        )


def downgrade() -> None:
    with op.batch_alter_table("drift") as table:
        table.drop_column("psi_limit")
