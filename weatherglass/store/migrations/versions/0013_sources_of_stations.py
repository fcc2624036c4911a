"""Keep several published observations of a station with their source, and the output of models"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

NAMING = {"pk": "pk_%(table_name)s"}


def upgrade() -> None:
    with op.batch_alter_table("published", naming_convention=NAMING) as batch:
        batch.add_column(sa.Column("source", sa.String(20), comment="Source of the reading; null if unknown."))
        batch.drop_constraint("pk_published", type_="primary")
        batch.create_primary_key("pk_published", ["station_id", "timestamp"])
        batch.create_table_comment(
            "The newest observations of each station that the broker has acknowledged.",
            existing_comment="The newest observation of each station that the broker has acknowledged.",
        )
    op.create_table(
        "model_output",
        sa.Column("station_id", sa.String(100), primary_key=True),
        sa.Column("timestamp", sa.DateTime(timezone=True), primary_key=True),
        *(sa.Column(name, sa.Float()) for name in ("temperature", "humidity", "pressure", "wind_speed")),
        sa.Column("wind_direction", sa.Float()),
        sa.Column("source", sa.String(20), nullable=False, comment="The model's source."),
        sa.Column("stored_at", sa.DateTime(timezone=True), nullable=False),
        comment="Values of a weather model at stations that an airport observes; no observations.",
    )


def downgrade() -> None:
    op.drop_table("model_output")
    older = sa.text(
        "DELETE FROM published WHERE timestamp < "
        "(SELECT max(newer.timestamp) FROM published AS newer WHERE newer.station_id = published.station_id)"
    )
    op.execute(older)
    with op.batch_alter_table("published", naming_convention=NAMING) as batch:
        batch.drop_constraint("pk_published", type_="primary")
        batch.create_primary_key("pk_published", ["station_id"])
        batch.drop_column("source")
        batch.create_table_comment(
            "The newest observation of each station that the broker has acknowledged.",
            existing_comment="The newest observations of each station that the broker has acknowledged.",
        )
