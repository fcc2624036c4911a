"""Store guidance, and what each poll requested"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    time = sa.DateTime(timezone=True)
    document = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
    op.create_table(
        "guidance",
        sa.Column("station_id", sa.String(100), primary_key=True),
        sa.Column("model", sa.String(60), primary_key=True),
        sa.Column("run", time, primary_key=True),
        sa.Column("run_time", sa.String(20), nullable=False, comment="fetch: `run` is a reception time."),
        sa.Column("fetched_at", time, nullable=False, comment="Forecasts issued earlier did not know the run."),
        sa.Column("latitude", sa.Float(), nullable=False),
        sa.Column("longitude", sa.Float(), nullable=False),
        sa.Column("elevation", sa.Float()),
        sa.Column("simulated", sa.Boolean(), nullable=False, comment="True: made by the replay server."),
        sa.Column(
            "observed_only_by_model",
            sa.Boolean(),
            nullable=False,
            comment="True: the station has no independent truth.",
        ),
        sa.Column(
            "values", document, nullable=False, comment="Valid times and one list per variable, as in the record."
        ),
        sa.Column("source", sa.String(20)),
        sa.Column("stored_at", time, nullable=False),
        comment="One row per run of a weather model and station, kept for 100 days.",
    )
    op.create_index("ix_guidance_fetched_at", "guidance", ["fetched_at"])
    op.create_table(
        "guidance_fetches",
        sa.Column("station_id", sa.String(100), primary_key=True),
        sa.Column("model", sa.String(60), primary_key=True),
        sa.Column("checked_at", time, nullable=False, comment="When the source was last requested."),
        sa.Column(
            "values",
            document,
            nullable=False,
            comment="The last published run; null before the first.",
        ),
        comment="What was last requested and published of each model and station.",
    )
    with op.batch_alter_table("polls") as batch:
        batch.add_column(
            sa.Column(
                "kind",
                sa.String(20),
                nullable=False,
                server_default="observations",
                comment="observations or guidance.",
            )
        )
        batch.create_table_comment(
            "One row per poll of a source, kept for a week.",
            existing_comment="One row per poll of the source, kept for a week.",
        )


def downgrade() -> None:
    op.execute(sa.text("DELETE FROM polls WHERE kind <> 'observations'"))
    with op.batch_alter_table("polls") as batch:
        batch.drop_column("kind")
        batch.create_table_comment(
            "One row per poll of the source, kept for a week.",
            existing_comment="One row per poll of a source, kept for a week.",
        )
    op.drop_index("ix_guidance_fetched_at", "guidance")
    op.drop_table("guidance_fetches")
    op.drop_table("guidance")
