"""The tables. A change here wants a revision in `migrations/versions/`; a test compares the two."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


class UtcTime(TypeDecorator[datetime]):
    """A time with its zone, kept in UTC. SQLite keeps no zone, so there it is dropped after conversion."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone; the store takes times with a zone only")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


Document = JSON().with_variant(JSONB(), "postgresql")
RowId = BigInteger().with_variant(Integer(), "sqlite")  # SQLite counts up only an INTEGER primary key


def _reading() -> list[Column]:
    """The values of an observation: °C, %, hPa, m/s, degrees from which the wind blows."""
    return [Column(name, Float) for name in ("temperature", "humidity", "pressure", "wind_speed", "wind_direction")]


published = Table(
    "published",
    metadata,
    Column("station_id", String(100), primary_key=True),
    Column("timestamp", UtcTime, nullable=False),
    *_reading(),
    comment="The newest observation of each station that the broker has acknowledged.",
)

observations = Table(
    "observations",
    metadata,
    Column("station_id", String(100), primary_key=True),
    Column("timestamp", UtcTime, primary_key=True),
    *_reading(),
    Column("source", String(20), comment="Where the reading comes from; null if unknown."),
    Column("stored_at", UtcTime, nullable=False),
    comment="One row a station and time.",
)

predictions = Table(
    "predictions",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("station_id", String(100), nullable=False),
    Column("timestamp", UtcTime, nullable=False, comment="Time of the observation that the prediction answers."),
    Column("method", String(40), nullable=False),
    Column("model_version", String(100), nullable=False),
    Column("is_anomaly", Boolean, nullable=False),
    Column("score", Float, nullable=False),
    Column("predictions", Document, nullable=False, comment="Valid times and a list per variable, as in the record."),
    Column("anomaly", Document, nullable=False),
    Column("confidence", Document, nullable=False),
    Column("source", String(20)),
    Column("stored_at", UtcTime, nullable=False),
    UniqueConstraint("station_id", "timestamp"),
    Index(None, "is_anomaly", "id"),
    Index(None, "timestamp"),
    sqlite_autoincrement=True,  # the id of a thinned row is never given again: pages of anomalies stay true
    comment="One row an issue: all variables and leads, the verdict on the reading, the interval.",
)
