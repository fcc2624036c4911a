"""Create indexes on stored_at, for readers of new records and for throughput"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("observations", "predictions"):
        op.create_index(f"ix_{table}_stored_at", table, ["stored_at"])


def downgrade() -> None:
    for table in ("observations", "predictions"):
        op.drop_index(f"ix_{table}_stored_at", table)
