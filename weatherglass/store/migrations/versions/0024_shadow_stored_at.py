"""Create an index on stored_at of shadow predictions, for the verification, which reads new ones"""

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_shadow_predictions_stored_at", "shadow_predictions", ["stored_at"])


def downgrade() -> None:
    op.drop_index("ix_shadow_predictions_stored_at", "shadow_predictions")
