"""Results of benchmarks of the pipeline"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

DOCUMENT = sa.JSON().with_variant(JSONB(), "postgresql")
ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "benchmark_results",
        sa.Column("id", ROW_ID, primary_key=True, autoincrement=True),
        sa.Column("run", sa.String(60), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, comment="End of the measurement."),
        sa.Column("scenario", sa.String(20), nullable=False, comment="What the run varied."),
        sa.Column("stations", sa.Integer(), nullable=False),
        sa.Column("rate", sa.Float(), nullable=False, comment="Observations per second that were asked for."),
        sa.Column("workers", sa.Integer(), nullable=False, comment="Spark's cores and inference actors."),
        sa.Column("figures", DOCUMENT, nullable=False, comment="What was measured."),
        sa.Column("environment", DOCUMENT, nullable=False, comment="Machine and versions."),
        comment="Benchmarks of the pipeline, one row per measured load.",
    )
    op.create_index("ix_benchmark_results_run", "benchmark_results", ["run"])


def downgrade() -> None:
    op.drop_table("benchmark_results")
