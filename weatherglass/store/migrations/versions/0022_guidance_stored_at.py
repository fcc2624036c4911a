"""Create an index on stored_at of guidance, for inference, which reads new runs"""

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_guidance_stored_at", "guidance", ["stored_at"])


def downgrade() -> None:
    op.drop_index("ix_guidance_stored_at", "guidance")
