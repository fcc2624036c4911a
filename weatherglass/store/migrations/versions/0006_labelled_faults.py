"""Add the kind of fault to detection, and create the table of requested trainings"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
KEY = ["version", "day", "truth"]


def upgrade() -> None:
    kind = sa.Column(
        "kind",
        sa.String(40),
        nullable=False,
        server_default="",
        comment="Of the injected fault; empty for what has none.",
    )
    with op.batch_alter_table("detection") as table:
        table.add_column(kind)
        table.drop_constraint("pk_detection", type_="primary")
        table.create_primary_key("pk_detection", [*KEY, "kind"])
        table.alter_column("kind", server_default=None)
    op.create_table(
        "trainings_asked",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_trainings_asked"),
        comment="Every time the verification has started a training; the next waits for the cool-down also where it "
        "fails.",
    )


def downgrade() -> None:
    op.drop_table("trainings_asked")
    op.execute("DELETE FROM detection WHERE kind <> ''")
    with op.batch_alter_table("detection") as table:
        table.drop_constraint("pk_detection", type_="primary")
        table.create_primary_key("pk_detection", KEY)
        table.drop_column("kind")
