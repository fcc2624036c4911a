"""Create the tables for verification, shadow predictions, promotions, quarantine, verdicts, drift and alerts"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
DOCUMENT = sa.JSON().with_variant(JSONB(), "postgresql")
ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

TABLES = (
    "alerts",
    "comparisons",
    "detection",
    "drift",
    "injected_faults",
    "paired_losses",
    "promotions",
    "quarantine",
    "shadow_predictions",
    "verdicts",
    "verification",
    "verification_runs",
)


def upgrade() -> None:
    op.create_table(
        "alerts",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("rule", sa.String(60), nullable=False),
        sa.Column(
            "subject", sa.String(200), nullable=False, comment="What it is about: a version, a variable, a station."
        ),
        sa.Column("severity", sa.String(20), nullable=False, comment="warning or critical."),
        sa.Column("since", TIME, nullable=False),
        sa.Column("seen_at", TIME, nullable=False, comment="When the rule last found it so."),
        sa.Column("resolved_at", TIME),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("figures", DOCUMENT, nullable=False),
        sa.Column("acknowledged_by", sa.String(100)),
        sa.Column("acknowledged_at", TIME),
        sa.Column("silenced_until", TIME),
        sa.PrimaryKeyConstraint("id", name="pk_alerts"),
        comment="What is wrong, or was; one open row a rule and subject.",
        sqlite_autoincrement=True,
    )
    op.create_index("ix_alerts_since", "alerts", ["since"])
    op.create_index(
        "uq_alerts_open",
        "alerts",
        ["rule", "subject"],
        unique=True,
        sqlite_where=sa.text("resolved_at IS NULL"),
        postgresql_where=sa.text("resolved_at IS NULL"),
    )
    op.create_table(
        "comparisons",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("champion", sa.String(100), nullable=False),
        sa.Column("challenger", sa.String(100), nullable=False),
        sa.Column("decision", sa.String(20), nullable=False, comment="promote, keep or wait."),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("figures", DOCUMENT, nullable=False, comment="The table of the decision, by variable."),
        sa.PrimaryKeyConstraint("id", name="pk_comparisons"),
        comment="Every look at a challenger against the champion.",
    )
    op.create_table(
        "detection",
        sa.Column("version", sa.String(100), nullable=False, comment="Of the detector; `none`: rules alone."),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("truth", sa.String(20), nullable=False, comment="injected or verdict."),
        sa.Column("hits", sa.Integer(), nullable=False, comment="Events found, or flags confirmed."),
        sa.Column("misses", sa.Integer(), nullable=False, comment="Events not found; 0 for verdicts."),
        sa.Column("false_alarms", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("version", "day", "truth", name="pk_detection"),
        comment="How good the flags are: precision = hits / (hits + false_alarms), recall = hits / (hits + misses).",
    )
    op.create_table(
        "drift",
        sa.Column("version", sa.String(100), nullable=False),
        sa.Column("day", sa.Date(), nullable=False, comment="The last of the days that were compared."),
        sa.Column("feature", sa.String(60), nullable=False),
        sa.Column(
            "psi", sa.Float(), nullable=False, comment="Population stability index against the training's history."
        ),
        sa.Column("ks", sa.Float(), nullable=False, comment="Kolmogorov-Smirnov distance."),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("version", "day", "feature", name="pk_drift"),
        comment="How far the inputs have moved from those that a version was trained on.",
    )
    op.create_table(
        "injected_faults",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("station_id", sa.String(100), nullable=False),
        sa.Column("variable", sa.String(20), nullable=False),
        sa.Column("kind", sa.String(40), nullable=False, comment="spike, drift, stuck, ..."),
        sa.Column("start", TIME, nullable=False),
        sa.Column("end", TIME, nullable=False, comment="Of the last reading that is wrong, included."),
        sa.PrimaryKeyConstraint("id", name="pk_injected_faults"),
        sa.UniqueConstraint("station_id", "variable", "start", name="uq_injected_faults_station_id_variable_start"),
        comment="Faults put into replayed or simulated observations on purpose: the truth that flags are judged by.",
    )
    op.create_table(
        "paired_losses",
        sa.Column("champion", sa.String(100), nullable=False),
        sa.Column("challenger", sa.String(100), nullable=False),
        sa.Column("hindcast", sa.Boolean(), nullable=False),
        sa.Column("valid_hour", TIME, nullable=False),
        sa.Column("variable", sa.String(20), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("champion_mae", sa.Float(), nullable=False),
        sa.Column("challenger_mae", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint(
            "champion", "challenger", "hindcast", "valid_hour", "variable", name="pk_paired_losses"
        ),
        comment="Errors of two versions on the same cases (station, time, lead), by the hour they were valid for.",
    )
    op.create_table(
        "promotions",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("kind", sa.String(40), nullable=False, comment="forecaster or anomaly-detector."),
        sa.Column("action", sa.String(20), nullable=False, comment="promote, rollback, challenge or withdraw."),
        sa.Column("from_version", sa.String(100)),
        sa.Column("to_version", sa.String(100)),
        sa.Column("who", sa.String(200), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("figures", DOCUMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_promotions"),
        comment="Append-only, by triggers: which version was made champion or challenger when, by whom and why.",
        sqlite_autoincrement=True,
    )
    op.create_index("ix_promotions_kind_id", "promotions", ["kind", "id"])
    op.create_table(
        "quarantine",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("version", sa.String(100), nullable=False),
        sa.Column("since", TIME, nullable=False),
        sa.Column("by", sa.String(100), nullable=False, comment="The actor that refused it."),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("released_at", TIME, comment="Promoted again afterwards, so it is to be tried again."),
        sa.PrimaryKeyConstraint("id", name="pk_quarantine"),
        comment="Versions that failed their trial or in service, and why; they do not serve while not released.",
    )
    op.create_index("ix_quarantine_kind_version", "quarantine", ["kind", "version"])
    op.create_table(
        "shadow_predictions",
        sa.Column("station_id", sa.String(100), nullable=False),
        sa.Column("timestamp", TIME, nullable=False),
        sa.Column("model_version", sa.String(100), nullable=False),
        sa.Column("method", sa.String(40), nullable=False),
        sa.Column("predictions", DOCUMENT, nullable=False),
        sa.Column("confidence", DOCUMENT, nullable=False),
        sa.Column("inputs_hash", sa.String(64)),
        sa.Column("stored_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("station_id", "timestamp", "model_version", name="pk_shadow_predictions"),
        comment="What the version that did not serve a station would have answered to the same inputs.",
    )
    op.create_index("ix_shadow_predictions_timestamp", "shadow_predictions", ["timestamp"])
    op.create_table(
        "verdicts",
        sa.Column("station_id", sa.String(100), nullable=False),
        sa.Column("timestamp", TIME, nullable=False, comment="Of the flagged reading: the prediction's identity."),
        sa.Column("verdict", sa.String(20), nullable=False, comment="confirmed or false_alarm."),
        sa.Column("by", sa.String(100), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("station_id", "timestamp", name="pk_verdicts"),
        comment="What a person says of a flag; the last word counts.",
    )
    op.create_table(
        "verification",
        sa.Column("version", sa.String(100), nullable=False, comment="A model version, or a fallback's method."),
        sa.Column("hindcast", sa.Boolean(), nullable=False, comment="Forecast afterwards from history, not live."),
        sa.Column("day", sa.Date(), nullable=False, comment="UTC day of the valid times."),
        sa.Column("station_id", sa.String(100), nullable=False),
        sa.Column("variable", sa.String(20), nullable=False),
        sa.Column("lead", sa.Integer(), autoincrement=False, nullable=False, comment="Hours, 1 to 24."),
        sa.Column("n", sa.Integer(), nullable=False, comment="Forecasts with a truth."),
        sa.Column("mae", sa.Float(), nullable=False),
        sa.Column("rmse", sa.Float(), nullable=False),
        sa.Column("bias", sa.Float(), nullable=False, comment="Forecast minus truth."),
        sa.Column(
            "coverage_80", sa.Float(), comment="Share of truths inside the interval; null where it was not kept."
        ),
        sa.Column("coverage_90", sa.Float()),
        sa.Column(
            "n_baselines", sa.Integer(), nullable=False, comment="Of n, those that both baselines could answer too."
        ),
        sa.Column("mae_compared", sa.Float(), comment="The version's own MAE on these."),
        sa.Column("mae_persistence", sa.Float(), comment="Persistence's MAE on these."),
        sa.Column("mae_damped", sa.Float(), comment="The damped anomaly's MAE on these."),
        sa.PrimaryKeyConstraint("version", "hindcast", "day", "station_id", "variable", "lead", name="pk_verification"),
        comment="Forecasts against what came true, summed up by day.",
    )
    op.create_index("ix_verification_day", "verification", ["day"])
    op.create_table(
        "verification_runs",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("through", TIME, nullable=False, comment="What was stored up to here has been verified."),
        sa.Column("days", sa.Integer(), nullable=False, comment="Number of days scored."),
        sa.Column("pairs", sa.Integer(), nullable=False, comment="Numbers paired with a truth."),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_verification_runs"),
        comment="One row a run of the verification.",
    )
    op.add_column(
        "predictions", sa.Column("inputs_hash", sa.String(64), comment="SHA-256 of what the model was given.")
    )

    _reject_changes_of_promotions()


def downgrade() -> None:
    op.drop_column("predictions", "inputs_hash")
    for table in TABLES:
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION refuse_change()")


def _reject_changes_of_promotions() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE FUNCTION refuse_change() RETURNS trigger AS "
            "$$ BEGIN RAISE EXCEPTION 'the log of promotions is append-only'; END $$ LANGUAGE plpgsql"
        )
        op.execute(
            "CREATE TRIGGER promotions_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON promotions "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
        return
    for change in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER promotions_no_{change.lower()} BEFORE {change} ON promotions "
            "BEGIN SELECT RAISE(ABORT, 'the log of promotions is append-only'); END"
        )
