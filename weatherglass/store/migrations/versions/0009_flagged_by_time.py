"""Replace the index of flagged readings by a partial index in the order of their own time"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("ix_predictions_is_anomaly_id", "predictions")
    op.create_index(
        "ix_predictions_flagged",
        "predictions",
        ["timestamp", "id"],
        sqlite_where=sa.text("is_anomaly = 1"),
        postgresql_where=sa.text("is_anomaly"),
    )


def downgrade() -> None:
    op.drop_index("ix_predictions_flagged", "predictions")
    op.create_index("ix_predictions_is_anomaly_id", "predictions", ["is_anomaly", "id"])
