"""Create the table guidance_verification"""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "guidance_verification",
        sa.Column("version", sa.String(100), nullable=False, comment="As in `verification`."),
        sa.Column("day", sa.Date(), nullable=False, comment="UTC day of the valid times."),
        sa.Column("station_id", sa.String(100), nullable=False),
        sa.Column("model", sa.String(60), nullable=False, comment="Open-Meteo's id of the weather model."),
        sa.Column("simulated", sa.Boolean(), nullable=False, comment="True: guidance made by the replay server."),
        sa.Column("variable", sa.String(20), nullable=False),
        sa.Column("lead", sa.Integer(), autoincrement=False, nullable=False, comment="Hours, 1 to 24."),
        sa.Column(
            "n", sa.Integer(), nullable=False, comment="Forecast values with guidance and an observation of no model."
        ),
        sa.Column("mae_compared", sa.Float(), nullable=False, comment="MAE of the version on these cases."),
        sa.Column("mae_guidance", sa.Float(), nullable=False, comment="MAE of the guidance as it is on these cases."),
        sa.PrimaryKeyConstraint(
            *("version", "day", "station_id", "model", "simulated", "variable", "lead"),
            name="pk_guidance_verification",
        ),
        comment="Live forecasts compared with the raw guidance that they knew, by day.",
    )
    op.create_index("ix_guidance_verification_day", "guidance_verification", ["day"])


def downgrade() -> None:
    op.drop_table("guidance_verification")
