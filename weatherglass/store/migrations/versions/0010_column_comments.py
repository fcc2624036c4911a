"""Update the comments of four columns, on databases that support comments"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

COMMENTS = [
    ("detection", "hits", "Events found, or flags confirmed.", "Faults found, or flags confirmed."),
    ("detection", "misses", "Events not found; 0 for verdicts.", "Faults not found; 0 for verdicts."),
    ("injected_faults", "variable", None, "all: of the whole station."),
    (
        "verification",
        "mae_persistence",
        "Persistence's MAE on these.",
        "Persistence's MAE on these; skill = 1 - mae_compared / it.",
    ),
]


def upgrade() -> None:
    if op.get_bind().dialect.supports_comments:
        for table, column, old, new in COMMENTS:
            op.alter_column(table, column, comment=new, existing_comment=old)


def downgrade() -> None:
    if op.get_bind().dialect.supports_comments:
        for table, column, old, new in COMMENTS:
            op.alter_column(table, column, comment=old, existing_comment=new)
